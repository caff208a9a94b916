//! Real packets through real rules, in a network of namespaces.
//!
//! Needs root, touches nothing outside its own namespaces, and runs with `cargo test -p netpol-tests --test packets`.

#[path = "packets/attacks.rs"]
mod attacks;
#[path = "packets/connections.rs"]
mod connections;
#[path = "packets/ground.rs"]
mod ground;
#[path = "packets/rows.rs"]
mod rows;
#[path = "packets/world.rs"]
mod world;
