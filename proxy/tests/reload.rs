//! Configurations change while requests flow: not one is lost, and a bad one changes nothing but a counter.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use http::Response;
use http_body_util::Full;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{Client, Endpoint, in_flight, shutdown, until};
use tailcast_proxy::{Config, Proxy, RunningProxy};
use tokio::task::JoinHandle;

fn text(endpoints: &[SocketAddr], more: &str) -> String {
    let endpoints = endpoints.iter().map(|address| format!("'{address}'")).collect::<Vec<_>>().join(", ");
    format!(
        "workers = 2\ndrain_secs = 5\nwatch_config = true\n[[listener]]\naddress = '127.0.0.1:0'\n\
         [[pool]]\nname = 'web'\nendpoints = [{endpoints}]\n{more}"
    )
}

/// Clients that ask until they are told to stop, and count what did not go well.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(proxy: &RunningProxy) -> Self {
        let address = proxy.addresses()[0];
        let (stop, failed, done) = (Arc::default(), Arc::default(), Arc::default());
        let client = |_| {
            let (stop, failed, done): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
                (Arc::clone(&stop), Arc::clone(&failed), Arc::clone(&done));
            tokio::spawn(async move {
                // One connection for the whole test: a reload must not cost it.
                let mut client = Client::connect(address).await;
                while !stop.load(Ordering::SeqCst) {
                    failed.fetch_add(usize::from(client.get("/").await.0 != 200), Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let clients = (0..6).map(client).collect();
        Self { stop, failed, done, clients }
    }

    async fn some_more(&self) {
        let before = self.done.load(Ordering::SeqCst);
        until("more requests", || self.done.load(Ordering::SeqCst) > before + 50).await;
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        assert_eq!(self.failed.load(Ordering::SeqCst), 0, "of {}", self.done.load(Ordering::SeqCst));
    }
}

fn write(path: &Path, text: &str) {
    // As editors and orchestrators do: a new file in the place of the old.
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn a_changed_file_is_followed_a_bad_one_refused_and_no_request_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tailcast.toml");
    let (a, b) = (Endpoint::saying("a").await, Endpoint::saying("b").await);
    write(&path, &text(&[a.address], ""));
    let proxy = Proxy::start(Config::load(&path).unwrap()).unwrap();
    let load = Load::start(&proxy);
    load.some_more().await;
    assert_eq!(b.requests(), 0);

    write(&path, &text(&[b.address], "timeouts = { total_ms = 5000 }\n"));
    until("the reload", || proxy.metrics().config_reloads == 1).await;
    until("requests on the new endpoint", || b.requests() > 20).await;
    let before = a.requests();
    load.some_more().await;
    assert_eq!(a.requests(), before, "the endpoint that left gets nothing more");

    let unknown_key = "nonsense = 1\n".to_owned();
    let needs_restart = text(&[b.address], "").replace("workers = 2", "workers = 3");
    for (count, bad) in [unknown_key, text(&[], ""), needs_restart].into_iter().enumerate() {
        write(&path, &bad);
        until("the refusal", || proxy.metrics().config_refusals == count as u64 + 1).await;
    }
    assert_eq!(proxy.metrics().config_reloads, 1);
    load.some_more().await;
    write(&path, &text(&[a.address, b.address], "policy = 'random'\n"));
    until("the second reload", || proxy.metrics().config_reloads == 2).await;
    let before = a.requests();
    until("both endpoints", || a.requests() > before + 20).await;
    assert_eq!(proxy.status().pools[0].policy.to_string(), "random");
    load.finish().await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_request_in_flight_ends_under_the_rules_that_it_began_with() {
    let slow = Endpoint::start(|_| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("slow"))
    });
    let (slow, fast) = (slow.await, Endpoint::saying("fast").await);
    let proxy = Proxy::start(Config::parse(&text(&[slow.address], "")).unwrap()).unwrap();
    let address = proxy.addresses()[0];
    let pending = tokio::spawn(async move {
        let mut client = Client::connect(address).await;
        (client.get("/").await, client.get("/").await)
    });
    until("the request", || in_flight(&proxy) == 1).await;
    let new = text(&[fast.address], "[[route]]\npool = 'web'\ntimeouts = { total_ms = 50 }\n");
    proxy.reload(Config::parse(&new).unwrap()).unwrap();
    let (first, second) = pending.await.unwrap();
    assert_eq!((first, second), ((200, "slow".into()), (200, "fast".into())));
    assert_eq!(in_flight(&proxy), 0);
    shutdown(proxy).await;
}

#[tokio::test]
async fn pools_come_and_go_and_a_policy_set_by_hand_stays() {
    let (a, b) = (Endpoint::saying("a").await, Endpoint::saying("b").await);
    let proxy = Proxy::start(Config::parse(&text(&[a.address], "")).unwrap()).unwrap();
    proxy.set_policy("web", "peak_ewma".parse().unwrap()).unwrap();
    let more = format!(
        "[[pool]]\nname = 'api'\nendpoints = ['{}']\n[[route]]\npath_prefix = '/api'\npool = 'api'\n",
        b.address
    );
    proxy.reload(Config::parse(&text(&[a.address], &more)).unwrap()).unwrap();
    let mut client = Client::to(&proxy).await;
    assert_eq!(client.get("/api").await.1, "b");
    assert_eq!(proxy.status().pools[0].policy.to_string(), "peak_ewma");
    proxy.reload(Config::parse(&text(&[a.address], "")).unwrap()).unwrap();
    assert_eq!(client.get("/api").await.1, "a");
    assert_eq!(proxy.status().pools.len(), 1);
    assert_eq!(proxy.metrics().requests, 2, "counters of the pool that left are kept");
    let refused = text(&[a.address], "[log]\ndirectory = 'elsewhere'\n").replace("workers = 2", "workers = 1");
    let error = proxy.reload(Config::parse(&refused).unwrap()).unwrap_err().to_string();
    assert!(error.contains("workers, log cannot change without a restart"), "{error}");
    assert_eq!((proxy.metrics().config_reloads, proxy.metrics().config_refusals), (2, 1));
    assert!(proxy.reread().unwrap_err().to_string().contains("no file"));
    shutdown(proxy).await;
}

#[tokio::test]
async fn endpoints_from_a_file_are_followed_and_a_bad_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("endpoints.toml");
    let (a, b) = (Endpoint::saying("a").await, Endpoint::saying("b").await);
    write(&path, &format!("endpoints = ['{}']\n", a.address));
    let text = format!(
        "workers = 1\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\nendpoints_file = '{}'\n",
        path.display()
    );
    let proxy = Proxy::start(Config::parse(&text).unwrap()).unwrap();
    let load = Load::start(&proxy);
    load.some_more().await;
    write(&path, &format!("endpoints = [{{ address = '{}', weight = 2.0 }}]\n", b.address));
    until("the other endpoint", || b.requests() > 20).await;
    for (count, bad) in ["endpoints = []\n", "endpoints = ['nowhere']\n", "endpoints = [\n"].into_iter().enumerate() {
        write(&path, bad);
        until("the refusal", || proxy.metrics().config_refusals == count as u64 + 1).await;
    }
    load.some_more().await;
    assert_eq!(proxy.status().pools[0].endpoints[0].address, b.address.to_string());
    load.finish().await;
    shutdown(proxy).await;
}

#[tokio::test]
async fn a_name_is_resolved_and_the_admin_listener_reloads_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tailcast.toml");
    let a = Endpoint::saying("a").await;
    let by_name = |more: &str| {
        format!(
            "workers = 1\nresolve_secs = 0.1\n[[listener]]\naddress = '127.0.0.1:0'\n[[pool]]\nname = 'web'\n\
             endpoints = ['localhost:{}']\n{more}[admin]\naddress = '127.0.0.1:0'\n",
            a.address.port()
        )
    };
    write(&path, &by_name(""));
    let proxy = Proxy::start(Config::load(&path).unwrap()).unwrap();
    assert_eq!(Client::to(&proxy).await.get("/").await.0, 200);
    let mut admin = Client::connect(proxy.admin_address().unwrap()).await;
    write(&path, &by_name("policy = 'random'\n"));
    assert_eq!(admin.call("POST", "/config/reload", "").await.0, 200);
    assert_eq!(proxy.status().pools[0].policy.to_string(), "random");
    write(&path, &by_name("policy = 'magic'\n"));
    let (status, why) = admin.call("POST", "/config/reload", "").await;
    assert!(status == 422 && why.contains("magic") && why.contains("round_robin"), "{why}");
    assert_eq!(Client::to(&proxy).await.get("/").await.0, 200);
    shutdown(proxy).await;
}
