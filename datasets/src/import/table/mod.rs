//! Input with columns: separated values and JSON objects, read by a map from columns to fields.
//!
//! | module | is |
//! | --- | --- |
//! | `field` | the fields that a map can fill |
//! | `map` | the map as the user writes it |
//! | `guess` | a map from the names of the columns |
//! | `resolve` | the map with the input's columns found in it |
//! | `row` | one record to a draft |
//! | `record` | a text to a record of separated values |
//! | `csv`, `jsonl` | the two inputs |

mod csv;
mod field;
mod guess;
mod jsonl;
mod map;
mod record;
mod resolve;
mod row;

pub(super) use csv::csv;
pub(super) use jsonl::jsonl;
