//! A server: processor sharing over some cores, or a bounded queue in front of some workers.
//!
//! Both are one mechanism in *virtual time*: every request in service attains work at the same rate, so the one that
//! finishes next is the one with the smallest "work attained by then", whatever arrives, leaves, or changes the speed.
//! An event costs O(log n) where stepping every request would cost O(n). Source: the virtual clock of Parekh &
//! Gallager 1993 for generalised processor sharing.
//!
//! Rate of one request in service: `speed · min(1, cores / in service)` (Prequal's testbed). A FIFO server serves at
//! most `workers` at a time and refuses with 503 what does not fit its queue.

pub(crate) mod cache;
pub(crate) mod latency_by_rif;

use cache::TenantCache;
use latency_by_rif::LatencyByRif;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// How a server serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Discipline {
    /// All at once, sharing the cores.
    ProcessorSharing,
    /// `workers` at a time in the order of arrival; at most `queue` wait.
    Fifo { workers: u32, queue: u32 },
}

/// A request in service, the smallest finish first in the heap.
#[derive(Debug, Clone, Copy)]
struct Job {
    finish: f64,
    request: u32,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        other.finish.total_cmp(&self.finish).then(other.request.cmp(&self.request))
    }
}

/// What came of a request that reached a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Served,
    Refused,
}

/// State of one server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) class: usize,
    pub(crate) discipline: Discipline,
    /// Cores with nobody else on the machine.
    pub(crate) full_cores: f64,
    /// Cores left now.
    pub(crate) cores: f64,
    /// Work a second on one core, relative to the reference class.
    pub(crate) base_speed: f64,
    /// Factor of a brown-out, 1 in calm.
    pub(crate) brown_out: f64,
    /// Factor of a warm-up, 1 once warm.
    pub(crate) warmth: f64,
    /// Factor of a contended machine, 1 alone.
    pub(crate) contention: f64,
    pub(crate) failing: bool,
    pub(crate) cache: Option<TenantCache>,
    pub(crate) latencies: LatencyByRif,
    /// Sent to it and still on the way: only the oracle looks.
    pub(crate) inbound: u32,
    jobs: BinaryHeap<Job>,
    waiting: VecDeque<(u32, f64)>,
    in_service: u32,
    in_queue: u32,
    virtual_now: f64,
    updated: u64,
    busy_core_nanos: f64,
    pub(crate) completed: u64,
}

impl Server {
    pub(crate) fn new(class: usize, discipline: Discipline, cores: f64, speed: f64, cache: Option<usize>) -> Self {
        Self {
            class,
            discipline,
            full_cores: cores,
            cores,
            base_speed: speed,
            brown_out: 1.0,
            warmth: 1.0,
            contention: 1.0,
            failing: false,
            cache: cache.map(TenantCache::new),
            latencies: LatencyByRif::new(),
            inbound: 0,
            jobs: BinaryHeap::new(),
            waiting: VecDeque::new(),
            in_service: 0,
            in_queue: 0,
            virtual_now: 0.0,
            updated: 0,
            busy_core_nanos: 0.0,
            completed: 0,
        }
    }

    /// Requests in flight at the server: served and waiting.
    pub(crate) fn rif(&self) -> u32 {
        self.in_service + self.in_queue
    }

    pub(crate) fn speed(&self) -> f64 {
        self.base_speed * self.brown_out * self.warmth * self.contention
    }

    fn rate(&self) -> f64 {
        let share = if f64::from(self.in_service) > self.cores { self.cores / f64::from(self.in_service) } else { 1.0 };
        self.speed() * share
    }

    /// Lets time pass up to `now`; must be called before anything changes.
    pub(crate) fn advance(&mut self, now: u64) {
        let nanos = now.saturating_sub(self.updated) as f64;
        if self.in_service > 0 {
            self.virtual_now += nanos * self.rate();
            self.busy_core_nanos += nanos * f64::from(self.in_service).min(self.cores);
        }
        self.updated = now;
    }

    /// Core-nanoseconds spent on requests up to the last [`Server::advance`].
    pub(crate) fn busy_core_nanos(&self) -> f64 {
        self.busy_core_nanos
    }

    /// Takes in a request of `work` nanoseconds (at speed 1 on a core of its own).
    pub(crate) fn arrive(&mut self, request: u32, work: f64, now: u64) -> Admission {
        self.advance(now);
        if self.failing {
            return Admission::Refused;
        }
        match self.discipline {
            Discipline::Fifo { workers, .. } if self.in_service < workers => self.serve(request, work),
            Discipline::Fifo { queue, .. } if self.in_queue < queue => {
                self.waiting.push_back((request, work));
                self.in_queue += 1;
            }
            Discipline::Fifo { .. } => return Admission::Refused,
            Discipline::ProcessorSharing => self.serve(request, work),
        }
        Admission::Served
    }

    fn serve(&mut self, request: u32, work: f64) {
        self.jobs.push(Job { finish: self.virtual_now + work.max(1.0), request });
        self.in_service += 1;
    }

    /// When the next request finishes if nothing changes; `u64::MAX` where none is in service.
    pub(crate) fn next_finish(&self) -> u64 {
        match self.jobs.peek() {
            Some(job) => {
                let left = (job.finish - self.virtual_now).max(0.0) / self.rate().max(1e-9);
                // Rounded up: at the event the work is done for certain.
                self.updated.saturating_add(left as u64 + 1)
            }
            None => u64::MAX,
        }
    }

    /// Takes out the request that finished by `now`; `alive` tells whether a queued or served one was not abandoned.
    /// `None` where only abandoned ones had to be cleared.
    pub(crate) fn finish(&mut self, now: u64, alive: impl Fn(u32) -> bool) -> Option<(u32, bool)> {
        self.advance(now);
        let job = self.jobs.peek().copied()?;
        if alive(job.request) && job.finish > self.virtual_now + 1e-3 {
            return None;
        }
        self.jobs.pop();
        let live = alive(job.request);
        if live {
            self.in_service -= 1;
            self.completed += 1;
            self.promote(&alive);
        }
        Some((job.request, live))
    }

    /// Starts waiting requests on free workers.
    fn promote(&mut self, alive: &impl Fn(u32) -> bool) {
        let Discipline::Fifo { workers, .. } = self.discipline else { return };
        while self.in_service < workers {
            let Some((request, work)) = self.waiting.pop_front() else { return };
            if alive(request) {
                self.in_queue -= 1;
                self.serve(request, work);
            } else {
                // An abandoned one leaves through the heap, so that its slot is freed in one place.
                self.jobs.push(Job { finish: self.virtual_now, request });
            }
        }
    }

    /// Stops a request that its client gave up; it must be in service or waiting and already marked as abandoned.
    pub(crate) fn abandon(&mut self, request: u32, now: u64, alive: impl Fn(u32) -> bool) {
        self.advance(now);
        if self.waiting.iter().any(|(waiting, _)| *waiting == request) {
            self.in_queue -= 1;
        } else {
            self.in_service -= 1;
            self.promote(&alive);
        }
    }

    /// Work left of each request in service, nanoseconds.
    pub(crate) fn work_left(&self) -> impl Iterator<Item = f64> + '_ {
        self.jobs.iter().map(|job| (job.finish - self.virtual_now).max(0.0))
    }

    /// Work of all that wait, nanoseconds.
    pub(crate) fn work_waiting(&self) -> f64 {
        self.waiting.iter().map(|(_, work)| work).sum()
    }
}

#[cfg(test)]
mod tests;
