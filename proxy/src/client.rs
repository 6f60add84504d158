//! One client connection as its requests see it: who it is, and whose turn it is to speak.
//!
//! HTTP/1 takes turns. While a request is served its waits are bounded by its route; between requests the client must
//! send a head in time (slow-loris, and connections that were forgotten). Both waits share one [`Alarm`], because they
//! follow one another and are one task's.

use crate::alarm::Alarm;
use crate::core::Core;
use crate::headers::ClientHop;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tailcast_features::Tick;

/// What the requests of one connection have in common.
pub(crate) struct Client {
    pub(crate) core: Rc<Core>,
    pub(crate) hop: ClientHop,
    /// For waits of the connection's own task.
    pub(crate) alarm: RefCell<Alarm>,
    /// Since when the client may send a head; none while a request is served.
    listening_since: Cell<Option<Tick>>,
    /// True while the client does not take what was sent: it cannot be blamed for not asking for more.
    stalls: Arc<AtomicBool>,
}

/// A request is being served until this is dropped.
pub(crate) struct Serving(Rc<Client>);

impl Client {
    pub(crate) fn new(core: Rc<Core>, hop: ClientHop) -> Self {
        let listening_since = Cell::new(Some(core.now()));
        Self { core, hop, alarm: RefCell::default(), listening_since, stalls: Arc::default() }
    }

    /// To be set while a write finds no room.
    pub(crate) fn stalls(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stalls)
    }

    /// It is our turn.
    pub(crate) fn serving(self: &Rc<Self>) -> Serving {
        self.listening_since.set(None);
        Serving(Rc::clone(self))
    }

    /// Ready where the client was silent for this long while it was its turn.
    pub(crate) fn poll_silent(&self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let Some(since) = self.listening_since.get() else { return Poll::Pending };
        if self.stalls.load(Ordering::Relaxed) {
            self.listening_since.set(Some(self.core.now()));
            return Poll::Pending;
        }
        self.alarm.borrow_mut().poll(cx, self.core.instant(since.after(limit)))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.listening_since.set(Some(self.0.core.recent()));
    }
}
