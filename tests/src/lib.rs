//! Harness of the tests that span crates. The tests themselves are in `tests/tests`.

pub mod metadata;
pub mod stand;
pub mod traces;
