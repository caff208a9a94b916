//! The flow log: dropped packets on their way out of the real kernel.

mod accounts;
mod ground;
mod nflog;
mod node_lock;
