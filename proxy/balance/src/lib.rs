//! Sans-I/O load balancing: endpoints, health, candidates, policies, decisions with exact propensities.
//!
//! A [`Balancer`] is the state of one pool on one core. It opens no socket and reads no clock: the proxy, the
//! simulator and the tests drive the same code with their own time and randomness.
//!
//! | module | is |
//! | --- | --- |
//! | [`admission`] | before it: how much is let in, whose, and in which order |
//! | [`balancer`] | the entry: `decide`, `finish`, `report` |
//! | [`endpoint`] | an address in a pool, its in-flight counters |
//! | [`health`], [`outlier`] | who may take a request: passive ejection, panic mode, slow start |
//! | [`policy`] | the closed set of policies |
//! | [`candidates`], [`rif_guard`], `load`, `setback`, `affinity`, [`explore`], [`correction`] | the parts of the predictive rule |
//! | [`control`] | the share of requests that the forecast does not route |
//! | [`decision`] | what was decided, among whom, with which probability, and why |

pub mod admission;
mod affinity;
pub mod balancer;
pub mod candidates;
pub mod control;
pub mod correction;
pub mod decision;
pub mod endpoint;
pub mod explore;
pub mod health;
mod load;
pub mod outlier;
pub mod policy;
mod propensity;
pub mod rif_guard;
mod scene;
mod score;
mod setback;
mod ties;

pub use balancer::{Balancer, BalancerOptions};
pub use decision::{Decision, NoEndpoint, Reason};
pub use endpoint::{Closed, ConnectionToken, Endpoint, EndpointSpec, InFlightToken};
pub use policy::PolicyKind;
