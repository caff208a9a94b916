//! The guard's own loop, beside that of enforcement.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, warn};

use super::guard::Guard;
use super::pods::Published;
use crate::dataplane::Watcher;
use crate::dataplane::netlink::ports::Drops;
use crate::doctor::Plugged;
use crate::telemetry::Telemetry;

/// After a link was plugged in there are others.
const TOGETHER: Duration = Duration::from_millis(200);

/// Another program's edits of the table are undone at once, but not oftener than this.
const QUARREL: Duration = Duration::from_secs(1);

/// How often the table's counters are read, where there is one.
const COUNT: Duration = Duration::from_secs(10);

/// How often ports and table are looked at, whatever is told of them: an address that is configured behind a port is told
/// to nobody on the node.
const OFTEN: Duration = Duration::from_secs(60);
const WHILE_UNBOUND: Duration = Duration::from_secs(5);

/// Somebody waits for these to be bound.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) done: oneshot::Sender<()>,
}

/// What the kernel tells.
#[derive(Debug)]
pub(super) struct Heard {
    /// Of ports that come and go.
    pub(super) plugged: Plugged,
    /// Of what other programs do to the table.
    pub(super) watcher: Watcher,
}

/// Goes on until nobody tells of pods any more.
pub(super) async fn run(
    guard: Guard,
    mut pods: watch::Receiver<Option<Published>>,
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut heard: Heard,
    telemetry: Telemetry,
) {
    let mut count = interval(COUNT);
    count.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut working = Working {
        guard: Some(guard),
        telemetry,
        drops: Drops::default(),
        is_failing: false,
        due: None,
        is_suspect: false,
        compared: Instant::now(),
    };
    loop {
        let due = working.due;
        tokio::select! {
            biased;
            request = requests.recv() => {
                let Some(request) = request else { return };
                let mut waiting = vec![request];
                while let Ok(more) = requests.try_recv() {
                    waiting.push(more);
                }
                if !working.has_bound(&waiting) {
                    working.look(&mut pods).await;
                }
                for request in waiting {
                    // Who waits no more needs no answer.
                    let _ = request.done.send(());
                }
            }
            changed = pods.changed() => {
                if changed.is_err() {
                    return;
                }
                working.look(&mut pods).await;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                working.is_suspect = true;
                working.look(&mut pods).await;
            }
            () = heard.plugged.next() => working.look_before(Instant::now() + TOGETHER),
            _ = heard.watcher.next() => {
                working.is_suspect = true;
                working.look_before(working.compared + QUARREL);
            }
            _ = count.tick(), if working.has_table() => working.count().await,
        }
    }
}

/// The guard and what is known of its work.
struct Working {
    /// Not here while it is at work, or if that broke down.
    guard: Option<Guard>,
    telemetry: Telemetry,
    drops: Drops,
    is_failing: bool,
    /// When to look next, whatever happens.
    due: Option<Instant>,
    /// The table may not be as it was left. When it was last held against that.
    is_suspect: bool,
    compared: Instant,
}

impl Working {
    fn has_bound(&self, waiting: &[Request]) -> bool {
        let guard = self.guard.as_ref();
        guard.is_some_and(|guard| {
            waiting
                .iter()
                .all(|request| guard.has_bound(&request.addresses))
        })
    }

    fn has_table(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::has_table)
    }

    /// Not later than this, if it has looked at all.
    fn look_before(&mut self, time: Instant) {
        self.due = self.due.map(|due| due.min(time));
    }

    async fn look(&mut self, pods: &mut watch::Receiver<Option<Published>>) {
        // Until all pods are known, what an earlier agent has bound stays.
        let Some(pods) = pods.borrow_and_update().clone() else {
            return;
        };
        let start = Instant::now();
        let compares = std::mem::take(&mut self.is_suspect);
        if compares {
            self.compared = start;
        }
        let looked = self.work(move |guard| {
            if compares {
                guard.compare()?;
            }
            guard.look(&pods)
        });
        let Some(looked) = looked.await else {
            return;
        };
        let mut pause = OFTEN;
        match looked {
            Ok(guarded) => {
                self.is_failing = false;
                debug!(took = ?start.elapsed(), ?guarded, "looked at the ports of bridges");
                self.telemetry.guarded(guarded);
                if !self.has_table() {
                    self.drops = Drops::default();
                }
                if guarded.unbound > 0 && guarded.idle_ports > 0 {
                    pause = WHILE_UNBOUND;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!(%error, "pods of a bridge may use each other's addresses");
                }
                pause = WHILE_UNBOUND;
            }
        }
        self.due = Some(Instant::now() + pause);
    }

    async fn count(&mut self) {
        let Some(Some(now)) = self.work(Guard::dropped).await else {
            return;
        };
        let was = std::mem::replace(&mut self.drops, now);
        // What stands lower than before has begun anew.
        let added = |now: u64, was: u64| now.checked_sub(was).unwrap_or(now);
        self.telemetry.forged([
            ("source", added(now.source, was.source)),
            ("neighbour", added(now.neighbour, was.neighbour)),
            ("tagged", added(now.tagged, was.tagged)),
        ]);
    }

    /// Has the guard do something on a thread that may wait.
    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Guard) -> T + Send + 'static,
    ) -> Option<T> {
        let mut guard = self.guard.take()?;
        let done = spawn_blocking(move || {
            let result = work(&mut guard);
            (guard, result)
        });
        let (guard, result) = done.await.ok()?;
        self.guard = Some(guard);
        Some(result)
    }
}
