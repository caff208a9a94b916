//! What the kernel's counters hold, and what it is told to log, while pods and policies change.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use netpol_tests::lab::{LabError, Netns};
use policy_compiler::compile::compile_with;
use policy_compiler::decode;
use policy_compiler::index::{Compiler, Event};
use policy_compiler::model::{Direction, NodeScope, Pod, Policy};
use policy_compiler::ruleset::{DropLog, DropOf, DropPoint, PodId, Transaction};
use serde_json::{Value, json};

use super::tables::ThreeWays;

fn pod(name: &str, uid: &str, labels: &Value, address: &str) -> Event {
    let decoded = decode::pod(&json!({
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "labels": labels},
        "spec": {"nodeName": "node-a", "containers": []},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    }));
    assert_eq!(decoded.errors, []);
    Event::Pod(decoded.object.expect("a pod"))
}

fn policy(name: &str, spec: &Value) -> Event {
    let decoded = decode::policy(&json!({
        "metadata": {"namespace": "shop", "name": name}, "spec": spec
    }));
    assert_eq!(decoded.errors, []);
    Event::Policy(decoded.object.expect("a policy"))
}

fn gone(policy: &str) -> Event {
    Event::PolicyDeleted(format!("shop/{policy}").parse().expect("a key"))
}

/// What a counter of the table has counted: packets and bytes. `None` if it is not there.
fn counted(netns: &Netns, counter: &str) -> Option<(u64, u64)> {
    let listing = netns
        .run(&["nft", "-j", "list", "counters"], "")
        .unwrap_or_else(|error| panic!("{error}"));
    let listing: Value = serde_json::from_str(&listing).expect("JSON");
    let objects = listing["nftables"].as_array().expect("a list");
    let object = objects
        .iter()
        .map(|object| &object["counter"])
        .find(|object| object["name"] == counter)?;
    Some((object["packets"].as_u64()?, object["bytes"].as_u64()?))
}

/// What the rules of a chain log, as the kernel lists it.
fn log_rule(netns: &Netns, chain: &str) -> Result<Option<String>, LabError> {
    let chain = netns.run(&["nft", "list", "chain", "inet", "netpol", chain], "")?;
    let mut rules = chain.lines().filter(|line| line.contains(" log "));
    let rule = rules.next().map(|rule| rule.trim().to_owned());
    assert_eq!(rules.next(), None, "{chain}");
    Ok(rule)
}

#[test]
fn a_counter_outlives_what_happens_to_its_chain() -> Result<(), LabError> {
    let netns = Netns::new("counters")?;
    let web = |uid, labels: Value| pod("web", uid, &labels, "10.0.0.1");
    let nobody = json!({"podSelector": {}, "ingress": []});
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    compiler.apply(web("1", json!({"app": "web"})));
    compiler.apply(policy("nobody", &nobody));

    // Loaded as if packets had been dropped since.
    let fresh = "counter pod/shop/web/ingress {";
    let script = Transaction::replace(compiler.ruleset()).to_string();
    let used = format!("{fresh} packets 5 bytes 400");
    netns.nft(&script.replace(fresh, &used))?;
    // What was just loaded is no change any more.
    compiler.take_transaction();
    let prefix = |uid| DropPoint {
        direction: Direction::Ingress,
        of: DropOf::Pod(PodId::of(&"shop/web".parse().expect("a key"), uid)),
    };

    let http = json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 80}]}]});
    let both = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let steps = [
        ("a policy more", policy("http", &http), Some("1")),
        ("other labels", web("1", json!({"app": "db"})), Some("1")),
        ("a replacement", web("2", json!({"app": "web"})), Some("2")),
        ("a policy less", gone("http"), Some("2")),
        ("closed both ways", policy("nobody", &both), Some("2")),
        ("open", gone("nobody"), None),
    ];
    for (step, event, uid) in steps {
        compiler.apply(event);
        netns.nft(&compiler.take_transaction().to_string())?;
        let expected = uid.map(|_| (5, 400));
        assert_eq!(counted(&netns, "pod/shop/web/ingress"), expected, "{step}");
        if let Some(uid) = uid {
            let rule = format!(
                "limit rate 100/second burst 500 packets log prefix \"{}\" group 9808 snaplen 128",
                prefix(uid)
            );
            let found = log_rule(&netns, "pod/shop/web/ingress")?;
            assert_eq!(found, Some(rule), "{step}");
        }
    }
    assert_eq!(netns.run(&["nft", "list", "counters"], "")?, "");

    // Isolated again, it starts anew.
    compiler.apply(policy("nobody", &nobody));
    netns.nft(&compiler.take_transaction().to_string())?;
    assert_eq!(counted(&netns, "pod/shop/web/ingress"), Some((0, 0)));
    Ok(())
}

#[test]
fn the_counter_sees_what_the_limit_keeps_out_of_the_log() -> Result<(), LabError> {
    const PACKETS: u64 = 40;
    let netns = Netns::new("limited")?;
    netns.ip("link set lo up\naddr add 10.0.0.1/32 dev lo\naddr add 10.0.0.2/32 dev lo\n")?;
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    compiler.apply(pod("web", "", &json!({}), "10.0.0.1"));
    compiler.apply(policy(
        "out",
        &json!({"podSelector": {}, "policyTypes": ["Egress"]}),
    ));
    let log = DropLog {
        rate: 1,
        burst: 1,
        ..DropLog::default()
    };
    let ruleset = compile_with(compiler.snapshot(), &NodeScope::AllNodes, Some(&log));
    netns.nft(&ruleset.to_string())?;
    // Nothing listens to the log, and packets are dropped all the same.
    netns.call(|| {
        let socket = UdpSocket::bind("10.0.0.1:0").expect("the pod's address");
        for _ in 0..PACKETS {
            socket.send_to(b"x", "10.0.0.2:9").expect("sent");
        }
    })?;
    let until = Instant::now() + Duration::from_secs(60);
    let packets = || counted(&netns, "pod/shop/web/egress").map(|(packets, _)| packets);
    while packets() < Some(PACKETS) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(packets(), Some(PACKETS));
    Ok(())
}

/// Two pods whose names differ in the last of 253 characters, in a namespace with the longest name.
#[test]
fn the_longest_names_have_counters_of_their_own() -> Result<(), LabError> {
    let namespace = "n".repeat(63);
    let key = |name: &str| format!("{namespace}/{name}").parse().expect("a key");
    let rename = |event, name: &str| match event {
        Event::Pod(pod) => Event::Pod(Pod {
            key: key(name),
            ..pod
        }),
        Event::Policy(policy) => Event::Policy(Policy {
            key: key(name),
            ..policy
        }),
        other => other,
    };
    let stem = "p".repeat(252);
    let both = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let events = [
        rename(policy("closed", &both), &"x".repeat(253)),
        rename(pod("a", "", &json!({}), "10.0.0.1"), &format!("{stem}a")),
        rename(pod("b", "", &json!({}), "10.0.0.2"), &format!("{stem}b")),
    ];
    let ways = ThreeWays::new()?;
    let log = Some(DropLog::default());
    if let Err(why) = ways.lead_to_the_same(&events, &NodeScope::AllNodes, log) {
        panic!("{why}");
    }
    let mut compiler = Compiler::new(NodeScope::AllNodes);
    events.into_iter().for_each(|event| compiler.apply(event));
    assert_eq!(compiler.ruleset().counters().len(), 5);
    Ok(())
}
