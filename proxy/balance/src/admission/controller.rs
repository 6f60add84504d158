//! Admission of one pool on one core: offer, wait, be called, be released.
//!
//! The caller keeps what waits. An [`Offer::Queued`] request is named by its [`Ticket`]; after each [`Admission::release`]
//! the caller asks [`Admission::next`] until nobody is called. At a ticket's `until` the caller takes it back with
//! [`Admission::give_up`]: whoever waits has a timer already, and a second one here would only have to agree with it.

use super::class::Classes;
use super::fair::{FairQueue, Waiting};
use super::limiter::{Limiter, LimiterOptions};
use super::meter::TenantMeters;
use super::patience::PatienceOptions;
use super::shed::{Shed, ShedReason};
use super::sketch::SpaceSaving;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tailcast_features::Tick;

/// Unnamed tenants with a queue of their own: those above 0.4 % of what waits; more do not overload a pool one by one.
const HEAVY: usize = 256;
/// Queues that all other unnamed tenants share by hash: a flood of a million names gets the weight of 32 tenants.
const SHARED: usize = 32;
/// All that waits, over what may wait of one tenant: beyond, the longest queue gives way.
const ALL_OVER_ONE: usize = 8;
/// Gain of the mean time a flow's requests take: its cost. About its last hundred requests.
const COST_GAIN: f32 = 0.02;
/// Costs are bounded by this ratio of the mean, both ways: a tenant's few slow requests are no reason to shut it out.
const COST_RATIO: f32 = 8.0;
/// A request that did not wait belongs to no flow.
const NO_FLOW: u32 = u32::MAX;

/// Settings of admission to a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionOptions {
    /// How many in flight.
    pub limiter: LimiterOptions,
    /// How long to wait.
    pub patience: PatienceOptions,
    /// Most requests of one tenant that wait.
    pub queue_requests: usize,
}

impl Default for AdmissionOptions {
    /// 64 of a tenant: what one tenant can have served within the interval on a core that serves 640 a second of it.
    fn default() -> Self {
        Self { limiter: LimiterOptions::default(), patience: PatienceOptions::default(), queue_requests: 64 }
    }
}

/// A request at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offered {
    /// Hash of the tenant's name.
    pub tenant: u64,
    /// When its client stops waiting; the deadline of its class holds beside it.
    pub deadline: Option<Tick>,
    /// How long it will take; the pool's recent mean where nobody says.
    pub forecast: Option<Duration>,
}

/// What became of an offer.
#[derive(Debug, PartialEq)]
pub enum Offer {
    /// It may go on.
    Admitted(Permit),
    /// It waits.
    Queued(Ticket),
    /// It is refused.
    Shed(Shed),
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    serial: u64,
    flow: u32,
    /// When it is to be given up.
    pub until: Tick,
}

impl Ticket {
    /// Its number, by which it is called.
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

/// A place among those in flight. To be given back with [`Admission::release`].
#[derive(Debug, PartialEq)]
#[must_use = "a place that is not released is lost"]
pub struct Permit {
    flow: u32,
    tenant: u64,
    started: Tick,
    metered: bool,
}

/// Who is next.
#[derive(Debug, PartialEq)]
pub enum Called {
    /// The request of this number may go on.
    Admitted(u64, Permit),
    /// The request of this number is refused.
    Shed(u64, Shed),
}

/// What an operator wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AdmissionStats {
    /// Most that may be in flight.
    pub limit: u32,
    /// In flight.
    pub in_flight: u32,
    /// Waiting.
    pub waiting: u32,
    /// Mean latency of the pool at ease, milliseconds; 0 while unknown.
    pub baseline_ms: f32,
}

/// Admission to one pool on one core.
#[derive(Debug)]
pub struct Admission {
    options: AdmissionOptions,
    classes: Classes,
    meters: Arc<TenantMeters>,
    limiter: Limiter,
    queue: FairQueue,
    heavy: SpaceSaving,
    serial: u64,
    /// Pushed out of a full queue, not yet called.
    pushed_out: VecDeque<(u64, ShedReason)>,
    /// Mean time in flight of each flow's requests and of all, milliseconds; NaN while unknown.
    held_ms: Vec<f32>,
    mean_held_ms: f32,
}

