//! Whose turn it is: deficit round robin over flows, one level of priority after the other.
//!
//! A flow is the queue of one tenant, or of tenants that share one. Each round a flow may spend its weight; what a request
//! costs is subtracted, what is left is kept. So flows that always wait share the pool in proportion to their weights, those
//! that want less get what they want, and what they leave is shared alike: weighted max-min fairness, at a constant cost a
//! request. Source: Shreedhar & Varghese, *Efficient Fair Queuing using Deficit Round Robin*, SIGCOMM'95.
//!
//! Two things are added, because these queues are short and their requests impatient. A flow that begins to wait goes before
//! those that have waited for rounds, as in FQ-CoDel (RFC 8290): who stays within his share hardly notices that others do
//! not. And a flow keeps what it was due while it had nothing to send, up to a few requests: a tenant that asks for about
//! its share in the mean asks for more and for less in turns, and plain round robin gives it the smaller of both each time.
//!
//! Priorities are strict, but for one turn in sixteen: a level that was passed over fifteen times goes next. A batch tenant
//! then moves at six percent of the pool however long an overload lasts, instead of timing out altogether.
//!
//! Rejected: weighted fair queueing by virtual time (a heap, for a precision that no client can see), and stochastic fair
//! queueing for all (two busy tenants in one queue share it for ever); unnamed tenants without a counter of their own do
//! share queues by hash.

use super::class::PRIORITIES;
use super::patience::Patience;
use std::collections::VecDeque;
use tailcast_features::Tick;

/// Turns that a level waits at most while more urgent ones go before it.
const PASSED_OVER: u32 = 15;

/// Requests' worth of what a flow was due that it may keep. With more, tenants just above their share are served in full
/// while they have credit, and those far above it pay (simulated: twenty tenants at three times the capacity; the worst
/// tenant gets 0.91 of its share with four, 0.86 with none and 0.77 with sixteen).
const CREDIT: f64 = 4.0;

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) serial: u64,
    pub(super) tenant: u64,
    /// Not to be let in after this.
    pub(super) until: Tick,
    pub(super) metered: bool,
}

/// One queue.
#[derive(Debug, Default)]
struct Flow {
    queue: VecDeque<Waiting>,
    weight: f32,
    priority: usize,
    /// What it may still spend before its turn is over.
    deficit: f64,
    /// Where its level's service was when it became empty.
    empty_since: f64,
    is_listed: bool,
    patience: Patience,
}

/// Flows of one priority, by how long they wait.
#[derive(Debug, Default)]
struct Level {
    new: VecDeque<u32>,
    old: VecDeque<u32>,
    waiting: usize,
    passed_over: u32,
    /// Weights of the flows that wait, added up.
    weights: f32,
    /// What a flow of weight one was due since the beginning.
    service: f64,
}

/// All flows of a pool.
#[derive(Debug)]
pub(super) struct FairQueue {
    flows: Vec<Flow>,
    levels: [Level; PRIORITIES],
    waiting: usize,
    /// Of all weights: spent in one round, so that every flow can let one request in each round.
    smallest_weight: f32,
}

