//! Kubernetes Events of drops, in a real API server: on the pods concerned, few, and only for those who want them.

use std::time::{Duration, Instant};

use netpol_tests::control_plane::pod;
use netpol_tests::lab::{NODES, Place, Topology, privileged};
use serde_json::{Value, json};

use crate::live::{Live, closes, lets_in};

const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

const DENIED: [(&str, &str, u16, bool); 2] = [
    ("team/job", "shop/db", 80, false),
    ("shop/web", "shop/db", 80, true),
];

/// A database pod on node-a that lets only the web pod in, and a pod of another namespace.
fn shop(with_events: bool, with_rights: bool) -> Live {
    let mut live = Live::start(Topology::RoutedVeth);
    if with_rights {
        live.install("rbac-events.yaml");
    }
    live.add_namespaces(&["shop", "team"]);
    live.apply(&closes("shop", &["Ingress"]));
    let web = json!([{"podSelector": {"matchLabels": {"app": "web"}}}]);
    live.apply(&lets_in("shop", "db", &web));
    live.add_pod("shop/db", &[("app", "db")], 0, 10);
    live.add_pod("shop/web", &[("app", "web")], 1, 10);
    live.add_pod("team/job", &[("app", "job")], 1, 11);
    let mut arguments = live.arguments();
    arguments.extend(with_events.then(|| "--kubernetes-events".to_owned()));
    for node in &NODES {
        live.lab
            .start_agent(node.name, &arguments)
            .and_then(|()| live.lab.wait_ready(node.name))
            .unwrap_or_else(|error| panic!("{error}"));
    }
    live
}

/// Events about a pod.
fn events_on(live: &Live, namespace: &str, name: &str) -> Vec<Value> {
    let list = live
        .control
        .read(&format!(
            "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        ))
        .unwrap_or_else(|error| panic!("{error}"));
    let mut events = list["items"].as_array().cloned().unwrap_or_default();
    events.retain(|event| event["regarding"]["name"] == name);
    events
}

fn note(event: &Value) -> &str {
    event["note"]
        .as_str()
        .unwrap_or_else(|| panic!("no note in {event}"))
}

fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not after {WITHIN:?}");
        std::thread::sleep(POLL);
    }
}

/// Sends so many requests that are denied, each of a port of its own.
fn ask_often(live: &mut Live, times: usize) {
    let to = NODES[0].pod_addresses(10)[0];
    let send = move || {
        for _ in 0..times {
            let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
            socket.send_to(b"np?\n", (to, 53)).expect("sent");
        }
    };
    let host = live.lab.host(&Place::pod("team/job"));
    let netns = host.unwrap_or_else(|error| panic!("{error}")).netns();
    netns.call(send).expect("the pod is there");
}

/// How many requests about events the API server has had.
fn requests(live: &Live) -> u64 {
    let metrics = live
        .control
        .metrics()
        .unwrap_or_else(|error| panic!("{error}"));
    let about_events = metrics.lines().filter(|line| {
        line.starts_with("apiserver_request_total{") && line.contains("resource=\"events\"")
    });
    let counts = about_events.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}

/// How many packets the agent of node-a has told of, in lines of their own.
fn await_told(live: &Live, at_least: usize) {
    awaited("the flow log tells of it", || {
        let lines = live.lab.agent("node-a")?.flow_lines();
        (lines.lines().count() >= at_least).then_some(())
    });
}

