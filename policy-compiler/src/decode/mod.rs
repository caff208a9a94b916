//! Reads Kubernetes objects, as parsed JSON, into the [model](crate::model).
//!
//! Every error is collected, each with the path of its field, and an object that has errors is still returned when
//! it can be named: what could not be understood is left out in the direction that denies.
//!
//! | what is wrong | what the policy then does |
//! | --- | --- |
//! | an item of `from`, `to` or `ports` | the item matches nothing; the list never becomes "any" |
//! | a rule: unknown field, or a list that is none | the rule allows nothing |
//! | `ingress` or `egress` is no list | isolates both directions, the section allows nothing |
//! | `policyTypes` | isolates both directions, both sections count |
//! | `podSelector` cannot be evaluated | selects every pod it may mean, and allows nothing: those pods may be closed by other policies, and a rule must not open what its author never selected |
//! | an unknown field in `spec`, or no usable `spec` | isolates both directions and allows nothing, since nobody knows what the field was to narrow |
//!
//! A label key or value of bad syntax, and a CIDR in one of the forms the API server used to accept (host bits,
//! leading zeros, IPv4-mapped), are reported too, but have a clear meaning and keep it: objects stored before that
//! validation existed are still legal.
//!
//! Missing fields get the API server's defaults, so a manifest means the same here as after `kubectl apply`.

mod address;
mod cursor;
mod metadata;
mod misspelt;
mod namespace;
mod object_meta;
mod path;
mod peer;
mod pod;
mod policy;
mod port;
mod rule;
mod selector;
mod slim;
pub mod spelling;
#[cfg(test)]
mod tests;
mod workload;

use std::cell::RefCell;
use std::fmt;

use serde_json::Value;

use crate::model::{Namespace, Pod, Policy};
use cursor::Cursor;
pub use misspelt::misspelt;
pub use path::{FieldPath, Segment};

/// What was read of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decoded<T> {
    /// The object, unless it has no usable name. It may be there beside errors.
    pub object: Option<T>,
    /// Everything that is wrong, in the order of the API's fields; empty if the API server would accept the object.
    pub errors: Vec<FieldError>,
}

/// One thing wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldError {
    /// Where.
    pub path: FieldPath,
    /// What, in the API server's words where it has some.
    pub problem: String,
}

impl fmt::Display for FieldError {
    /// ``spec.ingress[0].ports[1].endPort: Invalid value: 79: must be greater than or equal to `port` ``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() {
            return f.write_str(&self.problem);
        }
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::error::Error for FieldError {}

/// The kinds of objects this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1` `Pod`
    Pod,
    /// `v1` `Namespace`
    Namespace,
    /// `networking.k8s.io/v1` `NetworkPolicy`
    NetworkPolicy,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Pod, Self::Namespace, Self::NetworkPolicy];

    /// API field `apiVersion`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::Namespace => "v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
        }
    }

    /// API field `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Namespace => "Namespace",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// The resource in the API's paths, `networkpolicies`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Namespace => "namespaces",
            Self::NetworkPolicy => "networkpolicies",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads a `v1` Pod. Fields that policy does not look at are not looked at.
pub fn pod(object: &Value) -> Decoded<Pod> {
    decode(object, pod::pod)
}

/// Reads a `v1` Namespace. The result always has the label that holds its name (semantics rule C6).
pub fn namespace(object: &Value) -> Decoded<Namespace> {
    decode(object, namespace::namespace)
}

/// Reads a `networking.k8s.io/v1` NetworkPolicy, with defaults applied and validated as strictly as the API server
/// does: an unknown field anywhere is an error, so that a misspelt selector is not taken for a missing one.
pub fn policy(object: &Value) -> Decoded<Policy> {
    decode(object, policy::policy)
}

fn decode<T>(object: &Value, read: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Decoded<T> {
    let errors = RefCell::new(Vec::new());
    let object = read(&Cursor::root(object, &errors));
    Decoded {
        object,
        errors: errors.into_inner(),
    }
}
