//! The heart of the agent: what a source says becomes what the kernel enforces.
//!
//! ```text
//! source ──→ Compiler ──→ (wait until it is quiet) ──→ Transaction ──→ dataplane
//!                ▲                                                        │
//!                └── after a failure: compared and put right, again and again ◄
//! ```
//!
//! Nothing is written before the source has said all there is, so that a restart never opens what was closed. Whatever
//! fails, the kernel keeps the rules it has. Other programs may change them (`nft flush ruleset`, the start of a firewall
//! service): whoever watches the kernel says so, and it is put right at once, or behind the commit under way.

mod counts;
mod enforcer;
mod mend;
mod repairs;
mod schedule;
mod starts;
#[cfg(test)]
mod tests;
mod work;

use std::future::{Future, ready};
use std::pin::pin;
use std::time::Duration;

use futures::stream::{Stream, StreamExt, pending};
use policy_compiler::compile::Protection;
use policy_compiler::model::NodeScope;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::dataplane::{Dataplane, Disturbance};
use crate::flow_log::FlowLog;
use crate::pod_start::PodStart;
use crate::port_guard::PortGuard;
use crate::revoke::Revocation;
use crate::source::Update;
use crate::telemetry::Telemetry;
use crate::uplinks::Uplinks;
use enforcer::Enforcer;
pub use schedule::Timing;
use work::{State, Work};

/// The source ended, which none does of itself.
#[derive(Debug, thiserror::Error)]
#[error("the source of objects broke down; the rules stay as they are")]
pub struct SourceEnded;

/// How often the loop shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often the kernel is asked for the table if somebody watches it, and the table compared if anybody has written to
/// nftables: in case that what they say gets lost.
pub const RARE_INSPECTION: Duration = Duration::from_secs(300);

/// How often it is asked if nobody does. Until then a node whose table was deleted is open.
pub const FREQUENT_INSPECTION: Duration = Duration::from_secs(5);

/// What is enforced, and who is told.
#[derive(Debug)]
pub struct Enforcement {
    /// Whose pods are enforced.
    pub scope: NodeScope,
    /// How changes are gathered.
    pub timing: Timing,
    /// How often the kernel is asked for the table, whatever is said of it.
    pub inspection: Duration,
    /// What the table does beside judging by policies; what is closed is added as `pod_start` says.
    pub protection: Protection,
    /// The links that sources are not checked on.
    pub uplinks: Uplinks,
    /// Metrics and health.
    pub telemetry: Telemetry,
    /// Where drops are told.
    pub flow_log: FlowLog,
    /// What binds pods of bridges to their ports.
    pub port_guard: PortGuard,
    /// What pods may do before their rules are there.
    pub pod_start: PodStart,
    /// What becomes of connections that are allowed no longer.
    pub revocation: Revocation,
}

/// Enforces what `source` says until `stop` completes, and returns what that says. What others do to the rules is told by
/// `disturbances`, as far as anybody knows. The rules stay in the kernel when this ends or is dropped.
pub async fn enforce<D: Dataplane + 'static, S>(
    source: impl Stream<Item = Update>,
    dataplane: D,
    disturbances: impl Stream<Item = Disturbance>,
    enforcement: Enforcement,
    stop: impl Future<Output = S>,
) -> Result<S, SourceEnded> {
    let (mut source, mut stop) = (pin!(source), pin!(stop));
    // One that ends says nothing any more, as one that nobody feeds.
    let mut disturbances = pin!(disturbances.chain(pending()));
    let telemetry = enforcement.telemetry.clone();
    let [mut heartbeat, mut inspection] = [HEARTBEAT, enforcement.inspection].map(interval);
    let mut enforcer = Enforcer::new(enforcement);
    let mut state = State::Idle(dataplane);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    inspection.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let idle = matches!(state, State::Idle(_));
        let due = enforcer.due().filter(|_| idle);
        tokio::select! {
            biased;
            stopped = &mut stop => {
                // Whatever is under way is given up: a transaction is whole or nothing.
                drop(state);
                enforcer.close().await;
                return Ok(stopped);
            }
            _ = heartbeat.tick() => {
                telemetry.beat();
                enforcer.pod_start.expire();
            }
            (dataplane, work) = state.done() => {
                state = State::Idle(dataplane);
                match work {
                    Work::Commit(outcome) => {
                        if outcome.is_whole {
                            inspection.reset();
                        }
                        enforcer.finish(outcome);
                    }
                    Work::Inspection(found) => enforcer.inspected(found),
                }
            }
            Some(disturbance) = disturbances.next() => enforcer.disturbed(disturbance, idle),
            () = ready(()), if idle && enforcer.must_look() => state = state.inspect(&mut enforcer),
            () = reach(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some(write) = enforcer.start() {
                    state = state.write(write, telemetry.clone());
                }
            }
            _ = inspection.tick(), if idle && enforcer.has_written() => state = state.inspect(&mut enforcer),
            occurrence = enforcer.pod_start.next() => enforcer.pod_start(occurrence),
            Some(programmed) = enforcer.binding.next() => enforcer.pod_start.go(programmed),
            uplinks = enforcer.uplinks.changed() => enforcer.set_uplinks(uplinks),
            occurrence = enforcer.revocation.next() => enforcer.revoke(occurrence),
            occurrence = enforcer.flow_log.next() => enforcer.log(occurrence),
            update = source.next() => match update {
                Some(update) => enforcer.take(update),
                None => return Err(SourceEnded),
            },
        }
    }
}

/// Waits until a time comes. The timer counts in whole milliseconds and would keep what is due already for one more.
pub(crate) async fn reach(time: Instant) {
    if time > Instant::now() {
        sleep_until(time).await;
    }
}
