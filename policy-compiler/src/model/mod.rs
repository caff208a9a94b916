//! The objects the compiler works on: small, parsed, valid by construction.
//!
//! A typed Kubernetes `Pod` costs tens of kilobytes; [`Pod`] keeps the few hundred bytes that policy can see.
//! A value that exists is valid: an [`IpBlock`]'s exceptions lie inside it, a [`PortRange`] is not empty.
//! What a policy said that could not be understood is kept out of the model in the direction that denies
//! (see [`crate::decode`]).

mod ip_block;
mod labels;
mod name;
mod namespace;
mod pod;
mod policy;
mod port;
mod selector;
mod snapshot;
mod workload;

pub use ip_block::{IpBlock, IpBlockError};
pub use labels::{
    LABEL_KEY_RULE, LABEL_VALUE_RULE, Labels, NAMESPACE_NAME_LABEL, is_label_key, is_label_value,
};
pub use name::{Name, NameError, ObjectKey};
pub use namespace::Namespace;
pub use pod::{NamedPort, Phase, Pod, PodAddresses};
pub use policy::{Direction, NamespaceScope, Peer, Peers, PodPeer, Policy, PortMatch, Ports, Rule};
pub use port::{PortName, PortNameError, PortRange, Protocol};
pub use selector::{Operator, Requirement, Selector};
pub use snapshot::{NodeScope, Snapshot};
pub use workload::Workload;
