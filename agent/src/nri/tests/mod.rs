//! The gate against a runtime that does what the tests want.

mod answers;
mod connections;
mod fake;
mod oddities;
