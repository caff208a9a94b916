//! What a gate tells of, and the answer that a starting pod waits for.

use std::net::IpAddr;

use tokio::sync::oneshot;

/// A pod as the container runtime knows it: what its containers share, network included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's name for it. A pod whose sandbox died gets another one, under the same uid.
    pub id: String,
    /// The uid that the kubelet gave. For a static pod it is not the uid of the mirror pod in the API.
    pub uid: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The addresses that the network plugin gave; never empty in [`GateEvent::Started`].
    pub addresses: Vec<IpAddr>,
}

/// What a gate has to tell.
#[derive(Debug)]
pub enum GateEvent {
    /// The runtime accepted the registration. All sandboxes that run already follow as `Started` with answers that nobody awaits.
    Connected {
        /// The runtime's name, such as `containerd`.
        runtime: String,
        /// The runtime's version.
        version: String,
    },
    /// There is no connection. Told once; trying goes on silently.
    Lost {
        /// What happened.
        why: String,
    },
    /// A sandbox has its network. If the answer is awaited, no container has been started in it.
    Started(Sandbox, Answer),
    /// A sandbox was stopped or removed. May be told twice, and of sandboxes never told of.
    Stopped(Sandbox),
}

/// Lets a pod start.
///
/// Dropping it lets the pod start too: nothing here can keep a pod from starting for ever.
#[derive(Debug)]
pub struct Answer(oneshot::Sender<()>);

impl Answer {
    /// An answer, and what waits for it.
    pub fn awaited() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Lets the pod start.
    pub fn go(self) {
        // The deadline may have come first.
        let _ = self.0.send(());
    }

    /// Whether the runtime still waits. It does not once the deadline has passed, the connection is lost, or the sandbox ran already.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }
}
