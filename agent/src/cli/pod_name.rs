//! Pods on the command line.

use clap::Args;
use policy_compiler::model::{Name, ObjectKey};

/// `NAMESPACE/NAME`, or a bare `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodName {
    namespace: Option<Name>,
    name: Name,
}

/// Where pods are that are named without their namespace.
#[derive(Debug, Args)]
pub(super) struct Namespace {
    /// Namespace of pods that are named without one [default: that of the kubeconfig's context, else default]
    #[arg(short, long, value_name = "NAMESPACE", value_parser = Name::parse)]
    namespace: Option<Name>,
}

impl PodName {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let namespace = namespace.map(Name::parse).transpose();
        Ok(Self {
            namespace: namespace.map_err(|error| format!("the namespace {error}"))?,
            name: Name::parse(name).map_err(|error| format!("a name {error}"))?,
        })
    }

    /// The pod, in this namespace if none was given.
    pub(super) fn within(self, namespace: &Name) -> ObjectKey {
        let namespace = self.namespace.unwrap_or_else(|| namespace.clone());
        ObjectKey::new(namespace, self.name)
    }
}

impl Namespace {
    /// The one that was given, or this.
    pub(super) fn or(self, other: Name) -> Name {
        self.namespace.unwrap_or(other)
    }
}
