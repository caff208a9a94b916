//! The agents of two nodes against a real API server, with real packets: objects change, servers and agents come and go.
//!
//! Needs root and the Go toolchain (the API server is built from its modules the first time). Pods are network
//! namespaces of the lab; their objects are written as scheduler and kubelet would write them.

mod changes;
mod doctor;
mod faults;
mod live;
mod outages;
mod pod_events;
