//! Why there is no connection to the runtime, in words for who runs the node.

use std::io;
use std::path::PathBuf;

use super::wire::WireError;

/// Why a connection ended, or never was one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Nobody listens there, or not for this agent.
    #[error(
        "cannot connect to the container runtime at {}: {source}; is its NRI enabled, and the folder of the socket mounted?",
        socket.display()
    )]
    Connect { socket: PathBuf, source: io::Error },
    /// It ended, or the runtime does not want this plugin any more.
    #[error("the container runtime closed its NRI connection")]
    Closed,
    /// The connection failed.
    #[error("the container runtime's NRI connection failed: {0}")]
    Io(#[from] io::Error),
    /// What came over it makes no sense.
    #[error("over its NRI connection the container runtime sent {0}")]
    Wire(#[from] WireError),
    /// It does not want this plugin.
    #[error("the container runtime refused the registration as an NRI plugin: {0}")]
    Refused(String),
    /// It accepted the connection and says nothing.
    #[error(
        "the container runtime accepted an NRI connection and does not go on with it; another plugin may keep it"
    )]
    Silent,
    /// Without addresses there is nothing to program.
    #[error(
        "{runtime} does not tell NRI plugins the addresses of pods; containerd does from version 2.1 on"
    )]
    NoAddresses { runtime: String },
    /// The agent does not take what it is told.
    #[error("the agent is behind with what the container runtime told it")]
    Behind,
    /// The agent does not want to know any more.
    #[error("nobody listens")]
    Deserted,
}
