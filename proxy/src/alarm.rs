//! One timer for many waits: set once, looked at often, set anew only when it goes off too early.
//!
//! A request waits for its endpoint for a few milliseconds and may wait for many seconds; setting a timer for that and
//! taking it back costs more than the rest of the wait. Here the timer of the first wait stays set. Later waits end
//! later, so it goes off too early, and only then is it set again: once in the length of a time limit, not once a
//! request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep};

/// A timer for waits that follow one another.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Ready once `until` has passed. The task is woken then, and perhaps earlier.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until || Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test]
    async fn each_wait_ends_at_its_own_time_whatever_came_before() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        // Abandoned waits: later ones end later, then one ends earlier.
        for millis in [300, 310, 400, 5] {
            let until = start + Duration::from_millis(millis);
            assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, until))).await.is_pending());
        }
        for millis in [5, 9, 9, 40, 41] {
            let until = start + Duration::from_millis(millis);
            poll_fn(|cx| alarm.poll(cx, until)).await;
            assert!(Instant::now() >= until);
        }
        assert!(start.elapsed() < Duration::from_millis(300), "no wait lasts until an abandoned one's end");
        poll_fn(|cx| alarm.poll(cx, start)).await;
    }
}
