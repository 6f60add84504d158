//! `tailcast run`: the proxy, until it is told to stop.

use crate::args::RunArgs;
use anyhow::Context;
use tailcast_proxy::{Config, Proxy, RunningProxy};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let mut config = Config::load(&args.config)?;
    if let Some(policy) = args.policy {
        config = config.with_policy(policy);
    }
    if let Some(model) = &args.model {
        // Asked for by name on the command line: here a model that cannot be loaded is an error at once. Later,
        // under traffic, it never is.
        tailcast_model::Model::load(model).with_context(|| format!("--model {}", model.display()))?;
        config = config.with_model(model.clone());
    }
    if let Some(registry) = &args.registry {
        // A registry without a champion yet is no error: its first one is taken up when it comes.
        if !registry.is_dir() {
            anyhow::bail!("--registry {} is no directory: `tailcast train --registry` makes one", registry.display());
        }
        config = config.with_registry(registry.clone());
    }
    let proxy = Proxy::start(config)?;
    for address in proxy.addresses() {
        eprintln!("listening on http://{address}");
    }
    if let Some(admin) = proxy.admin_address() {
        eprintln!("admin on http://{admin} (/healthz /readyz /metrics /status)");
    }
    match proxy.model_id() {
        Some(id) => eprintln!("model {id}"),
        None => eprintln!("no model: `predictive` scores by peak-EWMA until one is loaded"),
    }
    let signal = wait_for_signal(&proxy).context("waiting for a signal")?;
    eprintln!("{signal}: finishing requests in flight");
    proxy.shutdown();
    Ok(())
}

/// Waits for SIGTERM or SIGINT and says which. SIGHUP reads the configuration again.
fn wait_for_signal(proxy: &RunningProxy) -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok("SIGTERM"),
                _ = interrupt.recv() => return Ok("SIGINT"),
                _ = hang_up.recv() => match proxy.reread() {
                    Ok(()) => eprintln!("SIGHUP: configuration taken up"),
                    Err(error) => eprintln!("SIGHUP: configuration refused, the one before stays in use: {error}"),
                },
            }
        }
    })
}
