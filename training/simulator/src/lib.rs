//! Discrete-event simulation of endpoints, network and clients around the *production* code of `proxy/balance`.
//!
//! What is new here are servers, network, clients and the peers' policies; decisions, features, corrections and the
//! learned model are the code that a proxy runs, driven with simulated time. Deterministic by seed: two policies at one
//! seed see the same requests at the same instants.
//!
//! | module | is |
//! | --- | --- |
//! | [`scenario`] | what is simulated: a checked TOML file, resolved to cells |
//! | [`policy`] | the rows of a report, and the parts that an ablation leaves out |
//! | `peers` | the policies that production does not have, with their sources |
//! | `server`, `workload`, `engine` | servers in virtual time, open-loop arrivals, the event loop |
//! | `learn`, [`log`] | what the proxies log, and the models fitted to it |
//! | [`simulate()`] | cells x policies x seeds |
//! | [`report`], [`marks`], [`intervals`], [`histogram`] | what was found, and whether it is enough |
//! | [`traces`] | public traces as arrivals |

mod chance;
mod engine;
pub mod error;
mod fairness;
pub mod histogram;
pub mod intervals;
mod learn;
pub mod log;
pub mod marks;
mod measures;
mod peers;
pub mod policy;
pub mod report;
pub mod scenario;
mod server;
pub mod simulate;
pub mod traces;
mod workload;

pub use error::SimError;
pub use policy::Policy;
pub use report::SimulationReport;
pub use scenario::{Cell, Scenario};
pub use simulate::{Progress, SimulateOptions, simulate};
