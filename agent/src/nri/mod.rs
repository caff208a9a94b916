//! The gate at a pod's start: the container runtime tells of each new sandbox over its NRI socket, and waits for the answer
//! before it starts a container in it.
//!
//! ```text
//! runtime ──unix socket──→ multiplex ─→ ttrpc ─→ service ──→ GateEvent … Answer
//!    ↑                                              │                      │
//!    └───────────── answer, or the deadline ←───────┴──────────────────────┘
//! ```
//!
//! It has a thread of its own: the runtime drops a plugin that answers late, and the agent's may be busy. Protobuf is read
//! by hand: of a dozen messages a few fields matter, and the bulk, all containers of the node, is skipped without being
//! copied; that takes fewer lines than to declare it.

mod connection;
mod error;
mod event;
mod known;
mod patience;
mod report;
mod service;
mod wire;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use futures::{Stream, stream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

use error::Broken;
use known::Known;
use report::Report;

pub use event::{Answer, GateEvent, Sandbox};

/// Where the container runtime listens, unless told otherwise. containerd and CRI-O agree on it.
pub const DEFAULT_SOCKET: &str = "/var/run/nri/nri.sock";

/// Events that the agent may be behind with, all sandboxes of a node that are told at once among them. If it is further
/// behind, the connection is given up, and all is told anew when the agent is there again.
const QUEUE: usize = 4096;

/// A runtime that is started again listens after a second, and pods start soon after. Trying costs next to nothing.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(3)];

/// What a gate needs to know.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// The container runtime's NRI socket.
    pub socket: PathBuf,
}

/// Registers with the runtime, and registers anew whenever the connection is lost, until the stream is dropped.
pub fn gate(settings: GateSettings) -> impl Stream<Item = GateEvent> + Send + Unpin + 'static {
    let (events, mut receiver) = mpsc::channel(QUEUE);
    let fallback = events.clone();
    let started = thread::Builder::new()
        .name("netpol-nri".to_owned())
        .spawn(move || work(&settings.socket, events));
    if let Err(source) = started {
        let why = format!("the thread netpol-nri does not start: {source}");
        // The queue is empty.
        let _ = fallback.try_send(GateEvent::Lost { why });
    }
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

fn work(socket: &Path, events: mpsc::Sender<GateEvent>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(async move {
            let report = Report::new(events);
            let deserted = report.deserted();
            tokio::select! {
                () = deserted => {}
                () = stay_connected(socket, report) => {}
            }
        }),
        Err(source) => {
            let why = format!("the thread netpol-nri cannot wait for events: {source}");
            let _ = events.try_send(GateEvent::Lost { why });
        }
    }
}

async fn stay_connected(socket: &Path, mut report: Report) {
    let [shortest, longest] = PAUSES;
    let mut pause = shortest;
    let mut known = Known::default();
    loop {
        let begin = Instant::now();
        let broken = match UnixStream::connect(socket).await {
            Ok(stream) => connection::serve(stream, &mut known, &mut report).await,
            Err(source) => Broken::Connect {
                socket: socket.to_owned(),
                source,
            },
        };
        if report.lost(&broken).await.is_err() {
            return;
        }
        pause = if begin.elapsed() > longest {
            shortest
        } else {
            longest.min(pause * 2)
        };
        sleep(pause).await;
    }
}
