//! From what the simulated proxies logged to a model that they load.
//!
//! The pieces are those of `tailcast-training`: the same trees, the same conformal shifts, the same error head, and while
//! running the same gate. Left out are the baselines: the simulation itself is the judge of a first model.

mod challenge;
mod fit;
mod rounds;

pub(crate) use challenge::{Challenge, challenge};
use fit::fit;
pub(crate) use rounds::{Learned, learn};

#[cfg(test)]
mod tests;
