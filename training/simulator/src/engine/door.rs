//! Admission in the simulated proxies: the production code at each proxy's door.
//!
//! One [`Admission`] a proxy, as each worker of a real one has. What the proxy would keep for it is here: the requests that
//! wait, the places of those in flight, and the timers of waiting ones.

use super::Engine;
use crate::workload::Arrival;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use tailcast_balance::admission::{Admission, AdmissionOptions, Called, Classes, Offer, Offered, Permit, Ticket};
use tailcast_features::Tick;
use tailcast_features::hash::mix;

/// Doors of all proxies; none where the scenario has no admission.
#[derive(Debug, Default)]
pub(super) struct Doors {
    doors: Vec<Admission>,
    waiting: HashMap<(u16, u64), (Arrival, Ticket)>,
    timers: BinaryHeap<Reverse<(u64, u16, u64)>>,
    /// By the slot of the request that has it.
    permits: HashMap<u32, Permit>,
}

impl Doors {
    pub(super) fn new(options: Option<AdmissionOptions>, proxies: usize) -> Self {
        let door = |options| Admission::new(options, Classes::default(), Arc::default());
        let doors = options.map_or_else(Vec::new, |options| (0..proxies).map(|_| door(options)).collect());
        Self { doors, ..Self::default() }
    }

    /// When somebody's wait ends; the end of time where nobody waits.
    pub(super) fn next_at(&self) -> u64 {
        self.timers.peek().map_or(u64::MAX, |Reverse((at, ..))| *at)
    }

    /// Requests in flight and waiting, for the tests.
    pub(super) fn left(&self) -> usize {
        let left = |door: &Admission| (door.stats().in_flight + door.stats().waiting) as usize;
        self.doors.iter().map(left).sum()
    }
}

impl Engine<'_> {
    /// A request at the door of its proxy.
    pub(super) fn knock(&mut self, arrival: &Arrival) {
        self.arrivals += 1;
        let now = Tick::from_nanos(self.now);
        let Some(door) = self.doors.doors.get_mut(usize::from(arrival.proxy)) else {
            self.enter(arrival, None);
            return;
        };
        // Who asks is known at the door also where it is hidden from the forecast.
        let request = Offered { tenant: mix(u64::from(arrival.tenant), 1), ..Offered::default() };
        match door.offer(&request, now) {
            Offer::Admitted(permit) => self.enter(arrival, Some(permit)),
            Offer::Queued(ticket) => {
                let key = (arrival.proxy, ticket.serial());
                self.doors.waiting.insert(key, (*arrival, ticket));
                self.doors.timers.push(Reverse((ticket.until.nanos(), key.0, key.1)));
                self.call(arrival.proxy);
            }
            Offer::Shed(_) => self.turn_away(arrival),
        }
    }

    /// Somebody's wait ends.
    pub(super) fn wait_ends(&mut self) {
        let Some(Reverse((_, proxy, serial))) = self.doors.timers.pop() else { return };
        let Some((arrival, ticket)) = self.doors.waiting.remove(&(proxy, serial)) else { return };
        if let Some(door) = self.doors.doors.get_mut(usize::from(proxy)) {
            door.give_up(&ticket, Tick::from_nanos(self.now));
        }
        self.turn_away(&arrival);
    }

    /// A request that was in flight has ended for its client.
    pub(super) fn leave(&mut self, slot: u32, proxy: u16, is_measured: bool) {
        let Some(permit) = self.doors.permits.remove(&slot) else { return };
        if let Some(door) = self.doors.doors.get_mut(usize::from(proxy)) {
            door.release(permit, is_measured, Tick::from_nanos(self.now));
        }
        self.call(proxy);
    }

    fn call(&mut self, proxy: u16) {
        while let Some(called) =
            self.doors.doors.get_mut(usize::from(proxy)).and_then(|door| door.next(Tick::from_nanos(self.now)))
        {
            let (Called::Admitted(serial, _) | Called::Shed(serial, _)) = &called;
            let Some((arrival, _)) = self.doors.waiting.remove(&(proxy, *serial)) else { continue };
            match called {
                Called::Admitted(_, permit) => self.enter(&arrival, Some(permit)),
                Called::Shed(..) => self.turn_away(&arrival),
            }
        }
    }

    fn enter(&mut self, arrival: &Arrival, permit: Option<Permit>) {
        match (self.dispatch(arrival), permit) {
            (Some(slot), Some(permit)) => {
                self.doors.permits.insert(slot, permit);
            }
            (None, Some(permit)) => {
                if let Some(door) = self.doors.doors.get_mut(usize::from(arrival.proxy)) {
                    door.release(permit, false, Tick::from_nanos(self.now));
                }
            }
            (_, None) => {}
        }
    }

    fn turn_away(&mut self, arrival: &Arrival) {
        self.ends += 1;
        self.measures.turned_away(arrival.at, arrival.tenant);
    }
}
