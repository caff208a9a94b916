//! What the integration tests share.

pub mod cluster;
mod command;
pub mod control_plane;
pub mod fixture;
pub mod helm;
pub mod interpreter;
pub mod kernel_model;
pub mod kubernetes;
pub mod lab;
pub mod worlds;
