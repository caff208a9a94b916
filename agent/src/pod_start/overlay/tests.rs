//! Any order of what both say.

use std::collections::BTreeMap;

use policy_compiler::decode;
use policy_compiler::model::Name;
use proptest::prelude::*;
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

/// One thing that happens. Pods are numbered, as sandboxes and addresses are.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// The API server shows a pod, perhaps with an address that it had or has.
    Shown {
        pod: usize,
        old_address: bool,
    },
    /// The object goes, and one of the same name with another uid comes.
    Recreated {
        pod: usize,
    },
    Deleted {
        pod: usize,
    },
    /// The pod gets a (further) sandbox, with the address that has been free for longest or shortest.
    Started {
        pod: usize,
        shortest: bool,
    },
    Stopped {
        pod: usize,
    },
    /// The runtime clears away an old sandbox once more.
    ClearedAway {
        pod: usize,
    },
    Lost,
    Connected,
}

fn happens() -> impl Strategy<Value = Happens> {
    let pod = 0..3_usize;
    prop_oneof![
        4 => (pod.clone(), any::<bool>()).prop_map(|(pod, old_address)| Happens::Shown { pod, old_address }),
        1 => pod.clone().prop_map(|pod| Happens::Recreated { pod }),
        1 => pod.clone().prop_map(|pod| Happens::Deleted { pod }),
        4 => (pod.clone(), any::<bool>()).prop_map(|(pod, shortest)| Happens::Started { pod, shortest }),
        3 => pod.clone().prop_map(|pod| Happens::Stopped { pod }),
        1 => pod.prop_map(|pod| Happens::ClearedAway { pod }),
        1 => Just(Happens::Lost),
        1 => Just(Happens::Connected),
    ]
}

/// What is so, in the plainest words.
#[derive(Default)]
struct Truth {
    pods: [PodTruth; 3],
    next: u32,
    connected: bool,
    /// Addresses that no sandbox has, the one that was given up first at the front.
    free: Vec<u8>,
}

#[derive(Clone, Default)]
struct PodTruth {
    uid: u32,
    /// What the API server shows, if there is an object.
    shown: Option<Option<u8>>,
    /// Of the uid: id and address.
    sandbox: Option<(u32, u8)>,
    /// Addresses that the uid's sandboxes had, and the last of them that ended.
    had: Vec<u8>,
    ended: Option<(u32, u8)>,
    /// The runtime spoke of this uid since it was reached.
    is_told: bool,
}

impl Truth {
    fn new() -> Self {
        let mut truth = Self {
            free: (2..8).collect(),
            ..Self::default()
        };
        for (number, pod) in truth.pods.iter_mut().enumerate() {
            pod.uid = u32::try_from(number).expect("few") + 1000;
        }
        truth
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn word(&self, pod: usize, (id, address): (u32, u8)) -> Sandbox {
        let uid = self.pods[pod].uid.to_string();
        sandbox(&id.to_string(), &format!("p{pod}"), &uid, address)
    }

    /// Returns what follows of it.
    fn happens(&mut self, happens: Happens, overlay: &mut Overlay) -> Vec<Event> {
        let shown = |truth: &PodTruth, pod: usize| {
            let address = truth.shown.expect("there is an object");
            Event::Pod(self::pod(
                &format!("p{pod}"),
                &truth.uid.to_string(),
                address,
            ))
        };
        match happens {
            Happens::Shown { pod, old_address } => {
                let it = &mut self.pods[pod];
                let now = it.sandbox.map(|(_, address)| address);
                it.shown = Some(if old_address {
                    it.had.last().copied()
                } else {
                    now
                });
                vec![overlay.api(shown(it, pod))]
            }
            Happens::Recreated { pod } => {
                let mut events = self.happens(Happens::Stopped { pod }, overlay);
                let uid = self.number() + 2000;
                let it = &mut self.pods[pod];
                *it = PodTruth {
                    uid,
                    shown: Some(None),
                    ..PodTruth::default()
                };
                events.push(overlay.api(shown(it, pod)));
                events
            }
            Happens::Deleted { pod } => {
                self.pods[pod].shown = None;
                vec![overlay.api(Event::PodDeleted(key(&format!("p{pod}"))))]
            }
            Happens::Started { pod, shortest } => {
                // A second one of the same uid: the first has gone, perhaps without a word yet.
                let before = self.pods[pod].sandbox.take();
                self.pods[pod].ended = before.or(self.pods[pod].ended);
                let at = if shortest { self.free.len() - 1 } else { 0 };
                let address = self.free.remove(at);
                self.free.extend(before.map(|(_, address)| address));
                let sandbox = (self.number(), address);
                self.pods[pod].sandbox = Some(sandbox);
                self.pods[pod].had.push(address);
                if !self.connected {
                    return Vec::new();
                }
                self.pods[pod].is_told = true;
                overlay.started(&self.word(pod, sandbox))
            }
            Happens::Stopped { pod } => {
                let Some(sandbox) = self.pods[pod].sandbox.take() else {
                    return Vec::new();
                };
                self.pods[pod].ended = Some(sandbox);
                self.free.push(sandbox.1);
                if !self.connected {
                    return Vec::new();
                }
                self.pods[pod].is_told = true;
                overlay.stopped(&self.word(pod, sandbox))
            }
            Happens::ClearedAway { pod } => match self.pods[pod].ended {
                Some(sandbox) if self.connected => {
                    self.pods[pod].is_told = true;
                    overlay.stopped(&self.word(pod, sandbox))
                }
                _ => Vec::new(),
            },
            Happens::Lost => {
                self.connected = false;
                self.pods.iter_mut().for_each(|pod| pod.is_told = false);
                overlay.lost()
            }
            Happens::Connected => {
                self.connected = true;
                let mut events = overlay.connected();
                for pod in 0..self.pods.len() {
                    self.pods[pod].is_told = self.pods[pod].sandbox.is_some();
                    if let Some(sandbox) = self.pods[pod].sandbox {
                        events.extend(overlay.started(&self.word(pod, sandbox)));
                    }
                }
                events
            }
        }
    }

    fn address(&self, pod: usize) -> Option<u8> {
        let it = &self.pods[pod];
        let shown = it.shown?;
        if !self.connected {
            return shown;
        }
        if it.is_told {
            return it.sandbox.map(|(_, address)| address);
        }
        let others = self.pods.iter().filter_map(|pod| pod.sandbox);
        let taken: Vec<u8> = others.map(|(_, address)| address).collect();
        shown.filter(|address| !taken.contains(address))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_addresses_are_right_after_anything(all in proptest::collection::vec(happens(), 1..40)) {
        let (mut overlay, mut taker, mut truth) = (overlay(), Taker::default(), Truth::new());
        for happens in all {
            let events = truth.happens(happens, &mut overlay);
            taker.take(events);
            for pod in 0..truth.pods.len() {
                let name = format!("p{pod}");
                prop_assert_eq!(taker.of(&name), truth.address(pod), "{} after {:?}", name, happens);
                prop_assert_eq!(taker.0.contains_key(&key(&name)), truth.pods[pod].shown.is_some());
                // However late the API server is: of the pods that the runtime spoke of, none keeps what it gave up.
                let it = &truth.pods[pod];
                if truth.connected && it.is_told && it.sandbox.is_none() {
                    prop_assert_eq!(taker.of(&name), None);
                }
            }
        }
    }
}
