//! What can go wrong while a lab is built or used.

use std::path::PathBuf;

/// A failure of the lab itself, never of the policy under test.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process may not create network namespaces.
    #[error(
        "the lab needs root to create network namespaces; run as root, or set NETPOL_SKIP_ROOT_TESTS=1 to skip these tests"
    )]
    Privilege,
    /// A program ended badly.
    #[error("in {place}: `{command}` failed: {stderr}\n{input}")]
    Command {
        /// The network namespace it ran in.
        place: String,
        /// The command line.
        command: String,
        /// What it wrote to standard error.
        stderr: String,
        /// What it was given on standard input.
        input: String,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, and where.
        what: String,
        /// The answer.
        source: std::io::Error,
    },
    /// The description of the lab contradicts itself.
    #[error("lab description: {0}")]
    Spec(String),
    /// A place was named that the lab does not have.
    #[error("the lab has no {0}")]
    NoSuchPlace(String),
    /// The thread of a network namespace has ended.
    #[error("the thread of {0} has ended")]
    Ended(String),
    /// The program under test is not there.
    #[error("{} is missing; build it first: cargo build -p netpol-agent --bin netpol", .0.display())]
    NoBinary(PathBuf),
    /// The program under test is older than its sources.
    #[error(
        "{} is older than {}; build it anew: cargo build -p netpol-agent --bin netpol (or name one by NETPOL_BINARY)",
        .binary.display(), .newer.display()
    )]
    StaleBinary {
        /// The program.
        binary: PathBuf,
        /// A source that changed after it was built.
        newer: PathBuf,
    },
    /// The agent did not do as it should.
    #[error("netpol agent on {node}: {problem}\n{log}")]
    Agent {
        /// The node it runs on.
        node: String,
        /// What is wrong.
        problem: String,
        /// What it wrote.
        log: String,
    },
}

impl LabError {
    /// Makes a closure that adds what was attempted to an I/O error.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what: what.into(),
            source,
        }
    }
}
