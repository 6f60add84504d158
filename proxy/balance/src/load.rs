//! How many requests an endpoint has in service, from what is known of it.
//!
//! A proxy sees its own requests only; with several proxies an endpoint that looks idle may be full. Where the endpoint
//! reports its in-flight, the estimate is the report, moved by what this proxy itself sent and got back since. An old
//! report is forgotten: it would hold a proxy back from an endpoint that has long been idle. Rejected: the report as it
//! stands (every proxy would send to the endpoint that looked idle until the next report: a herd).

use std::sync::Arc;
use std::time::Duration;
use tailcast_features::Tick;
use tailcast_features::store::LoadReport;

use crate::endpoint::Endpoint;

/// Reports older than this say nothing: Prequal's age limit of a probe.
const MAX_AGE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Seen {
    reported: f32,
    own_then: u32,
    /// What this proxy had sent to all endpoints by then.
    sent_then: u64,
    at: Tick,
}

/// The last report of each endpoint, by slot.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    seen: Vec<Option<Seen>>,
    /// When any endpoint last reported: without fresh reports nothing need be looked at.
    latest: Option<Tick>,
    /// Requests that this proxy has sent to endpoints of this pool.
    sent: u64,
}

impl Loads {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self { seen: vec![None; endpoints], latest: None, sent: 0 }
    }

    /// Follows a change of the pool: endpoints that stay keep their report.
    pub(crate) fn set_endpoints(&mut self, old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) {
        self.seen = new
            .iter()
            .map(|endpoint| {
                let slot = old.iter().position(|known| known.key() == endpoint.key());
                slot.and_then(|slot| self.seen.get(slot).copied()).flatten()
            })
            .collect();
    }

    /// Takes in a report; `own` is what this proxy has in flight there now.
    pub(crate) fn reported(&mut self, slot: usize, report: &LoadReport, own: u32, now: Tick) {
        self.latest = Some(now);
        if let Some(seen) = self.seen.get_mut(slot) {
            *seen = report.in_flight.is_finite().then_some(Seen {
                reported: report.in_flight,
                own_then: own,
                sent_then: self.sent,
                at: now,
            });
        }
    }

    /// Notes that this proxy sent a request.
    pub(crate) fn dispatched(&mut self) {
        self.sent += 1;
    }

    /// How far the reports can be trusted now.
    pub(crate) fn view(&self, now: Tick) -> View<'_> {
        if self.latest.is_none_or(|latest| now.since(latest) > MAX_AGE) {
            return View { loads: self, now, others_each: 0.0, mean_foreign: 0.0, is_blind: true };
        }
        let (mut own, mut all, mut foreign, mut count) = (0.5, 1.0, 0.0, 0.0);
        for seen in self.fresh(now) {
            own += seen.own_then as f32;
            all += seen.reported;
            foreign += seen.foreign();
            count += 1.0;
        }
        View {
            loads: self,
            now,
            others_each: if count > 0.0 { (all / own - 1.0f32).max(0.0) / self.seen.len() as f32 } else { 0.0 },
            mean_foreign: if count > 0.0 { foreign / count } else { 0.0 },
            is_blind: false,
        }
    }

    fn fresh(&self, now: Tick) -> impl Iterator<Item = &Seen> {
        self.seen.iter().flatten().filter(move |seen| now.since(seen.at) <= MAX_AGE)
    }
}

impl Seen {
    /// Requests of other proxies in service when it was reported.
    fn foreign(&self) -> f32 {
        (self.reported - self.own_then as f32).max(0.0)
    }
}

/// The loads at one decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    loads: &'a Loads,
    now: Tick,
    /// Requests that others send to one endpoint, in the mean, for each that this proxy sends to any.
    others_each: f32,
    mean_foreign: f32,
    /// True where no report is fresh.
    is_blind: bool,
}

/// Unseen requests an endpoint at which half of a report is still believed: about as many as are in service there.
const HALF_BELIEVED: f32 = 8.0;

