//! Hubble's `ExportEvent` in the JSON mapping of protobuf: the field names are those of Cilium's `flow.proto` and
//! `observer.proto` (v1.18), which this mirrors in what netpol writes and reads.
//!
//! Reading is lenient: fields that are missing are empty, those of others are passed over.

use serde::{Deserialize, Serialize};

/// One line: `flow` or `lost_events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportEvent {
    /// A flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// Or events that got lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_events: Option<LostEvents>,
    /// The node.
    pub node_name: String,
    /// RFC 3339 in UTC with nanoseconds.
    pub time: String,
}

/// `flow.Flow`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// RFC 3339 in UTC with nanoseconds.
    pub time: String,
}

/// `flow.LostEvent`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostEvents {
    /// `PERF_EVENT_RING_BUFFER`, `OBSERVER_EVENTS_QUEUE` or `HUBBLE_RING_BUFFER`
    pub source: String,
    /// How many; a string, as protobuf writes 64-bit numbers.
    pub num_events_lost: String,
}