#[test]
fn denied_pods_get_events() {
    if !privileged("denied_pods_get_events") {
        return;
    }
    let mut live = shop(true, true);
    live.now("denied", &DENIED);
    // One for each family: their addresses are told.
    let both = |namespace, name| {
        awaited(&format!("events on {namespace}/{name}"), || {
            <[Value; 2]>::try_from(events_on(&live, namespace, name)).ok()
        })
    };
    let ([subject, _], [peer, _]) = (both("shop", "db"), both("team", "job"));
    for event in [&subject, &peer] {
        for (field, expected) in [
            ("type", "Warning"),
            ("reason", "NetworkPolicyDenied"),
            ("action", "Drop"),
            ("reportingController", "netpol"),
            ("reportingInstance", "node-a"),
        ] {
            assert_eq!(event[field], expected, "{event}");
        }
    }
    for (event, namespace, name) in [(&subject, "shop", "db"), (&peer, "team", "job")] {
        let stored = live
            .control
            .get(&pod(namespace, name))
            .unwrap_or_else(|error| panic!("{error}"));
        let uid = &stored["metadata"]["uid"];
        assert_eq!(
            event["regarding"]["uid"], *uid,
            "`kubectl describe pod` asks by uid"
        );
        assert_eq!(event["regarding"]["kind"], "Pod", "{event}");
    }
    for word in ["ingress from team/job", "shop/closed", "shop/db"] {
        assert!(note(&subject).contains(word), "{word}: {}", note(&subject));
    }
    let peers_note = note(&peer);
    assert!(peers_note.contains("shop/db"), "{peers_note}");
    assert!(
        !peers_note.contains("closed"),
        "another's policies are not its business: {peers_note}"
    );
    assert_eq!(
        events_on(&live, "shop", "web"),
        Vec::<Value>::new(),
        "nothing denied it"
    );

    // Of the same kind again and again: the events stay as few as they are.
    for _ in 0..3 {
        ask_often(&mut live, 10);
    }
    awaited("one of the further drops has an event", || {
        let events = events_on(&live, "shop", "db");
        (events
            .iter()
            .filter(|event| note(event).contains("53"))
            .count()
            == 1)
            .then_some(())
    });
    ask_often(&mut live, 30);
    // A drop of another kind: when its event is there, those of the ones before it would be, too.
    live.now("another kind", &[("team/job", "shop/db", 81, false)]);
    awaited("the event of another kind", || {
        let events = events_on(&live, "team", "job");
        events
            .iter()
            .any(|event| note(event).contains("81"))
            .then_some(())
    });
    let after = [
        events_on(&live, "shop", "db").len(),
        events_on(&live, "team", "job").len(),
    ];
    assert!(
        after.iter().all(|count| *count <= 2 + 3),
        "one each for UDP 53 and for TCP 81 in both families: {after:?}: {:?}",
        events_on(&live, "shop", "db")
            .iter()
            .map(note)
            .collect::<Vec<_>>(),
    );
}

/// Who may not write events is told so once; everything else goes on.
#[test]
fn without_the_rights_all_else_goes_on() {
    if !privileged("without_the_rights_all_else_goes_on") {
        return;
    }
    let mut live = shop(true, false);
    live.now("denied", &DENIED);
    live.lab
        .await_log("node-a", "cannot write Kubernetes Events")
        .unwrap_or_else(|error| panic!("{error}"));
    ask_often(&mut live, 10);
    live.now("still", &DENIED);
    await_told(&live, 3);
    let nobody = json!([{"podSelector": {"matchLabels": {"app": "nobody"}}}]);
    live.apply(&lets_in("shop", "db", &nobody));
    live.eventually(
        "and changes are obeyed",
        &[("shop/web", "shop/db", 80, false)],
    );
    let log = live.lab.agent("node-a").expect("an agent").log();
    assert_eq!(
        log.matches("cannot write Kubernetes Events").count(),
        1,
        "{log}"
    );
    assert!(log.contains("forbidden"), "it says why: {log}");
    assert_eq!(events_on(&live, "shop", "db"), Vec::<Value>::new());
}

/// Nobody who has not asked for them has requests sent for them.
#[test]
fn without_the_flag_nobody_asks() {
    if !privileged("without_the_flag_nobody_asks") {
        return;
    }
    let mut live = shop(false, true);
    let before = requests(&live);
    live.now("denied", &DENIED);
    ask_often(&mut live, 10);
    await_told(&live, 3);
    for node in &NODES {
        let status = live
            .lab
            .stop_agent(node.name, netpol_tests::lab::Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(status.success(), "{status}");
    }
    assert_eq!(requests(&live), before, "requests about events");
    assert_eq!(events_on(&live, "shop", "db"), Vec::<Value>::new());
    awaited("requests are counted: this was a list", || {
        (requests(&live) > before).then_some(())
    });
}
