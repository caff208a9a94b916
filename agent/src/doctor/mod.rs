//! Whether policies can be enforced on this node, and what to do if not.
//!
//! ```text
//! facts: /proc, links, nftables ──→ judged one check at a time ──→ findings ──→ `netpol doctor`
//!                                                                      └──→ the agent's log, /readyz and metrics
//! ```
//!
//! Facts are read without changing anything; what they amount to is decided by pure functions. An error means that no policy
//! is enforced, or that packets certainly pass which nobody judges: an agent that finds one is not ready. What may be so, or
//! drops too much, is a warning.

mod agents;
mod attachment;
mod attending;
mod bridges;
mod cluster;
mod connections;
mod engines;
mod features;
mod finding;
mod forwarding;
pub(crate) mod links;
mod plugged;
mod pod_start;
pub(crate) mod reach;
mod rights;
mod ruleset;
mod settings;
mod source_guard;
mod untracked;

use std::fs;
use std::io;
use std::path::Path;

use tokio::task::spawn_blocking;

pub use attending::Attending;
pub use cluster::{ClusterQuestions, examine_cluster};
pub use features::{Feature, Need, features};
pub use finding::{Finding, Level, count, json, text};
pub use plugged::Plugged;
pub use pod_start::PodStartQuestions;

use crate::dataplane::{Dataplane, NetlinkDataplane};
use crate::node_lock::NodeLock;
use attachment::Attachment;
use links::Link;
use settings::Settings;

/// All that can be found out on the node itself. `enables_bridges` lets the settings for bridged packets be switched on.
pub async fn examine(enables_bridges: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (dataplane, answer, has_table) = match NetlinkDataplane::open() {
        Ok(mut dataplane) => match dataplane.has_table().await {
            Ok(has_table) => (Some(dataplane), Ok(()), Some(has_table)),
            Err(error) => (None, Err(error), None),
        },
        Err(error) => (None, Err(error), None),
    };
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    findings.extend(rights::judge(&status, answer.as_ref().copied()));
    if let Some(dataplane) = &dataplane {
        findings.extend(features::examine(dataplane).await);
    }
    let may_look = dataplane.is_some();
    findings.extend(look(enables_bridges, may_look).await);
    let tables = has_table.map(|rules| agents::Tables {
        rules,
        ports: source_guard::has_table(),
    });
    findings.push(agents::judge(NodeLock::holder().as_ref(), tables));
    findings
}

/// What can change while an agent runs.
async fn look(enables_bridges: bool, looks_into_nftables: bool) -> Vec<Finding> {
    let looked = spawn_blocking(move || {
        let links = links::read();
        let mut findings = surroundings(enables_bridges, &links);
        if looks_into_nftables {
            findings.extend(reached(&links));
            findings.extend(guarded(&links));
            findings.extend(others());
        }
        findings
    });
    looked.await.unwrap_or_default()
}

/// Links and settings.
fn surroundings(enables_bridges: bool, links: &io::Result<Vec<Link>>) -> Vec<Finding> {
    let mut settings = Settings::read();
    let links = match links {
        Ok(links) => links,
        Err(error) => {
            let found = format!("the node's links cannot be read: {error}");
            let advice =
                "how pods hang on the node is not known; allow netlink sockets (seccomp, SELinux)";
            return vec![Finding::warning("pods", found, advice)];
        }
    };
    let attachment = Attachment::of(links);
    let mut findings = Vec::new();
    if enables_bridges && let Some(done) = bridges::enable(&attachment, settings.bridged) {
        findings.push(done);
        settings = Settings::read();
    }
    findings.extend(attachment::judge(&attachment, settings.bridged));
    let routes = net_file("ipv6_route");
    findings.extend(forwarding::judge(&attachment, &settings, &routes));
    findings.extend(connections::judge(settings.connections));
    findings
}

/// Isolated pods, as far as the table tells of any.
fn reached(links: &io::Result<Vec<Link>>) -> Option<Finding> {
    let links = links.as_ref().ok()?;
    match reach::read() {
        Ok((to_pods, far)) => reach::judge(links, &to_pods, &far),
        Err(error) => {
            let found = format!("the ways to isolated pods cannot be read: {error}");
            let advice = "whether the node has links to them is not known; ask again";
            Some(Finding::warning(reach::CHECK, found, advice))
        }
    }
}

/// How far forged sources are kept out, where they are.
fn guarded(links: &io::Result<Vec<Link>>) -> Vec<Finding> {
    let Ok(links) = links else {
        return Vec::new();
    };
    let held = source_guard::read();
    held.map_or_else(Vec::new, |held| {
        source_guard::judge(&Attachment::of(links), links, &held)
    })
}

/// What others have in netfilter.
fn others() -> Vec<Finding> {
    match ruleset::read() {
        Ok(others) => {
            let mut findings = engines::judge(&others.engines, &net_file("ip_tables_names"));
            findings.extend(untracked::judge(&others.untracking, &others.flow_tables));
            findings
        }
        Err(error) => {
            let found = format!("what others have in nftables cannot be read: {error}");
            let advice = "see `nft list ruleset` on the node for other NetworkPolicy engines";
            vec![Finding::warning("engines", found, advice)]
        }
    }
}

/// A file of this thread's network namespace; empty if there is none.
fn net_file(name: &str) -> String {
    fs::read_to_string(Path::new("/proc/thread-self/net").join(name)).unwrap_or_default()
}
