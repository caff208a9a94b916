//! The agent's own looks at its node: at the start, and from time to time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use super::reach;
use super::{Finding, Level, Plugged, count, examine, look};
use crate::telemetry::Telemetry;

/// How often the node is looked at, whatever is told of its links.
const OFTEN: Duration = Duration::from_secs(60);

/// How often while enforcement is impossible, so that what was repaired is noticed soon.
const WHILE_IMPOSSIBLE: Duration = Duration::from_secs(5);

/// After a link was plugged in there are others.
const TOGETHER: Duration = Duration::from_millis(500);

/// For so many times as long as a look takes there is none after it.
const REST: u32 = 99;
/// To find out that it is over is worth more.
const REST_WHILE_IMPOSSIBLE: u32 = 9;

/// Looks at the node, logs what changes, and keeps an agent from being ready where it cannot enforce.
#[derive(Debug)]
pub struct Attending {
    telemetry: Telemetry,
    enables_bridges: bool,
    /// What rights and the kernel let be done; looked at anew only while that is not enough.
    kernel: Vec<Finding>,
    /// What was found last, by check and subject.
    known: BTreeMap<(&'static str, String), Level>,
    took: Duration,
    /// The last look found pods that the node has no link to.
    is_unreached: bool,
    /// Whether links come and go: a node's bridge comes with its first pod.
    plugged: Plugged,
}

/// What is looked at once.
const OF_THE_KERNEL: [&str; 2] = ["rights", "kernel"];

impl Attending {
    /// Looks at the node for the first time.
    pub async fn start(telemetry: Telemetry, enables_bridges: bool, plugged: Plugged) -> Self {
        let mut attending = Self {
            telemetry,
            enables_bridges,
            kernel: Vec::new(),
            known: BTreeMap::new(),
            took: Duration::ZERO,
            is_unreached: false,
            plugged,
        };
        attending.look().await;
        attending
    }

    /// Goes on looking.
    pub async fn run(mut self) {
        loop {
            let is_impossible = self.known.values().any(|level| *level == Level::Error);
            let (pause, rest) = if is_impossible {
                (WHILE_IMPOSSIBLE, REST_WHILE_IMPOSSIBLE)
            } else {
                (OFTEN, REST)
            };
            let rest = self.took * rest;
            tokio::select! {
                () = sleep(pause.max(rest)) => {}
                () = self.plugged.next() => sleep(TOGETHER.max(rest)).await,
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let start = Instant::now();
        let knows_kernel = !self.kernel.is_empty() && count(&self.kernel, Level::Error) == 0;
        let mut findings = if knows_kernel {
            look(self.enables_bridges, true).await
        } else {
            let all = examine(self.enables_bridges).await;
            let is_kernels = |finding: &Finding| OF_THE_KERNEL.contains(&finding.check);
            let (kernel, rest) = all.into_iter().partition(is_kernels);
            self.kernel = kernel;
            rest
        };
        // The agent that is found here is this one.
        findings.retain(|finding| finding.check != "agent");
        findings.extend(self.kernel.iter().cloned());
        // A pod that is just coming or going has no link for a moment.
        let is_unreached = findings.iter().any(|finding| finding.check == reach::CHECK);
        let was_unreached = std::mem::replace(&mut self.is_unreached, is_unreached);
        findings.retain(|finding| finding.check != reach::CHECK || was_unreached);
        self.took = start.elapsed();
        self.tell(&findings);
        self.telemetry.examined(
            count(&findings, Level::Warning),
            count(&findings, Level::Error),
            trouble(&findings),
        );
    }

    /// Logs what is new, and what is over.
    fn tell(&mut self, findings: &[Finding]) {
        let mut before = std::mem::take(&mut self.known);
        for finding in findings {
            let key = (finding.check, finding.subject.clone());
            let was = before.remove(&key);
            if was != Some(finding.level) {
                let check = finding.check;
                match finding.level {
                    Level::Error => error!(check, "{finding}"),
                    Level::Warning => warn!(check, "{finding}"),
                    Level::Ok if was.is_some() => info!(check, "{finding}"),
                    Level::Ok => debug!(check, "{finding}"),
                }
            }
            let worst = self.known.entry(key).or_insert(finding.level);
            *worst = finding.level.max(*worst);
        }
        for ((check, subject), level) in before {
            if level > Level::Ok {
                info!(check, subject, "no longer so");
            }
        }
    }
}

/// Why policies cannot be enforced here.
fn trouble(findings: &[Finding]) -> Option<String> {
    let errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error);
    let told: Vec<String> = errors.map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_keep_an_agent_from_being_ready() {
        let ok = Finding::ok("pods", "fine");
        let warning = Finding::warning("forwarding", "off", "on");
        assert_eq!(trouble(&[ok.clone(), warning.clone()]), None);
        let error = Finding::error("pods", "unseen", "load it");
        let told = trouble(&[ok, error.clone(), warning, error]);
        assert_eq!(told.as_deref(), Some("unseen; load it; unseen; load it"));
    }
}
