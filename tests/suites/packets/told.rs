//! What the agents' flow logs tell of the rows: each denied one once, by the side that dropped it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use netpol_agent::flow_log::format::hubble::{
    Endpoint as HubbleEnd, ExportEvent, Extensions, Flow as HubbleFlow,
};
use netpol_tests::fixture::{Attempt, Fixture};
use netpol_tests::lab::{Lab, NODES, NodeSpec, Place, Signal};
use policy_compiler::model::{Direction, Protocol};
use policy_compiler::verdict::{self, Side, Transport, Verdict};

/// One drop: the node, the direction, both addresses, protocol and port.
type Drop = (String, String, IpAddr, IpAddr, String);

/// Ends the agents and compares what they told with the `denied` attempts. Returns what is wrong, ready to print.
pub(crate) fn mismatches(lab: &mut Lab, fixture: &Fixture, denied: &[&Attempt]) -> Vec<String> {
    let mut expected: BTreeMap<Drop, Verdict> = BTreeMap::new();
    let mut wrong = Vec::new();
    for attempt in denied {
        let verdict = verdict::judge(&fixture.snapshot, &attempt.flow);
        match dropped_by(lab, &verdict) {
            Some(drop) => {
                expected.insert(drop, verdict);
            }
            None => wrong.push(format!(
                "{}: {:?}: nobody denies it",
                fixture.name, attempt.flow
            )),
        }
    }
    let mut told = BTreeSet::new();
    let schema = schema();
    let mut real_lines = String::new();
    for node in &NODES {
        let (_, lines) = lab
            .stop_agent_with_flows(node.name, Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        real_lines += &lines;
        for line in lines.lines() {
            if let Err(problem) = check(lab, line, node.name, &expected, &mut told)
                .and_then(|()| is_documented(&schema, line))
            {
                wrong.push(format!("{}: {problem}\n    {line}", fixture.name));
            }
        }
    }
    for (drop, verdict) in expected.iter().filter(|(drop, _)| !told.contains(*drop)) {
        wrong.push(format!(
            "{}: not told: {drop:?}\n    {verdict}",
            fixture.name
        ));
    }
    if fixture.name == "shop" && std::env::var_os("NETPOL_UPDATE_GOLDENS").is_some() {
        std::fs::write(docs().join("flow-log/shop.jsonl"), real_lines).expect("writable");
    }
    wrong
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn schema() -> jsonschema::Validator {
    let file = docs().join("flow-log.schema.json");
    let text = std::fs::read_to_string(&file).expect("the schema");
    let schema = serde_json::from_str(&text).expect("JSON");
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{error}"))
}

fn is_documented(schema: &jsonschema::Validator, line: &str) -> Result<(), String> {
    let json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let fault = schema.iter_errors(&json).next();
    fault.map_or(Ok(()), |fault| {
        Err(format!("{}: {fault}", fault.instance_path()))
    })
}

/// Where the packet ends: with the source's egress, on its node, else with the destination's ingress on that's.
fn dropped_by(lab: &Lab, verdict: &Verdict) -> Option<Drop> {
    let direction = [Direction::Egress, Direction::Ingress]
        .into_iter()
        .find(|direction| !verdict.side(*direction).is_allowed())?;
    let (source, destination) = (
        verdict.flow.source.address(),
        verdict.flow.destination.address(),
    );
    let subject = match direction {
        Direction::Egress => source,
        Direction::Ingress => destination,
    };
    let Place::Node(node) = lab.node_of(lab.owner(subject)?)? else {
        return None;
    };
    let transport = match verdict.flow.transport {
        Transport::Port(protocol, port) => format!("{protocol} {port}"),
        Transport::Other => "echo".to_owned(),
    };
    Some((
        node,
        direction.as_str().to_uppercase(),
        source,
        destination,
        transport,
    ))
}

/// The address a node goes by: into an overlay it may send with the one it has there.
fn node_address(told: IpAddr) -> IpAddr {
    let in_overlay = |node: &&NodeSpec| {
        node.pod_ranges()
            .iter()
            .any(|range| range.network() == told)
    };
    NODES
        .iter()
        .find(in_overlay)
        .map_or(told, |node| match told {
            IpAddr::V4(_) => node.v4.into(),
            IpAddr::V6(_) => node.v6.into(),
        })
}

fn check(
    lab: &Lab,
    line: &str,
    node: &str,
    expected: &BTreeMap<Drop, Verdict>,
    told: &mut BTreeSet<Drop>,
) -> Result<(), String> {
    let event: ExportEvent = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let flow = event.flow.ok_or("not a flow")?;
    let extensions = flow.extensions.as_deref().ok_or("no extensions")?;
    if extensions.extent == "connection" {
        // An agent looks at the connections there are when it starts: these are of the fixture before.
        return if extensions.reason == "revoked" {
            Ok(())
        } else {
            Err(format!("reason {}", extensions.reason))
        };
    }
    let drop = drop_told(node, &flow)?;
    let verdict = expected.get(&drop).ok_or("nobody denies it")?;
    match extensions.extent.as_str() {
        "first" if !told.insert(drop.clone()) => return Err("told twice".to_owned()),
        "first" | "repeats" => {}
        other => return Err(format!("extent {other}")),
    }
    for (address, end) in [(drop.2, &flow.source), (drop.3, &flow.destination)] {
        check_end(lab, verdict, address, end.as_ref().ok_or("no end")?)?;
    }
    check_reason(verdict, &flow, extensions)
}

fn drop_told(node: &str, flow: &HubbleFlow) -> Result<Drop, String> {
    let ip = flow.ip.as_ref().ok_or("no addresses")?;
    let address = |text: &str| text.parse().map_err(|_| format!("address {text:?}"));
    let l4 = flow.l4.as_ref().ok_or("no l4")?;
    let transport = if let Some(tcp) = &l4.tcp {
        format!("{} {}", Protocol::Tcp, tcp.destination_port)
    } else if let Some(udp) = &l4.udp {
        format!("{} {}", Protocol::Udp, udp.destination_port)
    } else if let Some(sctp) = &l4.sctp {
        format!("{} {}", Protocol::Sctp, sctp.destination_port)
    } else {
        let icmp = [(&l4.icmpv4, 8), (&l4.icmpv6, 128)];
        let echo = icmp
            .iter()
            .any(|(icmp, kind)| icmp.as_ref().is_some_and(|icmp| icmp.kind == *kind));
        if !echo {
            return Err("neither a port nor an echo request".to_owned());
        }
        "echo".to_owned()
    };
    Ok((
        node.to_owned(),
        flow.traffic_direction.clone(),
        node_address(address(&ip.source)?),
        address(&ip.destination)?,
        transport,
    ))
}

/// Who has an address is the lab's knowledge; that several claim it is the fixture's.
fn check_end(lab: &Lab, verdict: &Verdict, address: IpAddr, end: &HubbleEnd) -> Result<(), String> {
    let party = if address == verdict.flow.destination.address() {
        &verdict.destination
    } else {
        &verdict.source
    };
    let expected = match (lab.owner(address), party) {
        (_, verdict::Party::Contested(..)) => String::new(),
        (Some(Place::Pod(key)), _) => key.clone(),
        _ => String::new(),
    };
    let told = match (end.namespace.as_str(), end.pod_name.as_str()) {
        ("", "") => String::new(),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    if told == expected {
        Ok(())
    } else {
        Err(format!("{address} is {expected:?}, told as {told:?}"))
    }
}

fn check_reason(
    verdict: &Verdict,
    flow: &HubbleFlow,
    extensions: &Extensions,
) -> Result<(), String> {
    let ingress = flow.traffic_direction == "INGRESS";
    let side = verdict.side(if ingress {
        Direction::Ingress
    } else {
        Direction::Egress
    });
    let (reason, misses) = match side {
        Side::Denied { near_misses, .. } => ("no-rule", near_misses.len()),
        _ => ("contested", 0),
    };
    let (told_by, other) = if ingress {
        (&flow.ingress_denied_by, &flow.egress_denied_by)
    } else {
        (&flow.egress_denied_by, &flow.ingress_denied_by)
    };
    let told_by: Vec<String> = told_by
        .iter()
        .map(|policy| format!("{}/{}", policy.namespace, policy.name))
        .collect();
    let denied_by: Vec<String> = side.denied_by().iter().map(ToString::to_string).collect();
    if told_by != denied_by || !other.is_empty() {
        return Err(format!("denied by {denied_by:?}, told as {told_by:?}"));
    }
    if extensions.reason != reason {
        return Err(format!("reason {reason}"));
    }
    let told_misses = extensions.near_misses.len() as u64 + extensions.near_misses_more;
    if told_misses != misses as u64 {
        return Err(format!("{misses} rules do not match"));
    }
    Ok(())
}
