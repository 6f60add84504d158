//! The outside world of a proxy on real sockets: emulated endpoints behind it, open-loop load in front of it.
//!
//! Used by the demo, by `replay` and `eval live`, by the end-to-end tests and by the benchmarks, so that all of
//! them measure in the same way. It knows nothing of the proxy: what is measured could be any HTTP server.
//!
//! | module | is |
//! | --- | --- |
//! | [`endpoint`] | emulated endpoints: bounded workers, hardware classes, per-tenant caches, faults |
//! | [`load`] | requests at their intended times, whatever becomes of the others |
//! | [`stats`] | percentiles and a block bootstrap of their ratio |

pub mod endpoint;
pub mod load;
pub mod stats;
