//! The oracle: sees every queue, speed, cost and cache, and counts the slow-down that it causes.
//!
//! Cost of a server = time that this request would take there, given all that is in service and on its way, plus the
//! time that it would add to those in service. It does not see future arrivals, so it is a bound in practice and not
//! in theory.

use crate::server::{Discipline, Server};

/// Expected cost of `work` nanoseconds (all factors in) on a server, nanoseconds.
pub(crate) fn cost(server: &Server, work: f64) -> f64 {
    if server.failing {
        return f64::INFINITY;
    }
    let speed = server.speed();
    match server.discipline {
        Discipline::ProcessorSharing => {
            let others = f64::from(server.rif() + server.inbound);
            let slow_now = (others / server.cores).max(1.0);
            let slow_then = ((others + 1.0) / server.cores).max(1.0);
            let mut shared = 0.0;
            // Those in service share the cores with this request while both are there: min(left, work).
            if slow_then > slow_now {
                shared = server.work_left().map(|left| left.min(work)).sum::<f64>() + f64::from(server.inbound) * work;
            }
            // Its own sharing ends when the others leave: the wait is over what they have left, not over all of `work`.
            let overlap = server.work_left().map(|left| left.min(work)).sum::<f64>() + f64::from(server.inbound) * work;
            let own =
                (work * (1.0f64).max(1.0 / server.cores) + overlap / server.cores).min(work * slow_then).max(work);
            (own + shared * (slow_then - slow_now)) / speed
        }
        Discipline::Fifo { workers, queue } => {
            let workers = f64::from(workers);
            let rate = speed * (server.cores / workers).min(1.0);
            let in_service = f64::from(server.rif() + server.inbound);
            if queue < u32::MAX && in_service >= workers + f64::from(queue) {
                return f64::INFINITY;
            }
            let ahead = server.work_waiting() + f64::from(server.inbound) * work;
            let wait = if in_service < workers { 0.0 } else { (ahead + server.work_left().sum::<f64>()) / workers };
            (wait + work) / rate
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    #[test]
    fn the_oracle_counts_queue_speed_and_the_slow_down_it_causes() {
        let server = |speed: f64| Server::new(0, Discipline::ProcessorSharing, 1.0, speed, None);
        let idle = server(1.0);
        assert!((cost(&idle, 10.0 * MS) / MS - 10.0).abs() < 1e-6);
        assert!((cost(&server(0.5), 10.0 * MS) / MS - 20.0).abs() < 1e-6);
        let mut busy = server(1.0);
        busy.arrive(1, 10.0 * MS, 0);
        assert!((cost(&busy, 10.0 * MS) / MS - 30.0).abs() < 0.1, "20 itself and 10 to the other");
        let mut failing = server(1.0);
        failing.failing = true;
        assert!(cost(&failing, MS).is_infinite());
    }
}
