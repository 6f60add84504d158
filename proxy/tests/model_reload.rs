//! Models come and go while requests flow: not one may fail, and a bad file changes nothing but a counter.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{Client, Endpoint, proxy, shutdown, until};
use tailcast_features::FEATURE_COUNT;
use tailcast_model::forest::ForestParts;
use tailcast_model::{Forest, Model, ModelParts};

/// A model that forecasts the same for every request, different for each `median`.
fn model(median: f32) -> Model {
    let base = vec![median, median + 1.0, median + 2.0];
    let forest = Forest::new(ForestParts { borders: vec![Vec::new(); FEATURE_COUNT], base, trees: Vec::new() });
    Model::new(ModelParts::new(vec![0.5, 0.95, 0.99], forest.unwrap())).unwrap()
}

fn more(path: &Path) -> String {
    format!("policy = 'predictive'\n[model]\npath = '{}'\n[admin]\naddress = '127.0.0.1:0'\n", path.display())
}

#[tokio::test]
async fn a_model_file_that_appears_changes_and_breaks_is_followed_without_a_failed_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.tailcast");
    let (a, b) = (Endpoint::saying("ok").await, Endpoint::saying("ok").await);
    let proxy = proxy(&[a.address, b.address], &more(&path));
    let address = proxy.addresses()[0];
    assert_eq!(proxy.model_id(), None, "a missing model keeps nobody from serving");
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    failed.fetch_add(usize::from(client.get("/").await != (200, "ok".into())), Ordering::SeqCst);
                }
            })
        })
        .collect();
    until("fallbacks", || proxy.metrics().fallbacks > 10).await;

    let (first, second) = (model(1.0), model(2.0));
    first.save(&path).unwrap();
    until("the first model", || proxy.model_id().as_deref() == Some(first.id())).await;

    let mut damaged = second.to_bytes();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (count, bad) in [damaged, second.to_bytes()[..middle].to_vec(), b"not a model".to_vec()].into_iter().enumerate()
    {
        fs::write(&path, bad).unwrap();
        until("the refusal", || proxy.metrics().model_refusals == count as u64 + 1).await;
        assert_eq!(proxy.model_id().as_deref(), Some(first.id()));
    }
    fs::remove_file(&path).unwrap();
    second.save(&path).unwrap();
    until("the second model", || proxy.model_id().as_deref() == Some(second.id())).await;

    let fallbacks = proxy.metrics().fallbacks;
    let requests = proxy.metrics().requests;
    until("requests with the model", || proxy.metrics().requests > requests + 100).await;
    assert_eq!(proxy.metrics().fallbacks, fallbacks, "with a model there is no fallback");
    stop.store(true, Ordering::SeqCst);
    for client in load {
        client.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    let metrics = proxy.metrics();
    assert_eq!((metrics.model_loads, metrics.model_refusals, metrics.failures), (2, 3, 0));
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_model_is_loaded_by_command_and_a_bad_one_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.tailcast");
    let first = model(1.0);
    first.save(&path).unwrap();
    let endpoint = Endpoint::saying("ok").await;
    let proxy = proxy(&[endpoint.address], &more(&path));
    assert_eq!(proxy.model_id().as_deref(), Some(first.id()), "loaded before the first request");
    let other = directory.path().join("other");
    fs::write(&other, "nonsense").unwrap();
    let error = proxy.load_model(&other).unwrap_err().to_string();
    assert!(error.contains("other") && error.contains("refused"), "{error}");
    assert_eq!(proxy.model_id().as_deref(), Some(first.id()));
    let second = model(2.0);
    second.save(&other).unwrap();
    assert_eq!(proxy.load_model(&other).unwrap(), second.id());
    let mut admin = Client::connect(proxy.admin_address().unwrap()).await;
    let (status, text) = admin.call("POST", "/model/reload", "").await;
    assert!(status == 200 && text.contains(first.id()), "{text}");
    shutdown(proxy).await;
}
