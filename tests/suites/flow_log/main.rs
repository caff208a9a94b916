//! The flow log: dropped packets on their way out of the real kernel.

mod nflog;
