//! The data plane of Tailcast: it takes requests, asks a balancer for an endpoint, forwards, learns and logs.
//!
//! One thread a worker, each with a single-threaded runtime, its own listeners, connections and balancers. Workers
//! share atomics and one pointer to a snapshot; nothing else. The way of a request, by module:
//!
//! | module | is |
//! | --- | --- |
//! | `config` | raw TOML ▸ validated [`Config`] |
//! | `proxy`, `control`, `admin` | start and stop; what can be asked and changed; the same over HTTP |
//! | `worker`, `listener`, `inherited` | a thread and its connections; its sockets, or those of a service manager |
//! | `stream`, `stall`, `tls`, `proxy_header`, `address_limit` | what comes before HTTP |
//! | `forward` | one request: inspect, decide, send, retry, answer |
//! | `admission` | who may go on, who waits, who is turned away |
//! | `headers`, `trust`, `tenant`, `routing`, `load_report` | what is read from and written into heads |
//! | `flight`, `body`, `deadline`, `tunnel` | the guard that gives a request its one outcome; bodies; time limits; upgrades |
//! | `upstream`, `budget` | kept connections to endpoints; how many retries are allowed |
//! | `topology`, `snapshot` | what a configuration becomes; what all workers share |
//! | `core`, `site` | what one worker owns; the topology as it uses it |
//! | `recorder` | the decision log |
//! | `reload`, `lineup`, `judge` | taking up a model file; which model serves; how it does beside the control |
//! | `watch` | configuration and endpoints that change |
//! | `health_check` | active checks of endpoints |
//! | `metrics`, `error`, `clock` | every counter; every failure; the one clock |

mod address_limit;
mod admin;
mod admission;
mod alarm;
mod body;
mod budget;
mod client;
mod clock;
pub mod config;
mod control;
mod core;
mod deadline;
pub mod error;
mod flight;
mod forward;
mod headers;
mod health_check;
mod inherited;
mod judge;
mod lineup;
mod listener;
mod load_report;
mod metrics;
mod probe;
mod proxy;
mod proxy_header;
mod recorder;
mod reload;
mod routing;
mod site;
mod snapshot;
mod stall;
mod stream;
mod task;
pub mod tenant;
mod tls;
mod topology;
mod trust;
mod tunnel;
mod upstream;
mod watch;
mod worker;

pub use config::{Config, ConfigError};
pub use control::{EndpointStatus, PoolStatus, Status};
pub use error::ProxyError;
pub use judge::{Arms, Harm, LiveQuantile, LiveScore, Role};
pub use lineup::{LineupStatus, PoolArms, TakenBack};
pub use metrics::MetricsSnapshot;
pub use proxy::{Proxy, RunningProxy};
