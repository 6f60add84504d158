//! hyper's executor for one thread: what HTTP/2 spawns stays on the worker that serves the connection.

use hyper::rt::Executor;
use std::future::Future;

/// Spawns on the current thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local;

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
