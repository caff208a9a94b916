//! What can go wrong with the control plane.

use kube::core::Status;

/// A failure of the control plane, or its answer no.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The answer.
        source: std::io::Error,
    },
    /// The programs could not be built.
    #[error(
        "tests/control-plane/build.sh failed; it needs the Go toolchain and a Go module proxy:\n{0}"
    )]
    Build(String),
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A program ended or did not get ready.
    #[error("{program} {problem}; the end of its log:\n{log}")]
    Program {
        /// Which.
        program: &'static str,
        /// What is wrong with it.
        problem: String,
        /// The last lines it wrote.
        log: String,
    },
    /// The API server refused a request.
    #[error("the API server refused ({}): {}", .0.code, .0.message)]
    Refused(Box<Status>),
    /// The request did not get through.
    #[error("request to the API server: {0}")]
    Client(kube::Error),
    /// The request could not be put together.
    #[error("cannot build the request: {0}")]
    Request(String),
    /// A task panicked, or the thread inside the network namespace has ended.
    #[error("a task inside the network namespace ended without an answer")]
    Ended,
}

impl ControlPlaneError {
    /// Makes a closure that adds what was attempted to an I/O error.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }

    /// The answer, if it is the API server's no.
    pub fn refusal(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            _ => None,
        }
    }
}

impl From<kube::Error> for ControlPlaneError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            other => Self::Client(other),
        }
    }
}
