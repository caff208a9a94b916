//! Any order of what both say.

use proptest::prelude::*;

use super::*;

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
            Event::Pod(super::pod(
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
