//! Admission: how much of the work that comes is let into a pool, whose, and in which order.
//!
//! Without it a pool that is asked for more than it can serve serves less than it could: requests wait in the endpoints
//! until their clients are gone, and one tenant's flood is everybody's. With it the pool has as many requests in flight as
//! it needs to be busy; the rest waits here, briefly and fairly, or is refused while a refusal is still cheap.
//!
//! | module | is | source |
//! | --- | --- | --- |
//! | `limiter` | how many in flight | gradient limiter (Netflix, Envoy) |
//! | `fair` | whose turn it is | deficit round robin (Shreedhar & Varghese), priorities |
//! | `patience` | how long to wait | controlled delay (CoDel; Facebook's form) |
//! | `sketch` | which unnamed tenants have a queue of their own | space-saving (Metwally et al.) |
//! | `class` | what a tenant may have | |
//! | `meter` | its own rate and concurrency, for all workers together | generic cell rate algorithm |
//! | `shed` | why a request was refused | |
//! | `controller` | all of it for one pool on one core | |
//!
//! Sans I/O, as all of this crate: the caller tells the time, keeps what waits, and asks who is next after each end.
//! Every core has its own [`Admission`], as it has its own balancer: it learns its own limit from its own requests, which
//! is what proxies beside each other have to do in any case, and nothing on the path is shared. Rejected: one limit for
//! all cores (a slot that one core frees would have to wake a request on another), and dividing one limit by their number
//! (the kernel does not divide connections so). Only a tenant's own rate and concurrency are shared, see `meter`.
//!
//! Where nobody waits, an offer is a comparison and an addition.

mod class;
mod controller;
mod fair;
mod limiter;
mod meter;
mod patience;
mod shed;
mod sketch;
#[cfg(test)]
mod tests;

pub use class::{Classes, PRIORITIES, Rate, TenantClass};
pub use controller::{Admission, AdmissionOptions, AdmissionStats, Called, Offer, Offered, Permit, Ticket};
pub use limiter::{Limiter, LimiterOptions};
pub use meter::TenantMeters;
pub use patience::PatienceOptions;
pub use shed::{Shed, ShedReason};