impl Admission {
    /// Admission with these classes. `meters` are shared by all cores of the pool.
    pub fn new(options: AdmissionOptions, classes: Classes, meters: Arc<TenantMeters>) -> Self {
        let flows = classes.named() + HEAVY + SHARED;
        Self {
            limiter: Limiter::new(options.limiter),
            queue: FairQueue::new(flows, classes.smallest_weight()),
            heavy: SpaceSaving::new(HEAVY),
            serial: 0,
            pushed_out: VecDeque::new(),
            held_ms: vec![f32::NAN; flows],
            mean_held_ms: f32::NAN,
            options,
            classes,
            meters,
        }
    }

    /// A request asks to be let in.
    #[inline]
    pub fn offer(&mut self, request: &Offered, now: Tick) -> Offer {
        let (named, class) = self.classes.find(request.tenant);
        let metered = match self.meters.take(request.tenant, self.classes.class(class), now) {
            Ok(metered) => metered,
            Err(shed) => return Offer::Shed(shed),
        };
        let own = self.classes.class(class).deadline.map(|time| now.after(time));
        let deadline = match (request.deadline, own) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let is_free = self.queue.len() == 0 && self.limiter.in_flight() < self.limiter.limit();
        if !is_free {
            return self.enqueue(request, deadline, metered, named, class, now);
        }
        if self.is_late(request, deadline, Duration::ZERO, now) {
            return self.refuse(request.tenant, metered, ShedReason::Deadline);
        }
        Offer::Admitted(self.admit(NO_FLOW, request.tenant, metered, now))
    }

    /// A request has left, by whatever way. `is_measured` where its time tells how the pool is: it was answered, or timed
    /// out. Whoever waits may be next.
    pub fn release(&mut self, permit: Permit, is_measured: bool, now: Tick) {
        if permit.metered {
            self.meters.give_back(permit.tenant);
        }
        self.limiter.ended(permit.started, is_measured, now);
        if !is_measured {
            return;
        }
        let held = now.millis_since(permit.started);
        follow(&mut self.mean_held_ms, held);
        if let Some(own) = self.held_ms.get_mut(permit.flow as usize) {
            follow(own, held);
        }
    }

    /// Who is called next: to be asked after each release, until nobody is.
    pub fn next(&mut self, now: Tick) -> Option<Called> {
        if let Some((serial, reason)) = self.pushed_out.pop_front() {
            return Some(Called::Shed(serial, reason.into()));
        }
        if self.queue.len() == 0 || self.limiter.in_flight() >= self.limiter.limit() {
            return None;
        }
        let (held, mean) = (&self.held_ms, self.mean_held_ms);
        let cost = |flow: usize| cost(held[flow], mean);
        let (flow, request) = self.queue.pop(now, cost)?;
        if now > request.until {
            self.queue.refund(flow, cost(flow));
            self.give_back(request.tenant, request.metered);
            return Some(Called::Shed(request.serial, ShedReason::QueueTime.into()));
        }
        let permit = self.admit(flow as u32, request.tenant, request.metered, now);
        Some(Called::Admitted(request.serial, permit))
    }

    /// A request waits no longer: its time is up, or its client went away. False where it was called before.
    pub fn give_up(&mut self, ticket: &Ticket, now: Tick) -> bool {
        let Some(request) = self.queue.remove(ticket.flow as usize, ticket.serial, now) else { return false };
        self.give_back(request.tenant, request.metered);
        true
    }

    /// As it is now.
    pub fn stats(&self) -> AdmissionStats {
        AdmissionStats {
            limit: self.limiter.limit(),
            in_flight: self.limiter.in_flight(),
            waiting: u32::try_from(self.queue.len()).unwrap_or(u32::MAX),
            baseline_ms: self.limiter.baseline_ms().unwrap_or(0.0),
        }
    }

    /// True where some class limits its tenants themselves: then an offer costs two more atomics.
    pub fn has_own_limits(&self) -> bool {
        self.classes.any_own_limit()
    }

    fn admit(&mut self, flow: u32, tenant: u64, metered: bool, now: Tick) -> Permit {
        self.limiter.started(now);
        Permit { flow, tenant, started: now, metered }
    }

