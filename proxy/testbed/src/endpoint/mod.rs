//! Emulated endpoints: each an HTTP server on a thread of its own, with a bounded worker pool.
//!
//! The work is a sleep that holds a worker: queues, caches and slow-downs are real, the processor stays free for
//! what is measured. Endpoints that burn processor time instead would, on a machine of two cores, measure the
//! machine.

mod cache;
mod control;
mod fleet;
mod server;
mod spec;

pub use control::{Counters, Mode};
pub use fleet::EmulatedFleet;
pub use spec::{CacheSpec, EndpointSpec, RouteLaw, demo_fleet};
