//! The command line of Tailcast: arguments, commands, progress, reports.
//!
//! A library beside a thin binary, so that tests call the same code without a process.

pub mod ab;
pub mod admin;
pub mod args;
pub mod commands;
pub mod comparison;
pub mod failure;
pub mod logging;
pub mod progress;
pub mod report;
pub mod summary;
pub mod table;
pub mod training_report;
