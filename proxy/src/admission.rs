//! The door of a pool: a request goes through at once, waits, or is turned away, before anybody decides where it goes.
//!
//! What is decided is `tailcast_balance::admission`; this is its I/O: who waits has a seat and a waker, who went through
//! has a [`Place`] that gives itself back when it is dropped. A wait holds up nobody: it is the request's own task that
//! waits. Each worker has a door of its own for each pool (see the module of the balance crate for why).

use crate::core::Core;
use crate::error::RequestError;
use crate::metrics::PoolMetrics;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use tailcast_balance::admission::{Admission, Called, Offer, Offered, Permit, Shed, ShedReason, Ticket};
use tailcast_features::Tick;

/// The door of one pool on one worker.
#[derive(Debug)]
pub(crate) struct Door {
    admission: RefCell<Admission>,
    seats: RefCell<HashMap<u64, Rc<Seat>>>,
    metrics: Arc<PoolMetrics>,
}

/// Where a request waits.
#[derive(Debug, Default)]
struct Seat {
    called: RefCell<Option<Result<Place, Shed>>>,
    waker: RefCell<Option<Waker>>,
}

/// A place among the requests in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    door: Rc<Door>,
    core: Rc<Core>,
    permit: Option<Permit>,
}

impl Place {
    /// Gives it back at the end of a request. `is_measured` where its time tells how the pool is.
    pub(crate) fn release(mut self, is_measured: bool, now: Tick) {
        if let Some(permit) = self.permit.take() {
            self.door.release(&self.core, permit, is_measured, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let now = self.core.now();
            self.door.release(&self.core, permit, false, now);
        }
    }
}

/// Somebody waits, until this is dropped.
struct Waiting<'a> {
    door: &'a Door,
    seat: Rc<Seat>,
    ticket: Ticket,
    core: &'a Core,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Where it was called meanwhile, the place goes with the seat.
        self.door.seats.borrow_mut().remove(&self.ticket.serial());
        self.door.admission.borrow_mut().give_up(&self.ticket, self.core.recent());
        self.door.metrics.waiting.take(1);
    }
}

impl Door {
    pub(crate) fn new(admission: Admission, metrics: Arc<PoolMetrics>) -> Self {
        metrics.limit.set(u64::from(admission.stats().limit));
        Self { admission: RefCell::new(admission), seats: RefCell::default(), metrics }
    }

    /// Goes through, perhaps after a wait.
    pub(crate) async fn enter(
        self: &Rc<Self>,
        core: &Rc<Core>,
        request: &Offered,
        at: Tick,
    ) -> Result<Place, RequestError> {
        let offer = self.admission.borrow_mut().offer(request, at);
        match offer {
            Offer::Admitted(permit) => Ok(self.place(core, permit)),
            Offer::Shed(shed) => Err(RequestError::Shed(shed)),
            // Boxed: few wait, and the state of all would be larger.
            Offer::Queued(ticket) => Box::pin(self.wait(core, ticket, at)).await.map_err(RequestError::Shed),
        }
    }

    fn place(self: &Rc<Self>, core: &Rc<Core>, permit: Permit) -> Place {
        Place { door: Rc::clone(self), core: Rc::clone(core), permit: Some(permit) }
    }

    async fn wait(self: &Rc<Self>, core: &Rc<Core>, ticket: Ticket, at: Tick) -> Result<Place, Shed> {
        let seat = Rc::new(Seat::default());
        self.seats.borrow_mut().insert(ticket.serial(), Rc::clone(&seat));
        self.metrics.waiting.add(1);
        let waiting = Waiting { door: self, seat, ticket, core };
        // It may have pushed out somebody.
        self.call(core, at);
        let called = poll_fn(|cx| match waiting.seat.called.borrow_mut().take() {
            Some(called) => Poll::Ready(called),
            None => {
                *waiting.seat.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        });
        // Called and out of time at once: what it was called for counts, since `called` is asked first.
        tokio::select! {
            biased;
            called = called => called,
            () = tokio::time::sleep_until(core.instant(ticket.until)) => Err(ShedReason::QueueTime.into()),
        }
    }

    fn release(self: &Rc<Self>, core: &Rc<Core>, permit: Permit, is_measured: bool, now: Tick) {
        {
            let mut admission = self.admission.borrow_mut();
            admission.release(permit, is_measured, now);
            self.metrics.limit.set(u64::from(admission.stats().limit));
        }
        self.call(core, now);
    }

    /// Calls whoever is next.
    fn call(self: &Rc<Self>, core: &Rc<Core>, now: Tick) {
        loop {
            let called = self.admission.borrow_mut().next(now);
            let (serial, called) = match called {
                Some(Called::Admitted(serial, permit)) => (serial, Ok(self.place(core, permit))),
                Some(Called::Shed(serial, shed)) => (serial, Err(shed)),
                None => return,
            };
            let seat = self.seats.borrow_mut().remove(&serial);
            if let Some(seat) = seat {
                *seat.called.borrow_mut() = Some(called);
                let waker = seat.waker.borrow_mut().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}
