//! Log lines on stderr: warnings by default, more with `-v`, anything with a filter in `TAILCAST_LOG`.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the subscriber. A second call changes nothing. In a demo a proxy without a model is no news.
pub fn init(verbose: u8, is_demo: bool) {
    let level = match verbose {
        0 if is_demo => "warn,tailcast_proxy::reload=error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("TAILCAST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if installed.is_err() {
        tracing::debug!("logging was set up already");
    }
}