impl FairQueue {
    pub(super) fn new(flows: usize, smallest_weight: f32) -> Self {
        Self {
            flows: (0..flows).map(|_| Flow::default()).collect(),
            levels: Default::default(),
            waiting: 0,
            smallest_weight: smallest_weight.max(1e-6),
        }
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Requests that wait in a flow.
    pub(super) fn len_of(&self, flow: usize) -> usize {
        self.flows[flow].queue.len()
    }

    /// When the flow was last empty, as a measure of patience.
    pub(super) fn patience(&mut self, flow: usize, now: Tick) -> Patience {
        let flow = &mut self.flows[flow];
        if flow.queue.is_empty() {
            flow.patience.emptied(now);
        }
        flow.patience
    }

    /// Share of the pool that a flow of this weight has now, 0 to 1, itself included.
    pub(super) fn share(&self, flow: usize, weight: f32) -> f32 {
        let all: f32 = self.levels.iter().map(|level| level.weights).sum();
        let others = if self.flows[flow].is_listed { all - self.flows[flow].weight } else { all };
        weight / (others.max(0.0) + weight)
    }

    /// Adds a request at the end of a flow.
    pub(super) fn push(&mut self, flow: usize, weight: f32, priority: u8, request: Waiting) {
        let index = flow as u32;
        let flow = &mut self.flows[flow];
        if flow.queue.is_empty() {
            let level = &mut self.levels[usize::from(priority).min(PRIORITIES - 1)];
            let most = CREDIT * f64::from(weight / self.smallest_weight);
            let due = (level.service - flow.empty_since) * f64::from(weight);
            flow.deficit = (flow.deficit + due).min(most);
            if !flow.is_listed {
                flow.weight = weight;
                flow.priority = usize::from(priority).min(PRIORITIES - 1);
                flow.is_listed = true;
                level.weights += weight;
                level.new.push_back(index);
            }
        }
        flow.queue.push_back(request);
        self.levels[flow.priority].waiting += 1;
        self.waiting += 1;
    }

    /// The next request and its flow. `cost` tells what a request of a flow costs; 1 is an average one.
    pub(super) fn pop(&mut self, now: Tick, cost: impl Fn(usize) -> f32) -> Option<(usize, Waiting)> {
        let level = self.next_level()?;
        // Ends: each time around a flow is served, removed, or its deficit grows by at least one.
        loop {
            let of = &mut self.levels[level];
            let (is_new, index) = match (of.new.front(), of.old.front()) {
                (Some(index), _) => (true, *index),
                (None, Some(index)) => (false, *index),
                (None, None) => return None,
            };
            let list = if is_new { &mut of.new } else { &mut of.old };
            let flow = &mut self.flows[index as usize];
            if flow.queue.is_empty() {
                list.pop_front();
                flow.is_listed = false;
                of.weights -= flow.weight;
                continue;
            }
            if flow.deficit <= 0.0 {
                flow.deficit += f64::from(flow.weight / self.smallest_weight);
                list.pop_front();
                of.old.push_back(index);
                continue;
            }
            let request = flow.queue.pop_front()?;
            let cost = f64::from(cost(index as usize));
            flow.deficit -= cost;
            of.service += cost / f64::from(of.weights.max(flow.weight));
            if is_new {
                // In turns also among those that have something left: one tenant's credit must not hold up another's.
                of.new.rotate_left(1);
            }
            self.took(index as usize, now);
            return Some((index as usize, request));
        }
    }

    /// The cost of a request that is not let in after all is given back.
    pub(super) fn refund(&mut self, flow: usize, cost: f32) {
        self.flows[flow].deficit += f64::from(cost);
    }

    /// Takes a request out; `None` where it does not wait.
    pub(super) fn remove(&mut self, flow: usize, serial: u64, now: Tick) -> Option<Waiting> {
        let of = self.flows.get_mut(flow)?;
        let place = of.queue.iter().position(|request| request.serial == serial)?;
        let request = of.queue.remove(place)?;
        self.took(flow, now);
        Some(request)
    }

    /// Takes out the newest request of the longest queue, with its flow.
    pub(super) fn take_of_longest(&mut self, now: Tick) -> Option<(usize, Waiting)> {
        let longest = self.flows.iter().enumerate().max_by_key(|(_, flow)| flow.queue.len()).map(|(at, _)| at)?;
        let request = self.flows[longest].queue.pop_back()?;
        self.took(longest, now);
        Some((longest, request))
    }

    /// One request fewer waits in a flow.
    fn took(&mut self, flow: usize, now: Tick) {
        let of = &mut self.flows[flow];
        let level = &mut self.levels[of.priority];
        if of.queue.is_empty() {
            of.patience.emptied(now);
            of.empty_since = level.service;
        }
        level.waiting -= 1;
        self.waiting -= 1;
        if self.waiting == 0 {
            self.settle();
        }
    }

    /// Nobody waits: the lists are empty again, and sums are free of what adding and taking away leaves.
    fn settle(&mut self) {
        for level in &mut self.levels {
            for index in level.new.drain(..).chain(level.old.drain(..)) {
                self.flows[index as usize].is_listed = false;
            }
            level.passed_over = 0;
            level.weights = 0.0;
        }
    }

    fn next_level(&mut self) -> Option<usize> {
        let waits = |level: &Level| level.waiting > 0;
        let most_urgent = self.levels.iter().position(waits)?;
        let starving = self.levels.iter().position(|level| waits(level) && level.passed_over >= PASSED_OVER);
        let next = starving.unwrap_or(most_urgent);
        for level in self.levels.iter_mut().skip(most_urgent + 1).filter(|level| waits(level)) {
            level.passed_over += 1;
        }
        self.levels[next].passed_over = 0;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(serial: u64) -> Waiting {
        Waiting { serial, tenant: 0, until: Tick::from_secs_f64(1e6), metered: false }
    }

    /// Requests let in of each flow, out of so many turns, where each always waits.
    fn turns(queue: &mut FairQueue, weights: &[f32], costs: &[f32], count: usize) -> Vec<usize> {
        let mut taken = vec![0; weights.len()];
        for (flow, weight) in weights.iter().enumerate() {
            for serial in 0..3 {
                queue.push(flow, *weight, 1, request(serial));
            }
        }
        for serial in 0..count as u64 {
            let (flow, _) = queue.pop(Tick::ZERO, |flow| costs[flow]).unwrap();
            taken[flow] += 1;
            queue.push(flow, weights[flow], 1, request(10 + serial));
        }
        taken
    }

    #[test]
    fn flows_that_always_wait_share_by_weight_over_cost() {
        let mut queue = FairQueue::new(3, 1.0);
        assert_eq!(turns(&mut queue, &[1.0, 2.0, 4.0], &[1.0; 3], 7_000), [1_000, 2_000, 4_000]);
        let mut queue = FairQueue::new(2, 1.0);
        let taken = turns(&mut queue, &[1.0, 1.0], &[1.0, 3.0], 8_000);
        assert!((taken[0] as f32 / taken[1] as f32 - 3.0).abs() < 0.05, "{taken:?}");
    }

    #[test]
    fn who_begins_to_wait_goes_before_who_has_waited() {
        let mut queue = FairQueue::new(10, 1.0);
        let mut serial = 0;
        for flow in 0..9 {
            for _ in 0..20 {
                serial += 1;
                queue.push(flow, 1.0, 1, request(serial));
            }
        }
        (0..20).for_each(|_| assert!(queue.pop(Tick::ZERO, |_| 1.0).is_some()));
        queue.push(9, 1.0, 1, request(999));
        assert_eq!(queue.pop(Tick::ZERO, |_| 1.0).unwrap().0, 9);
    }

    #[test]
    fn the_urgent_go_first_and_the_others_still_move() {
        let mut queue = FairQueue::new(3, 1.0);
        let mut taken = [0; 3];
        for serial in 0..16_000 {
            for (flow, priority) in [(0, 0), (1, 2), (2, 3)] {
                if queue.len_of(flow) < 2 {
                    queue.push(flow, 1.0, priority, request(serial));
                }
            }
            taken[queue.pop(Tick::ZERO, |_| 1.0).unwrap().0] += 1;
        }
        assert!(taken[0] >= 13_900, "{taken:?}");
        assert!(taken[1] >= 950 && taken[2] >= 950, "{taken:?}");
    }

    #[test]
    fn the_longest_queue_gives_way() {
        let mut queue = FairQueue::new(2, 1.0);
        [(0, 1), (1, 2), (1, 3)].into_iter().for_each(|(flow, serial)| queue.push(flow, 1.0, 1, request(serial)));
        let (flow, gone) = queue.take_of_longest(Tick::ZERO).unwrap();
        assert_eq!((flow, gone.serial, queue.len()), (1, 3, 2));
    }
}
