//! Random worlds in the real kernel: the table that is left, and the packets that pass.

mod packets;
mod placed;
mod tables;
