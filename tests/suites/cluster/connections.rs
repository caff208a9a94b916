//! Long connections, when policies come to forbid them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netpol_tests::kubernetes::{Conversation, Transport, wait_for};

use crate::Scenario;
use crate::agents::CLIENTS;
use crate::stage::{Outcome, SOON, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[("forbidden connections are cut, others live on", cut)];

/// How soon a connection is dead after the API server has taken the change that forbids it: half of them at least.
const CUT_WITHIN: Duration = Duration::from_millis(500);
/// And all of them. A machine that is busy with something else holds up one or another.
const LATEST: Duration = Duration::from_secs(10);
/// Who talks to whom, and whether the policy for clients lets it.
const TALKS: &[(&str, &str, bool)] = &[
    ("guests/guest-a", "service/shop/web-b", false),
    ("guests/guest-a", "service/shop/web-a", false),
    ("guests/guest-b", "shop/web-a", false),
    ("guests/guest-a", "node-a:30002", false),
    ("shop/client-a", "service/shop/web-b", true),
    ("shop/client-b", "service/shop/web-b", true),
    ("shop/client-b", "shop/web-a", true),
    ("guests/guest-a", "guests/guest-b", true),
];

struct Talk {
    text: String,
    is_allowed: bool,
    conversation: Conversation,
}

fn cut(stage: &mut Stage) -> Outcome {
    let talks = talks(stage)?;
    let outcome = forbid(stage, &talks);
    relabel(stage, "client")?;
    stage.without(CLIENTS)?;
    outcome
}

fn forbid(stage: &Stage, talks: &[Talk]) -> Outcome {
    stage.cluster.apply(CLIENTS).map_err(text)?;
    let mut delays = fallen_silent(talks, |talk| !talk.is_allowed, Instant::now())?;
    // A client that is none any more, and the connections that it has.
    let is_former = |talk: &Talk| talk.text.starts_with("shop/client-a");
    relabel(stage, "former")?;
    delays.extend(fallen_silent(talks, is_former, Instant::now())?);
    delays.sort();
    let (median, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "  {} connections cut after {} ms in the median, {} ms at most",
        delays.len(),
        median.as_millis(),
        longest.as_millis()
    );
    // The others have lost nothing up to here.
    let others = talks
        .iter()
        .filter(|talk| talk.is_allowed && !is_former(talk));
    for talk in others {
        let goes_on = talk.conversation.goes_on();
        goes_on.map_err(|problem| format!("{}: {problem}", talk.text))?;
    }
    if median > CUT_WITHIN || longest > LATEST {
        return Err(format!(
            "{median:?} until half were cut, {longest:?} until all were"
        ));
    }
    Ok(())
}

/// Gives a client's pod another app.
fn relabel(stage: &Stage, app: &str) -> Outcome {
    let label = format!("app={app}");
    let words = [
        "label",
        "pod",
        "client-a",
        "--namespace=shop",
        "--overwrite",
        &label,
    ];
    stage.cluster.kubectl(&words).map(drop).map_err(text)
}

/// Where agents keep connections they live on: the silence above is the agents' doing.
pub(crate) fn kept(stage: &Stage) -> Outcome {
    let talks = talks(stage)?;
    stage.cluster.apply(CLIENTS).map_err(text)?;
    let outcome = stage.expect(&[
        ("guests/guest-a", "shop/web-a", false),
        ("guests/guest-a", "shop/web-b", false),
    ]);
    let outcome = outcome.and_then(|()| {
        talks.iter().try_for_each(|talk| {
            let goes_on = talk.conversation.goes_on();
            goes_on.map_err(|problem| format!("{}: {problem}", talk.text))
        })
    });
    stage.without(CLIENTS)?;
    outcome
}

/// Begins all of them, over TCP and UDP, and waits until each has had answers.
fn talks(stage: &Stage) -> Result<Vec<Talk>, String> {
    let rows: Vec<_> = TALKS
        .iter()
        .map(|&(from, to, _)| (from, to, true))
        .collect();
    stage.expect(&rows)?;
    let mut talks = Vec::new();
    for &(from, to, is_allowed) in TALKS {
        let addresses: Vec<SocketAddr> = stage.sockets_of(to)?;
        for transport in [Transport::Tcp, Transport::Udp] {
            for &address in &addresses {
                let conversation =
                    Conversation::start(&stage.network(from)?, address, transport).map_err(text)?;
                talks.push(Talk {
                    text: format!("{from} → {to} ({address} {transport:?})"),
                    is_allowed,
                    conversation,
                });
            }
        }
    }
    for talk in &talks {
        let goes_on = wait_for("answers", SOON, || talk.conversation.goes_on());
        goes_on.map_err(|error| format!("{}: {error}", talk.text))?;
    }
    Ok(talks)
}

/// Waits until these have had their last answer; says how long after the change each was that.
fn fallen_silent(
    talks: &[Talk],
    which: impl Fn(&Talk) -> bool,
    since: Instant,
) -> Result<Vec<Duration>, String> {
    let mut delays = Vec::new();
    for talk in talks.iter().filter(|talk| which(talk)) {
        let last = wait_for("silence", SOON, || {
            let ended = talk.conversation.ended();
            ended.ok_or_else(|| "it still has answers".to_owned())
        });
        let last = last.map_err(|error| format!("{}: {error}", talk.text))?;
        delays.push(last.saturating_duration_since(since));
    }
    Ok(delays)
}