impl View<'_> {
    /// Requests that *other* proxies have sent to `slot`, in the mean, since it last reported: what this proxy sent
    /// itself, times how much more of the load is theirs. Where all of them saw the same report, this is how large a herd
    /// runs to the endpoint that looked best. 0 without a report.
    pub(crate) fn unseen(&self, slot: usize) -> f32 {
        self.seen(slot).map_or(0.0, |seen| self.since(seen))
    }

    /// Requests that others send for each that this proxy sends; 0 without reports.
    pub(crate) fn others(&self) -> f32 {
        self.others_each * self.loads.seen.len() as f32
    }

    /// When `slot` reported last; the beginning of time where it did not.
    pub(crate) fn reported_at(&self, slot: usize) -> Tick {
        self.seen(slot).map_or(Tick::ZERO, |seen| seen.at)
    }

    /// How much the unseen count, 0 to 1: 0 where the report is fresh or absent.
    pub(crate) fn staleness(&self, slot: usize) -> f32 {
        let unseen = self.unseen(slot);
        unseen / (unseen + HALF_BELIEVED)
    }

    /// Requests in service at each endpoint, in whole requests; `own` is by slot.
    pub(crate) fn estimates(&self, own: &[u32], out: &mut Vec<u32>) {
        out.clear();
        if self.is_blind {
            out.extend_from_slice(own);
        } else {
            out.extend(own.iter().enumerate().map(|(slot, own)| self.estimate(slot, *own).round() as u32));
        }
    }

    /// Requests in service at `slot`, of which `own` are this proxy's. The others' part of a report fades into the mean
    /// of all endpoints the more they have sent since: an old difference is one that all have reacted to.
    fn estimate(&self, slot: usize, own: u32) -> f32 {
        match self.seen(slot) {
            Some(seen) => {
                let foreign = seen.foreign() + self.staleness(slot) * (self.mean_foreign - seen.foreign());
                own as f32 + foreign
            }
            // Nothing is known of the others there: as many as elsewhere.
            None => own as f32 + self.mean_foreign,
        }
    }

    fn seen(&self, slot: usize) -> Option<&Seen> {
        self.loads.seen.get(slot).and_then(Option::as_ref).filter(|seen| self.now.since(seen.at) <= MAX_AGE)
    }

    fn since(&self, seen: &Seen) -> f32 {
        self.loads.sent.saturating_sub(seen.sent_then) as f32 * self.others_each
    }

    /// The slots that reported last, the freshest first, at most `count`.
    pub(crate) fn freshest(&self, count: usize, out: &mut Vec<usize>) {
        let at = |slot: usize| self.loads.seen.get(slot).copied().flatten().map(|seen| seen.at);
        out.clear();
        if self.is_blind {
            return;
        }
        for slot in 0..self.loads.seen.len() {
            let Some(own) = at(slot).filter(|at| self.now.since(*at) <= MAX_AGE) else { continue };
            let place = out.iter().position(|known| at(*known) < Some(own)).unwrap_or(out.len());
            if place < count {
                out.insert(place, slot);
                out.truncate(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(in_flight: f32) -> LoadReport {
        LoadReport { in_flight, utilisation: f32::NAN }
    }

    #[test]
    fn a_report_is_moved_by_what_was_sent_since_and_forgotten_with_age() {
        let mut loads = Loads::new(1);
        let estimate = |loads: &Loads, own, secs| loads.view(Tick::from_secs_f64(secs)).estimate(0, own);
        assert_eq!(estimate(&loads, 3, 0.0), 3.0);
        loads.reported(0, &report(10.0), 3, Tick::ZERO);
        assert_eq!(estimate(&loads, 5, 0.0), 12.0);
        assert_eq!(estimate(&loads, 0, 0.0), 7.0);
        assert_eq!(estimate(&loads, 5, 1.5), 5.0);
        loads.reported(0, &report(f32::NAN), 3, Tick::ZERO);
        assert_eq!(estimate(&loads, 3, 0.0), 3.0);
    }

    #[test]
    fn the_unseen_are_what_others_sent_since_and_fade_the_differences() {
        let mut loads = Loads::new(2);
        loads.reported(0, &report(10.0), 1, Tick::ZERO);
        loads.reported(1, &report(2.0), 1, Tick::ZERO);
        let gap = |loads: &Loads| {
            let view = loads.view(Tick::ZERO);
            view.estimate(0, 1) - view.estimate(1, 1)
        };
        assert_eq!(loads.view(Tick::ZERO).unseen(0), 0.0, "nothing was sent since");
        let mut fresh = Vec::new();
        loads.view(Tick::ZERO).freshest(1, &mut fresh);
        assert_eq!(fresh, [0]);
        assert_eq!(gap(&loads), 8.0);
        (0..8).for_each(|_| loads.dispatched());
        // 8 sent by this proxy, whose share of the load is 2.5 of 13, over 2 endpoints.
        assert!((loads.view(Tick::ZERO).unseen(0) - 8.0 * (13.0 / 2.5 - 1.0) / 2.0).abs() < 1e-4);
        assert!(gap(&loads) < 3.0, "{}", gap(&loads));
        // One that was asked just now is believed, whatever the age of the others' reports.
        loads.reported(1, &report(2.0), 1, Tick::ZERO);
        let view = loads.view(Tick::ZERO);
        assert!(view.unseen(1) == 0.0 && view.unseen(0) > 10.0);
        assert_eq!(view.estimate(1, 1), 2.0);
    }
}
