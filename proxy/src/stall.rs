//! Cuts a client that does not take its answer.
//!
//! While a socket is full, hyper asks nobody for more of a body, so no time limit of the request is looked at; a client
//! that reads nothing would hold an endpoint's connection for ever. Here the wait is seen where it happens: a write
//! that finds no room starts a timer, the next one that finds some ends it. Where nothing stalls no timer is made.
//! As nginx's `send_timeout`, it bounds the time between two writes; how long all may take is the request's total.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream whose writes may not wait longer than a limit.
#[derive(Debug)]
pub(crate) struct Impatient<S> {
    stream: S,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// True while a write waits, for whom it may concern. Atomic because hyper wants an upgradable stream to be `Send`.
    stalls: Arc<AtomicBool>,
}

impl<S> Impatient<S> {
    pub(crate) fn new(stream: S, limit: Duration, stalls: Arc<AtomicBool>) -> Self {
        Self { stream, limit, timer: None, stalls }
    }

    /// What a write gave, or an error where it has waited for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.timer.take().is_some() {
                self.stalls.store(false, Ordering::Relaxed);
            }
            return written;
        }
        self.stalls.store(true, Ordering::Relaxed);
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            // A flush of a plain socket is always done; it says nothing about room.
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => this.watch(cx, Poll::Pending),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(cx, closed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_reader_that_stops_is_cut_and_one_that_is_slow_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut ours = Impatient::new(ours, Duration::from_millis(100), Arc::default());
        let slow = async {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(30)).await;
                theirs.read_exact(&mut [0]).await.unwrap();
            }
            theirs
        };
        let bytes = [1; 12];
        let (written, _theirs) = tokio::join!(ours.write_all(&bytes), slow);
        written.unwrap();
        let error = ours.write_all(&bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
