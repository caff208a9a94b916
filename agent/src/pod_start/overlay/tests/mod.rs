//! Who is believed, and when.

mod orders;

use std::collections::BTreeMap;

use policy_compiler::decode;
use policy_compiler::model::Name;
use serde_json::json;

use super::*;

fn overlay() -> Overlay {
    Overlay::new(NodeScope::Node(Name::parse("node-a").expect("valid")))
}

fn key(name: &str) -> ObjectKey {
    format!("shop/{name}").parse().expect("namespace/name")
}

fn address(number: u8) -> String {
    format!("10.244.1.{number}")
}

fn pod(name: &str, uid: &str, address: Option<u8>) -> Pod {
    object(name, uid, address, &json!({}))
}

fn object(name: &str, uid: &str, number: Option<u8>, metadata: &serde_json::Value) -> Pod {
    let ips: Vec<_> = number
        .map(|number| json!({"ip": address(number)}))
        .into_iter()
        .collect();
    let mut json = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": uid},
        "spec": {"nodeName": "node-a"}, "status": {"phase": "Pending", "podIPs": ips},
    });
    for (field, value) in metadata.as_object().into_iter().flatten() {
        json["metadata"][field] = value.clone();
    }
    decode::pod(&json).object.expect("valid")
}

fn sandbox(id: &str, name: &str, uid: &str, number: u8) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        addresses: vec![address(number).parse().expect("an address")],
    }
}

/// What whoever takes the events knows.
#[derive(Default)]
struct Taker(BTreeMap<ObjectKey, PodAddresses>);

impl Taker {
    fn take(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match event {
                Event::Pod(pod) => drop(self.0.insert(pod.key, pod.addresses)),
                Event::PodDeleted(key) => drop(self.0.remove(&key)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The last number of the pod's address.
    fn of(&self, name: &str) -> Option<u8> {
        let v4 = self.0.get(&key(name))?.v4?;
        Some(v4.octets()[3])
    }
}

#[test]
fn the_runtime_knows_first_and_the_object_changes_nothing() {
    let (mut overlay, mut taker) = (overlay(), Taker::default());
    taker.take(overlay.connected());
    let web = sandbox("s1", "web", "u1", 2);
    taker.take(overlay.started(&web));
    assert!(!overlay.knows(&web), "its labels are not known");
    taker.take([overlay.api(Event::Pod(pod("web", "u1", None)))]);
    assert!(overlay.knows(&web));
    assert_eq!(taker.of("web"), Some(2));
    taker.take([overlay.api(Event::Pod(pod("web", "u1", Some(2))))]);
    assert_eq!(taker.of("web"), Some(2));
}

#[test]
fn a_stopped_sandbox_gives_its_address_up_whatever_the_object_shows() {
    let (mut overlay, mut taker) = (overlay(), Taker::default());
    taker.take(overlay.connected());
    taker.take([overlay.api(Event::Pod(pod("web", "u1", None)))]);
    taker.take(overlay.started(&sandbox("s1", "web", "u1", 2)));
    taker.take([overlay.api(Event::Pod(pod("web", "u1", Some(2))))]);
    taker.take(overlay.stopped(&sandbox("s1", "web", "u1", 2)));
    assert_eq!(taker.of("web"), None);
    taker.take([overlay.api(Event::Pod(pod("web", "u1", Some(2))))]);
    assert_eq!(taker.of("web"), None);
    // Its next one has another, and clearing the first away once more does no harm.
    taker.take(overlay.started(&sandbox("s2", "web", "u1", 3)));
    taker.take(overlay.stopped(&sandbox("s1", "web", "u1", 2)));
    assert_eq!(taker.of("web"), Some(3));
}

#[test]
fn a_pod_of_the_same_name_is_another_one() {
    let (mut overlay, mut taker) = (overlay(), Taker::default());
    taker.take(overlay.connected());
    taker.take(overlay.started(&sandbox("s1", "web", "u1", 2)));
    taker.take([overlay.api(Event::Pod(pod("web", "u2", None)))]);
    assert_eq!(taker.of("web"), None);
    assert!(!overlay.knows(&sandbox("s1", "web", "u1", 2)));
    taker.take(overlay.started(&sandbox("s2", "web", "u2", 3)));
    assert_eq!(taker.of("web"), Some(3));
}

/// The mirror pod in the API has a uid of its own; manifests have none.
#[test]
fn static_pods_and_manifests_are_known_by_name() {
    let owner = json!([{"kind": "Node", "name": "node-a", "controller": true}]);
    let mirror = object(
        "proxy",
        "in-the-api",
        None,
        &json!({"ownerReferences": owner}),
    );
    for pod in [mirror, pod("proxy", "", None)] {
        let (mut overlay, mut taker) = (overlay(), Taker::default());
        taker.take(overlay.connected());
        taker.take(overlay.started(&sandbox("s1", "proxy", "hash", 2)));
        taker.take([overlay.api(Event::Pod(pod.clone()))]);
        assert_eq!(taker.of("proxy"), Some(2));
        assert!(overlay.knows(&sandbox("s1", "proxy", "hash", 2)));
        taker.take(overlay.stopped(&sandbox("s1", "proxy", "hash", 2)));
        assert_eq!(taker.of("proxy"), None);
    }
}

#[test]
fn the_nodes_address_is_never_a_pods() {
    let (mut overlay, mut taker) = (overlay(), Taker::default());
    let mut host = pod("host", "u1", Some(9));
    host.host_network = true;
    taker.take(overlay.connected());
    taker.take(overlay.started(&sandbox("s1", "host", "u1", 8)));
    taker.take([overlay.api(Event::Pod(host))]);
    assert_eq!(taker.of("host"), Some(9), "as the API server says");
}

#[test]
fn pods_of_other_nodes_pass_as_they_are() {
    let (mut overlay, mut taker) = (overlay(), Taker::default());
    taker.take(overlay.connected());
    taker.take(overlay.started(&sandbox("s1", "far", "u1", 2)));
    let mut far = pod("far", "u1", Some(7));
    far.node = Name::parse("node-b").ok();
    taker.take([overlay.api(Event::Pod(far))]);
    assert_eq!(taker.of("far"), Some(7));
    assert!(overlay.objects.is_empty());
}

#[test]
fn sandboxes_without_objects_do_not_pile_up() {
    let mut overlay = overlay();
    overlay.connected();
    for number in 0..5_000 {
        let (id, name) = (format!("s{number}"), format!("p{number}"));
        let sandbox = sandbox(&id, &name, &id, 2);
        overlay.started(&sandbox);
        overlay.stopped(&sandbox);
    }
    let runtime = overlay.runtime.expect("connected");
    assert!(runtime.size() <= 3 * 1025, "{}", runtime.size());
}

/// As of sandboxes that another plugin refuses after this one was asked.
#[test]
fn sandboxes_that_never_stop_do_not_pile_up() {
    let mut overlay = overlay();
    overlay.connected();
    let long = sandbox("long", "long", "long", 3);
    overlay.started(&long);
    overlay.api(Event::Pod(pod("long", "long", None)));
    for number in 0..5_000 {
        let (id, name) = (format!("s{number}"), format!("p{number}"));
        overlay.started(&sandbox(&id, &name, &id, 2));
        overlay.api(Event::Pod(pod(&name, &id, None)));
        overlay.api(Event::PodDeleted(key(&name)));
    }
    assert!(overlay.knows(&long), "it is still there");
    let runtime = overlay.runtime.expect("connected");
    assert!(runtime.size() <= 3 * 1026, "{}", runtime.size());
}
