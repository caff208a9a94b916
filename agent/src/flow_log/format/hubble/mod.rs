//! Hubble's `ExportEvent` in the JSON mapping of protobuf: the field names are those of Cilium's `flow.proto` and
//! `observer.proto` (v1.18), which this mirrors in what netpol writes and reads.
//!
//! Reading is lenient: fields that are missing are empty, those that netpol does not use are passed over.

mod extensions;
mod lenient;
mod wire;
mod write;

pub use extensions::{EndExtension, Extensions, HintExtension};
pub use wire::{
    Endpoint, EventType, ExportEvent, Flow, Icmp, Ip, Layer4, LostEvents, NetworkInterface, Policy,
    Ports, Tcp, TcpFlags, Workload,
};
