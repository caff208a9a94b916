//! A pod's first moment: what it may do before its rules are in the kernel, and who makes it wait until they are.
//!
//! ```text
//! gate (the runtime's NRI socket) ─┐                ┌→ events for the compiler, with the addresses that pods really have
//! pod ranges (flags, Node object) ─┼→ `PodStart` ───┼→ what is closed to pods without rules
//! events of the source ────────────┘                └→ answers, once the kernel has a pod's rules
//! ```

mod overlay;
mod ranges;
mod stance;
mod waiting;

use std::fmt;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use policy_compiler::compile::PodPlaces;
use policy_compiler::index::Event;
use policy_compiler::model::NodeScope;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::nri::{GateEvent, Sandbox};
use crate::telemetry::Telemetry;
use overlay::Overlay;
pub use ranges::{Ranges, fixed, of_node};
pub(crate) use ranges::{of_object, places_of};
pub use stance::Mode;
use stance::{Gate, Stance};
use waiting::Waiting;
pub(crate) use waiting::{Programmed, Revision};

/// What the loop has to take.
#[derive(Debug)]
pub(crate) enum Occurrence {
    Gate(GateEvent),
    Ranges(Ranges),
}

/// The state of it all.
pub struct PodStart {
    stance: Stance,
    /// `None` where no gate is: then events of the source stay as they are.
    overlay: Option<Overlay>,
    waiting: Waiting,
    occurrences: BoxStream<'static, Occurrence>,
    telemetry: Telemetry,
}

impl fmt::Debug for PodStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodStart")
            .field("stance", &self.stance)
            .field("overlay", &self.overlay)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl PodStart {
    /// For the pods of `scope`, whose ranges are told by `ranges` and whose starts by `gate`, if there is one.
    pub fn new(
        scope: &NodeScope,
        mode: Mode,
        gate: Option<BoxStream<'static, GateEvent>>,
        ranges: impl Stream<Item = Ranges> + Send + 'static,
        telemetry: Telemetry,
    ) -> Self {
        let overlay = gate.is_some().then(|| Overlay::new(scope.clone()));
        let heard = if gate.is_some() {
            Gate::Awaited
        } else {
            Gate::Off
        };
        let gate = gate.unwrap_or_else(|| stream::empty().boxed());
        let occurrences = stream::select(
            gate.map(Occurrence::Gate),
            ranges.map(Occurrence::Ranges).boxed(),
        );
        let pod_start = Self {
            stance: Stance::new(mode, heard),
            overlay,
            waiting: Waiting::default(),
            occurrences: occurrences.chain(stream::pending()).boxed(),
            telemetry,
        };
        pod_start
            .telemetry
            .set_pod_start(pod_start.stance.standing());
        pod_start
    }

    /// Pods start as they always did.
    pub fn off() -> Self {
        let nothing = stream::empty();
        Self::new(
            &NodeScope::AllNodes,
            Mode::Open,
            None,
            nothing,
            Telemetry::default(),
        )
    }

    /// Waits for what has to be taken.
    pub(crate) async fn next(&mut self) -> Occurrence {
        match self.occurrences.next().await {
            Some(occurrence) => occurrence,
            None => std::future::pending().await,
        }
    }

    /// Takes it, and returns what follows for the compiler.
    pub(crate) fn take(&mut self, occurrence: Occurrence) -> Vec<Event> {
        let before = self.stance.standing();
        let events = match occurrence {
            Occurrence::Gate(event) => self.gate(event),
            Occurrence::Ranges(ranges) => {
                self.stance.ranges(ranges);
                Vec::new()
            }
        };
        let now = self.stance.standing();
        if now != before {
            let (was, is) = (before.trouble(), now.trouble());
            match (is, was) {
                (Some(trouble), was) if was != Some(trouble) => warn!("{trouble}"),
                (None, Some(_)) => info!("pods start as they should again"),
                _ => {}
            }
            if let Some(places) = self.stance.closed().filter(|_| !before.is_closed) {
                info!(
                    places = %ranges::words(places),
                    "pods are closed until their rules are written"
                );
            }
            self.telemetry.set_pod_start(now);
        }
        events
    }

    fn gate(&mut self, event: GateEvent) -> Vec<Event> {
        // With what is told now the runtime may have given up waiting, or the waiting may end otherwise.
        self.expire();
        let Some(overlay) = &mut self.overlay else {
            return Vec::new();
        };
        match event {
            GateEvent::Connected { runtime, version } => {
                info!(
                    runtime,
                    version, "the container runtime waits for the rules of pods that start"
                );
                self.stance.gate(Gate::Connected);
                overlay.connected()
            }
            GateEvent::Lost { why } => {
                self.stance.lost(why);
                overlay.lost()
            }
            GateEvent::Started(sandbox, answer) => {
                debug!(?sandbox, "a sandbox has its network");
                let events = overlay.started(&sandbox);
                let now = Instant::now();
                for late in self.waiting.add(sandbox, answer, now) {
                    was_late(&late, &self.telemetry);
                }
                events
            }
            GateEvent::Stopped(sandbox) => {
                debug!(?sandbox, "a sandbox was stopped");
                self.waiting.stopped(&sandbox.id);
                overlay.stopped(&sandbox)
            }
        }
    }

    /// What an event of the source amounts to.
    pub(crate) fn api(&mut self, event: Event) -> Event {
        match &mut self.overlay {
            Some(overlay) => overlay.api(event),
            None => event,
        }
    }

    /// Whether it is known where pods are, or that nobody knows: only then can rules take the place of those of an earlier run.
    pub(crate) fn is_settled(&self) -> bool {
        self.stance.is_settled()
    }

    /// Where pods are closed until their rules are written.
    pub(crate) fn closed(&self) -> Option<&PodPlaces> {
        self.stance.closed()
    }

    /// The compiler has taken in all that was told so far; rules made from then on are of this revision or a later one.
    pub(crate) fn applied(&mut self, revision: Revision) {
        if let Some(overlay) = &self.overlay {
            self.waiting
                .applied(revision, |sandbox| overlay.knows(sandbox));
        }
    }

    /// The kernel has the rules of a revision. Returns whose are among them that wait; their answers are the caller's to give.
    pub(crate) fn committed(&mut self, revision: Revision) -> Vec<Programmed> {
        self.waiting.committed(revision)
    }

    /// A pod's rules are in the kernel, and whoever had to know that does.
    pub(crate) fn go(&mut self, programmed: Programmed) {
        let took = programmed.since.elapsed();
        let sandbox = programmed.sandbox.clone();
        let Sandbox {
            namespace, name, ..
        } = &sandbox;
        debug!(%namespace, %name, ?took, "the pod's rules are in the kernel; it may start");
        self.telemetry.pod_programmed(took);
        match programmed.answer() {
            Some(true) => self.telemetry.pod_started(true),
            Some(false) => was_late(&sandbox, &self.telemetry),
            None => {}
        }
    }

    /// Notes whom the runtime did not wait for any longer.
    pub(crate) fn expire(&mut self) {
        for late in self.waiting.expire() {
            was_late(&late, &self.telemetry);
        }
    }
}

fn was_late(sandbox: &Sandbox, telemetry: &Telemetry) {
    telemetry.pod_started(false);
    let Sandbox {
        namespace, name, ..
    } = sandbox;
    warn!(%namespace, %name, "a pod starts before its rules are in the kernel: they were not there in time");
}
