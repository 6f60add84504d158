//! A worker: one thread with its own runtime, listeners, connections and balancers.
//!
//! Everything in it is single-threaded, so its state needs no locks. Rejected: a work-stealing runtime, where each
//! request pays for the possibility of moving (measured: 18.7 µs a request for a proxy of that kind against 12.7).

mod connection;

use crate::core::Core;
use crate::recorder::FLUSH_EVERY;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;
use tailcast_balance::balancer::EndpointStats;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// What a worker can be asked for. Replies go through standard channels: both sides may be outside of a runtime.
pub(crate) enum Command {
    /// State of the endpoints of each pool.
    Stats(mpsc::Sender<Vec<Vec<EndpointStats>>>),
    /// Hand over the rows of the log so far.
    FlushLog(mpsc::Sender<()>),
    /// Stop accepting, finish requests in flight for at most this long, end.
    Stop(Duration),
}

/// To one worker.
pub(crate) type Commands = tokio::sync::mpsc::UnboundedSender<Command>;

/// After an accept failed (no file descriptors, most likely) the next try waits this long: a busy loop would take
/// the time that closing connections needs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What the tasks of one worker share.
pub(crate) struct Worker {
    pub(crate) core: Rc<Core>,
    stopping: watch::Sender<bool>,
}

/// Runs a worker on this thread until it is stopped, after it has told `began` whether it could begin. All requests have
/// ended and their rows are handed over when it returns.
pub(crate) fn run(
    core: impl FnOnce() -> Core,
    listeners: Vec<StdListener>,
    commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
    began: &mpsc::Sender<io::Result<()>>,
) {
    // Of this thread alone: tasks are neither sent nor locked.
    let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = began.send(Err(error));
            return;
        }
    };
    let core = Rc::new(core());
    let worker = Rc::new(Worker { core: Rc::clone(&core), stopping: watch::Sender::new(false) });
    // Nobody listens any more where the proxy was given up meanwhile.
    let _ = began.send(Ok(()));
    runtime.block_on(work(worker, listeners, commands));
    // Connections that outlived the deadline end here, as client aborts, before the last rows are handed over.
    drop(runtime);
    core.flush_log();
}

async fn work(
    worker: Rc<Worker>,
    listeners: Vec<StdListener>,
    mut commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
) {
    let mut accepting = tokio::task::JoinSet::new();
    for (index, listener) in listeners.into_iter().enumerate() {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                accepting.spawn_local(accept(Rc::clone(&worker), listener, index));
            }
            Err(error) => tracing::error!(%error, "a listener cannot be used"),
        }
    }
    let mut flush = tokio::time::interval(FLUSH_EVERY);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let drain = loop {
        tokio::select! {
            _ = flush.tick() => {
                worker.core.flush_log();
                worker.core.reap_connections();
            }
            command = commands.recv() => match command {
                // A caller that no longer waits needs no answer: failures to reply are dropped.
                Some(Command::Stats(reply)) => {
                    let _ = reply.send(worker.core.stats());
                }
                Some(Command::FlushLog(reply)) => {
                    worker.core.flush_log();
                    let _ = reply.send(());
                }
                Some(Command::Stop(drain)) => break drain,
                None => break Duration::ZERO,
            },
        }
    };
    worker.stopping.send_replace(true);
    let drained = async {
        // Accept loops first: what waits in their queues is still served.
        while accepting.join_next().await.is_some() {}
        worker.core.all_closed().await;
    };
    if tokio::time::timeout(drain, drained).await.is_err() {
        tracing::warn!(connections = worker.core.open_connections(), "connections are cut after the drain time");
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, index: usize) {
    let mut stopping = worker.stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => serve(&worker, stream, peer, index),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // The system completed these connections already; closing the socket would reset them.
    let waiting = std::future::poll_fn(|cx| match listener.poll_accept(cx) {
        std::task::Poll::Ready(accepted) => std::task::Poll::Ready(accepted.ok()),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    });
    let mut waiting = Box::pin(waiting);
    while let Some((stream, peer)) = waiting.as_mut().await {
        serve(&worker, stream, peer, index);
    }
}

fn serve(worker: &Rc<Worker>, stream: TcpStream, peer: std::net::SocketAddr, listener: usize) {
    let open = worker.core.open_connection();
    let stopping = worker.stopping.subscribe();
    tokio::task::spawn_local(connection::serve(Rc::clone(worker), open, stream, peer, listener, stopping));
}
