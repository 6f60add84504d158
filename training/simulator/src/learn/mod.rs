//! From what the simulated proxies logged to a model that they load.
//!
//! The pieces are those of `tailcast-training`: the same trees, the same error head. Left out are what a simulation has
//! no use for: the baselines and the gate (the simulation itself is the judge), and conformal shifts (a shift that is
//! the same for all candidates changes no choice).

mod fit;
mod rounds;

use fit::fit;
pub(crate) use rounds::{Learned, learn, refit};

#[cfg(test)]
mod tests;
