//! What the agent's metrics say of its table, and what `nft` lists of it.

use std::path::Path;

use netpol_tests::lab::{Lab, Place, Topology, manifests, privileged};
use serde_json::Value;

use crate::ledger::{awaited, metric};
use crate::world::{POLICIES, build, objects};

const NODE: &str = "node-a";
const KINDS: [&str; 6] = ["chains", "rules", "sets", "maps", "elements", "counters"];

/// Two policies that take everything a table can hold: many networks, and a port's name.
const MORE: &str = r"
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: more, namespace: conn }
spec:
  podSelector: {}
  ingress:
    - from: [NETWORKS]
      ports: [{ port: 81 }]
    - from: [{ namespaceSelector: {} }]
      ports: [{ port: web }, { port: 9 }]
";

fn more() -> String {
    let networks: Vec<String> = (0..40)
        .map(|i| format!("{{ ipBlock: {{ cidr: 203.0.{i}.0/25 }} }}"))
        .collect();
    let named = objects().replace(
        "{ name: main, image: pause }",
        "{ name: main, image: pause, ports: [{ name: web, containerPort: 80 }] }",
    );
    named + POLICIES + &MORE.replace("NETWORKS", &networks.join(", "))
}

fn put(folder: &Path, text: &str) {
    std::fs::write(folder.join(".draft"), text).expect("a file");
    std::fs::rename(folder.join(".draft"), folder.join("world.yaml")).expect("a file in place");
}

/// As `nft` counts, in the order of [`KINDS`].
fn listed(lab: &Lab) -> [u64; 6] {
    let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
    let listing = netns.run(&["nft", "-j", "list", "ruleset"], "");
    let listing = listing.unwrap_or_else(|error| panic!("{error}"));
    let listing: Value = serde_json::from_str(&listing).expect("JSON");
    let mut counts = [0; 6];
    for object in listing["nftables"].as_array().expect("a list") {
        for (kind, object) in object.as_object().expect("an object") {
            let is_ours = object["family"] == "inet" && object["table"] == "netpol";
            let place = KINDS
                .iter()
                .position(|name| name.trim_end_matches('s') == kind);
            if let Some(place) = place.filter(|_| is_ours) {
                counts[place] += 1;
            }
            if let Some(elements) = object["elem"].as_array().filter(|_| is_ours) {
                counts[4] += elements.len() as u64;
            }
        }
    }
    counts
}

/// As the agent says.
fn told(lab: &Lab) -> [u64; 6] {
    KINDS.map(|kind| {
        let label = format!("kind=\"{kind}\"");
        metric(lab, NODE, "netpol_table_objects", &[&label])
    })
}

/// Both come to the same, and to something else than before.
fn agree(lab: &Lab, what: &str, before: [u64; 6]) -> [u64; 6] {
    let is_so = awaited(|| {
        let listed = listed(lab);
        listed != before && listed == told(lab)
    });
    assert!(
        is_so,
        "{what}: listed {:?}, told {:?}, before {before:?}",
        listed(lab),
        told(lab)
    );
    listed(lab)
}

#[test]
fn the_table_is_as_large_as_the_agent_says() {
    if !privileged("the_table_is_as_large_as_the_agent_says") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    put(&folder, &(objects() + POLICIES));
    lab.start_agent(NODE, &manifests(&folder))
        .and_then(|()| lab.wait_ready(NODE))
        .unwrap_or_else(|error| panic!("{error}"));
    let first = agree(&lab, "at first", [0; 6]);
    let count = |name: &str| metric(&lab, NODE, name, &[]);
    assert_eq!(count("netpol_elements_added_total"), first[4]);
    let bytes = count("netpol_sent_bytes_total");
    assert!(bytes > first[1] * 50, "{bytes} bytes for {first:?}");

    put(&folder, &more());
    let large = agree(&lab, "more policies", first);
    assert!(large[4] > first[4] + 40, "{large:?}");
    put(&folder, &(objects() + POLICIES));
    assert_eq!(agree(&lab, "and no more", large), first);
    assert!(count("netpol_sent_bytes_total") > bytes);

    let repairs = || metric(&lab, NODE, "netpol_repairs_total", &[]);
    let edits = [
        "add set inet netpol mine { type ipv4_addr; elements = { 10.0.0.1 }; }\nadd chain inet netpol mine\n",
        "flush map inet netpol ingress4\n",
        "delete table inet netpol\n",
    ];
    for (edit, number) in edits.into_iter().zip(1..) {
        let netns = lab.host(&Place::node(NODE)).expect("a node").netns();
        netns.nft(edit).unwrap_or_else(|error| panic!("{error}"));
        assert!(awaited(|| repairs() == number), "{edit}");
        assert_eq!(agree(&lab, edit, [0; 6]), first, "{edit}");
    }
    put(&folder, &more());
    assert_eq!(agree(&lab, "after repairs", first), large);
    put(&folder, &objects());
    assert_eq!(agree(&lab, "no policy", large), [0; 6]);
    assert_eq!(metric(&lab, NODE, "netpol_commits_total", &["failed"]), 0);
}
