//! The agent's arguments about connections that there are already.

use clap::{Args, ValueEnum};
use policy_compiler::model::{Name, NodeScope};

use crate::revoke::Revocation;
use crate::telemetry::Telemetry;

/// What becomes of connections.
#[derive(Debug, Args)]
pub(super) struct ConnectionArguments {
    /// What becomes of connections that a change of policies, pods or namespaces forbids
    #[arg(long, value_enum, value_name = "WAY", default_value_t)]
    existing_connections: Existing,
}

/// What becomes of connections that are forbidden after they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Existing {
    /// They are cut
    #[default]
    Revoke,
    /// They stay open until one of their ends closes them
    Keep,
}

impl ConnectionArguments {
    /// Whether connections may be cut.
    pub(super) fn are_revoked(&self) -> bool {
        self.existing_connections == Existing::Revoke
    }

    pub(super) fn start(&self, node: &Name, telemetry: &Telemetry) -> Revocation {
        match self.existing_connections {
            Existing::Revoke => Revocation::start(NodeScope::Node(node.clone()), telemetry),
            Existing::Keep => Revocation::off(),
        }
    }
}
