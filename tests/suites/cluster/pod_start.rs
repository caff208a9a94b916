//! Pods' first packets: none gets through before the rules are there, and none that they allow is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netpol_tests::kubernetes::{Proxy, wait_for};
use serde_json::json;

use crate::Scenario;
use crate::crowd::{Crowd, whole};
use crate::protection::Protection;
use crate::stage::{Outcome, SOON, Stage, text};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("nothing passes before the rules", nothing_passes),
    ("nothing is lost after the start", nothing_is_lost),
];

const SOME: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: some, namespace: eager}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  egress:
    - to: [{namespaceSelector: {matchLabels: {team: guests}}}]
    - to: [{ipBlock: {cidr: 172.30.0.100/32}}, {ipBlock: {cidr: 'fd00:172:30::100/128'}}]
";
/// Whom pods of the crowd send to: a pod on either node, the nodes, somebody outside.
const PLACES: &[&str] = &[
    "guests/guest-a",
    "guests/guest-b",
    "node-a",
    "node-b",
    "outside",
];
/// Between two datagrams to each pod of the crowd, from either node.
const PAUSE: Duration = Duration::from_millis(10);
/// How many pods show that the others are not stopped by something else.
const FEW: u8 = 10;

/// Neither in nor out.
fn closed(namespace: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "closed", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    })
    .to_string()
}

/// In the clusters of one proxy pods wait for their rules, in those of the other they start closed.
fn nothing_passes(stage: &mut Stage) -> Outcome {
    let protection = match stage.options.proxy {
        Proxy::Nftables => Protection::Ordinary,
        Proxy::Iptables => Protection::WithoutGate,
    };
    stage.enforced.protect(&stage.cluster, protection)?;
    let crowd = early(stage, "early", whole())?;
    let outcome = arrive(stage, &crowd, true)
        .and_then(|()| match passed(stage, &crowd)? {
            passed if passed.is_empty() => Ok(()),
            passed => Err(format!("{protection:?}: {}", passed.join("\n"))),
        })
        .and_then(|()| could_have_passed(stage, &crowd));
    crowd.leave(stage)?;
    stage
        .enforced
        .protect(&stage.cluster, Protection::Ordinary)?;
    outcome
}

/// The pods are there, they send, they are programmed, and they can be reached: but for the policy all packets pass.
fn could_have_passed(stage: &Stage, crowd: &Crowd) -> Outcome {
    stage.without(&closed("early"))?;
    wait_for("packets of and to all, without the policy", SOON, || {
        let (reached, size) = (crowd.reached(stage).len(), crowd.size());
        if reached < size {
            return Err(format!("{reached} of {size} pods reached"));
        }
        for (place, heard) in crowd.heard()? {
            if heard.len() < size {
                return Err(format!("{place} hears {} of {size}", heard.len()));
            }
        }
        Ok(())
    })
    .map_err(text)
}

/// The other way around: what the scenario above sees where pods are open until they are programmed.
pub(crate) fn first_packets_pass(stage: &mut Stage) -> Outcome {
    let crowd = early(stage, "hasty", FEW)?;
    let outcome = arrive(stage, &crowd, false).and_then(|()| {
        let (passed, reached) = (passed(stage, &crowd)?.len(), crowd.reached(stage).len());
        println!("  {passed} ways open, {reached} pods reached before their rules");
        if reached == 0 || passed == reached {
            return Err("first packets would never have passed".to_owned());
        }
        Ok(())
    });
    crowd.leave(stage)?;
    outcome
}

/// A crowd of isolated pods that is going to send, and be sent to. A node keeps what pods have printed for a while: each
/// crowd has a namespace of its own.
fn early(stage: &Stage, namespace: &'static str, each: u8) -> Result<Crowd, String> {
    let crowd = Crowd::announced(stage, namespace, each, PLACES, &closed(namespace))?;
    crowd.hammered(stage, &["guests/guest-a", "guests/guest-b"], PAUSE)
}

/// Has its pods start; agents may be killed in the middle of it.
fn arrive(stage: &mut Stage, crowd: &Crowd, crash: bool) -> Outcome {
    let begin = Instant::now();
    crowd.come(stage, |_| PLACES.to_vec())?;
    if crash {
        crowd.await_line(stage, "begins", crowd.size() / 2)?;
        println!("  half begun after {:.1} s", begin.elapsed().as_secs_f32());
        stage.enforced.crash(&stage.cluster).map_err(text)?;
    }
    crowd.await_line(stage, "sent", crowd.size())?;
    println!(
        "  all there after {:.1} s, {} sandboxes failed",
        begin.elapsed().as_secs_f32(),
        crowd.failed_sandboxes(stage)?
    );
    Ok(())
}

/// What got through, in words.
fn passed(stage: &Stage, crowd: &Crowd) -> Result<Vec<String>, String> {
    let mut passed = Vec::new();
    for (place, heard) in crowd.heard()? {
        for (pod, numbers) in heard {
            let (first, last) = (numbers.first(), numbers.last());
            passed.push(format!(
                "{place} heard {} datagrams of {pod}, numbers {first:?} to {last:?}",
                numbers.len()
            ));
        }
    }
    let reached = crowd.reached(stage).into_iter();
    passed.extend(reached.map(|(pod, lines)| format!("{pod} {}", lines.join(", "))));
    Ok(passed)
}

/// Every number of every pod arrives, from the first on, also while agents are away.
fn nothing_is_lost(stage: &mut Stage) -> Outcome {
    if stage.options.proxy == Proxy::Iptables {
        println!("  left to the cluster with the other proxy");
        return Ok(());
    }
    let places = ["guests/guest-a", "guests/guest-b", "outside"];
    let crowd = Crowd::announced(stage, "eager", whole() / 2, &places, SOME)?;
    let outcome = (|| {
        crowd.come(stage, |node| match node {
            "node-a" => vec!["guests/guest-a", "outside"],
            _ => vec!["guests/guest-b", "outside"],
        })?;
        crowd.await_line(stage, "sent", crowd.size())?;
        none_missing(&crowd)?;
        stage.enforced.crash(&stage.cluster).map_err(text)?;
        none_missing(&crowd)
    })();
    crowd.leave(stage)?;
    outcome
}

/// All numbers up to the highest that was heard when this began.
fn none_missing(crowd: &Crowd) -> Outcome {
    let highest: BTreeMap<String, u32> = crowd
        .numbers()?
        .into_iter()
        .filter_map(|(pod, numbers)| Some((pod, *numbers.last()?)))
        .collect();
    if highest.len() < crowd.size() {
        return Err(format!("{} of {} pods heard", highest.len(), crowd.size()));
    }
    // Another listener may not have got to a number before the highest.
    let settled = Duration::from_secs(20);
    wait_for("every number", settled, || {
        let heard = crowd.numbers()?;
        let mut gaps = Vec::new();
        for (pod, &last) in &highest {
            let missing: Vec<u32> = (0..=last).filter(|n| !heard[pod].contains(n)).collect();
            if let (Some(first), Some(end)) = (missing.first(), missing.last()) {
                gaps.push(format!(
                    "{pod}: {} of {last}, {first} to {end}",
                    missing.len()
                ));
            }
        }
        if gaps.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} pods lost some:\n{}",
            gaps.len(),
            gaps.join("\n")
        ))
    })
    .map_err(text)
}
