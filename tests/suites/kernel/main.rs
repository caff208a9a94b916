//! The table in the real kernel: what is left of random worlds, the packets that pass, and what is counted.

mod connections;
mod counters;
mod doctor;
mod enforced;
mod netlink;
mod packets;
mod placed;
mod steady;
mod tables;
mod watch;
