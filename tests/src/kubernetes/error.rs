//! What can go wrong with a cluster.

use std::path::PathBuf;

use crate::control_plane::ControlPlaneError;
use crate::lab::LabError;

/// A failure of the cluster itself, or of a command given to it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A network namespace, or a program in one.
    #[error(transparent)]
    Network(#[from] LabError),
    /// The API server or what runs beside it.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The answer.
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{place}: `{command}` failed: {stderr}")]
    Command {
        /// Where it ran.
        place: String,
        /// The command line.
        command: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// Something did not come true in time.
    #[error("{what} did not come true within {seconds} s; last: {last}")]
    Waited {
        /// What was awaited.
        what: String,
        /// How long.
        seconds: u64,
        /// How it was at the end.
        last: String,
    },
    /// The image under test is not there, or an old one.
    #[error("{} {problem}; build it: make image ARCH=amd64 (or arm64), or name one by NETPOL_IMAGE", .archive.display())]
    NoImage {
        /// Where it should be.
        archive: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A pod was named whose network namespace is not to be found.
    #[error("{node} has no pod with the address {address}")]
    NoSuchPod {
        /// Where it was looked for.
        node: String,
        /// By which address.
        address: String,
    },
}

impl ClusterError {
    /// Makes a closure that adds what was attempted to an I/O error.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }
}
