//! The kernel's list of connections: read as it is, marked for rules to see, changed.

mod cutting;
mod ground;
mod planned;
mod reading;
mod refusals;