    fn refuse(&self, tenant: u64, metered: bool, reason: ShedReason) -> Offer {
        self.give_back(tenant, metered);
        Offer::Shed(reason.into())
    }

    fn give_back(&self, tenant: u64, metered: bool) {
        if metered {
            self.meters.give_back(tenant);
        }
    }

    /// True where a request that waits so long would not be done in time. Never where nothing is in flight: a pool that was
    /// slow once would then never be asked again.
    fn is_late(&self, request: &Offered, deadline: Option<Tick>, wait: Duration, now: Tick) -> bool {
        let Some(deadline) = deadline else { return false };
        self.limiter.in_flight() > 0 && now.after(wait).after(self.forecast(request)) > deadline
    }

    fn forecast(&self, request: &Offered) -> Duration {
        let mean = || Duration::from_secs_f32(self.limiter.recent_ms().unwrap_or(0.0) * 1e-3);
        request.forecast.unwrap_or_else(mean)
    }

    #[cold]
    fn enqueue(
        &mut self,
        request: &Offered,
        deadline: Option<Tick>,
        metered: bool,
        named: Option<u32>,
        class: usize,
        now: Tick,
    ) -> Offer {
        let flow = self.flow_of(request.tenant, named, now);
        let (weight, priority) = (self.classes.class(class).weight, self.classes.class(class).priority);
        let length = self.queue.len_of(flow);
        if length >= self.options.queue_requests {
            return self.refuse(request.tenant, metered, ShedReason::QueueFull);
        }
        // A full pool has an end each latency / limit (Little's law); it lets one in, of this flow in its share of cases.
        let ends = (length + 1) as f32 / self.queue.share(flow, weight).max(1e-6);
        let ms = ends * self.limiter.recent_ms().unwrap_or(0.0) / self.limiter.limit().max(1) as f32;
        let wait = Duration::try_from_secs_f32(ms * 1e-3).unwrap_or(Duration::MAX);
        if self.is_late(request, deadline, wait, now) {
            return self.refuse(request.tenant, metered, ShedReason::Deadline);
        }
        let patience = self.queue.patience(flow, now).of(&self.options.patience, now);
        let latest = deadline.map_or(Tick::from_nanos(u64::MAX), |deadline| {
            let forecast = u64::try_from(self.forecast(request).as_nanos()).unwrap_or(u64::MAX);
            Tick::from_nanos(deadline.nanos().saturating_sub(forecast))
        });
        let until = now.after(patience).min(latest.max(now));
        self.serial += 1;
        let waiting = Waiting { serial: self.serial, tenant: request.tenant, until, metered };
        self.queue.push(flow, weight, priority, waiting);
        if self.queue.len() > self.options.queue_requests * ALL_OVER_ONE
            && let Some((_, out)) = self.queue.take_of_longest(now)
        {
            self.give_back(out.tenant, out.metered);
            if out.serial == self.serial {
                return Offer::Shed(ShedReason::QueueFull.into());
            }
            self.pushed_out.push_back((out.serial, ShedReason::QueueFull));
        }
        Offer::Queued(Ticket { serial: self.serial, flow: flow as u32, until })
    }

    /// The queue of a tenant: its own where it is named or heavy, else one that it shares.
    fn flow_of(&mut self, tenant: u64, named: Option<u32>, now: Tick) -> usize {
        if let Some(number) = named {
            return number as usize;
        }
        let first = self.classes.named();
        let found = self.heavy.observe(tenant, now);
        if found.is_new {
            self.held_ms[first + found.place] = f32::NAN;
        }
        if found.is_heavy { first + found.place } else { first + HEAVY + (tenant >> 32) as usize % SHARED }
    }
}

/// What a request of a flow costs, over a mean one: the share of time that it is in flight is what a pool has to give.
fn cost(own_ms: f32, mean_ms: f32) -> f32 {
    let ratio = own_ms / mean_ms;
    if ratio.is_finite() { ratio.clamp(1.0 / COST_RATIO, COST_RATIO) } else { 1.0 }
}

fn follow(mean: &mut f32, value: f32) {
    if mean.is_nan() {
        *mean = value;
    } else {
        *mean += COST_GAIN * (value - *mean);
    }
}
