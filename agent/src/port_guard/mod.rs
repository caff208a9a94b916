//! The source guard of bridges: what bears a pod's address must come by that pod's port.
//!
//! ```text
//! enforce: addresses of this node's pods ─┐
//! rtnetlink: ports, addresses behind them ┼→ bindings ──→ table bridge netpol
//! the table, as an earlier agent left it ─┘
//! ```
//!
//! Where pods are routed, the kernel's way back to an address tells whether a packet may bear it, and a rule of table
//! `inet netpol` asks for that. On a bridge the way back is the bridge, for all of its pods. So the agent asks the kernel
//! which addresses are configured behind each port, once, when a pod has just got them, and binds the pod's address to its
//! port for as long as both are there. It changes nothing of pods on other kinds of links, and makes no table where there
//! is no bridge.
//!
//! This goes on beside the event loop, on threads that may wait for the kernel.

mod bindings;
mod guard;
mod pods;
pub(crate) mod ports;
mod task;
mod verify;

use std::net::IpAddr;
use std::time::Duration;

use policy_compiler::index::Event;
use policy_compiler::model::NodeScope;
use policy_compiler::ruleset::DropLog;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::warn;

use crate::dataplane::{NetlinkError, Watcher};
use crate::doctor::Plugged;
use crate::telemetry::Telemetry;
use guard::Guard;
pub use guard::Guarded;
use pods::LocalPods;
use task::{Heard, Request};
pub use verify::verify;

/// Whoever waits for a pod to be bound waits no longer than this, as when another program holds nftables.
const PATIENCE: Duration = Duration::from_secs(1);

/// A handle on the guard. Dropped, the guard ends and its table stays.
#[derive(Debug, Default)]
pub struct PortGuard {
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    pods: LocalPods,
    /// Everything is known of the pods.
    is_complete: bool,
    tell: watch::Sender<Option<pods::Published>>,
    requests: mpsc::UnboundedSender<Request>,
}

impl PortGuard {
    /// Guards nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Begins to guard the ports of the network namespace that this thread is in, as soon as it is told of pods. Must be
    /// called in a tokio runtime. What is dropped is logged as `log` says.
    pub fn start(
        log: Option<DropLog>,
        telemetry: Telemetry,
        plugged: Plugged,
    ) -> Result<Self, NetlinkError> {
        let guard = Guard::open(log)?;
        let heard = Heard {
            plugged,
            watcher: Watcher::of_ports(&guard.table)?,
        };
        let (tell, told) = watch::channel(None);
        let (requests, asked) = mpsc::unbounded_channel();
        tokio::spawn(task::run(guard, told, asked, heard, telemetry));
        let started = Started {
            pods: LocalPods::default(),
            is_complete: false,
            tell,
            requests,
        };
        Ok(Self {
            started: Some(started),
        })
    }

    /// Removes the table of an earlier agent that did guard. Says whether there was one.
    pub fn remove() -> Result<bool, NetlinkError> {
        Guard::open(None)?.remove()
    }

    /// Takes note of what happened to a pod.
    pub fn take(&mut self, event: &Event, scope: &NodeScope) {
        let Some(started) = &mut self.started else {
            return;
        };
        if started.pods.take(event, scope) {
            started.publish();
        }
    }

    /// All pods are known. Until now what an earlier agent has left stays as it is.
    pub fn complete(&mut self) {
        if let Some(started) = &mut self.started {
            started.is_complete = true;
            started.publish();
        }
    }

    /// Something to wait with until pods are bound that [`take`](Self::take) has been told of, if any are.
    #[must_use]
    pub fn binder(&self) -> Option<Binder> {
        let started = self.started.as_ref()?;
        Some(Binder {
            requests: started.requests.clone(),
        })
    }
}

impl Started {
    fn publish(&mut self) {
        if self.is_complete {
            let _ = self.tell.send(Some(self.pods.published()));
        }
    }
}

/// Waits until pods are bound.
#[derive(Clone, Debug)]
pub struct Binder {
    requests: mpsc::UnboundedSender<Request>,
}

impl Binder {
    /// Completes when these addresses are bound, or cannot be: where no bridge is, nothing is.
    pub async fn bind(&self, addresses: &[IpAddr]) {
        let (done, is_done) = oneshot::channel();
        let addresses = addresses.to_vec();
        if self.requests.send(Request { addresses, done }).is_err() {
            return;
        }
        if timeout(PATIENCE, is_done).await.is_err() {
            warn!("the ports of a pod that starts could not be looked at in time");
        }
    }
}
