//! A model that sends requests to the wrong place is taken back by the proxy itself, to the one before, and then to
//! peak-EWMA; nothing fails while that happens, and it is said where an operator looks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{Client, Endpoint, proxy, shutdown, until, until_within};
use tailcast_features::FEATURE_COUNT;
use tailcast_features::hash::hash_name;
use tailcast_model::bandit::Bandit;
use tailcast_model::forest::ForestParts;
use tailcast_model::{Forest, Model, ModelParts};

/// Evidence takes three seconds of traffic; a busy machine takes longer.
const EVIDENCE: Duration = Duration::from_secs(60);

/// A model that is sure of one endpoint, whatever comes.
fn fond_of(endpoint: &str, median: f32) -> Model {
    let base = vec![median, median + 1.0];
    let forest = Forest::new(ForestParts { borders: vec![Vec::new(); FEATURE_COUNT], base, trees: Vec::new() });
    let mut parts = ModelParts::new(vec![0.5, 0.99], forest.unwrap());
    parts.bandit =
        Bandit { endpoints: vec![hash_name(endpoint)], weights: vec![-5.0], counts: vec![100.0], variances: vec![0.1] };
    Model::new(parts).unwrap()
}

#[tokio::test]
async fn a_harmful_champion_gives_way_to_the_model_before_it_and_that_to_peak_ewma() {
    let fast = Endpoint::saying("fast").await;
    let slow = Endpoint::start(|_| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Response::new(Full::from("slow"))
    })
    .await;
    let name = slow.address.to_string();
    let (worst, bad, shadow) = (fond_of(&name, 0.0), fond_of(&name, 0.5), fond_of(&name, 1.0));
    let registry = tempfile::tempdir().unwrap();
    for (role, model) in [("champion", &worst), ("previous", &bad), ("shadow", &shadow)] {
        model.save(registry.path().join(role)).unwrap();
    }
    // Half of the traffic in the control: the test is to be short, not typical. The proxy's own correction and the guard
    // of what is full would see through these models.
    let more = format!(
        "policy = 'predictive'\n[model]\nregistry = '{}'\njudge = {{ share = 1.0 }}\n[balance.control]\nshare = 0.5\n\
         [balance.predictive]\nuse_correction = false\nrif_quantile = 1.0\n[admin]\naddress = '127.0.0.1:0'\n",
        registry.path().display()
    );
    let proxy = proxy(&[fast.address, slow.address], &more);
    assert_eq!(proxy.model_id().as_deref(), Some(worst.id()));
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = proxy.addresses()[0];
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    failed.fetch_add(usize::from(client.get("/").await.0 != 200), Ordering::SeqCst);
                }
            })
        })
        .collect();

    until_within(EVIDENCE, "the model before", || proxy.model_id().as_deref() == Some(bad.id())).await;
    until("the word of it", || proxy.status().lineup.taken_back.is_some()).await;
    let lineup = proxy.status().lineup;
    let taken = lineup.taken_back.unwrap();
    assert_eq!((taken.model.as_str(), taken.instead.as_deref()), (worst.id(), Some(bad.id())));
    assert!(taken.arms.treated_slow_ratio > taken.arms.control_slow_ratio + 0.2, "{taken:?}");
    until_within(EVIDENCE, "peak-EWMA", || proxy.model_id().is_none()).await;
    until("the second word", || proxy.status().lineup.taken_back.is_some_and(|taken| taken.instead.is_none())).await;
    assert_eq!(proxy.metrics().model_take_backs, 2);
    let fallbacks = proxy.metrics().fallbacks;
    until("decisions without a model", || proxy.metrics().fallbacks > fallbacks + 10).await;

    // A new champion serves with a clean record.
    let good = fond_of(&fast.address.to_string(), 0.0);
    good.save(registry.path().join("champion")).unwrap();
    until("the new champion", || proxy.model_id().as_deref() == Some(good.id())).await;
    until("its scores", || proxy.status().lineup.scores.iter().any(|score| score.model == good.id() && score.rows > 0))
        .await;
    until("a clean record", || proxy.status().lineup.taken_back.is_none()).await;
    stop.store(true, Ordering::SeqCst);
    for client in load {
        client.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert_eq!(proxy.model_id().as_deref(), Some(good.id()));
    shutdown(proxy).await;
}
