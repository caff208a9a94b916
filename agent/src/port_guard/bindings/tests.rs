use policy_compiler::model::ObjectKey;

use super::*;

fn pod(name: &str) -> PodId {
    let key: ObjectKey = format!("shop/{name}").parse().expect("a key");
    PodId::of(&key, "")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Port 10 + n leads to namespace n, whose link is 2.
fn ports(spaces: &[u32]) -> Vec<Port> {
    let port = |space: &u32| Port {
        index: 10 + space,
        name: format!("port{space}"),
        space: *space,
        other: 2,
    };
    spaces.iter().map(port).collect()
}

fn owners(pods: &[(&str, &str)]) -> Owners {
    let owner = |(of, name): &(&str, &str)| (address(of), pod(name));
    pods.iter().map(owner).collect()
}

fn spaces(found: &[(u32, &[&str])]) -> Spaces {
    let space = |(space, list): &(u32, &[&str])| {
        let configured = list.iter().map(|of| (2, address(of)));
        (*space, configured.collect())
    };
    found.iter().map(space).collect()
}

/// Addresses, and the ports they are bound to.
type Bound = Vec<(String, u32)>;

/// The next state, as the agent gets there: what is bound to which port, and what is where it does not belong.
fn step(
    bindings: &mut Bindings,
    here: &[u32],
    pods: &[(&str, &str)],
    found: &[(u32, &[&str])],
) -> (Bound, Vec<(u32, String)>) {
    let (ports, pods, mut spaces) = (ports(here), owners(pods), spaces(found));
    *bindings = kept(bindings, &ports, &pods);
    let unknown = unknown(bindings, &ports, &pods);
    spaces.retain(|space, _| unknown.contains(space));
    let conflicts = bind(bindings, &ports, &pods, &spaces);
    let bound = bindings.iter().map(|(a, b)| (a.to_string(), b.port));
    let conflicts = conflicts.iter().map(|c| (c.port, c.address.to_string()));
    (bound.collect(), conflicts.collect())
}

fn bound(rows: &[(&str, u32)]) -> Bound {
    rows.iter()
        .map(|(of, port)| ((*of).to_owned(), *port))
        .collect()
}

const V: (&str, &str) = ("10.0.0.1", "victim");
const M: (&str, &str) = ("10.0.0.2", "mallory");

#[test]
fn both_addresses_of_a_pod_are_bound_to_its_port() {
    let mut bindings = Bindings::new();
    let pods = [V, ("fd00::1", "victim"), M];
    let found: &[(u32, &[&str])] = &[(1, &["127.0.0.1", V.0, "fe80::1", "fd00::1"]), (2, &[M.0])];
    let (is, conflicts) = step(&mut bindings, &[1, 2], &pods, found);
    assert_eq!(is, bound(&[(V.0, 11), (M.0, 12), ("fd00::1", 11)]));
    assert!(conflicts.is_empty());
    // Nothing more is asked for.
    assert!(unknown(&bindings, &ports(&[1, 2]), &owners(&pods)).is_empty());
}

#[test]
fn who_configures_anothers_address_later_gains_nothing() {
    let mut bindings = Bindings::new();
    step(&mut bindings, &[1, 2], &[V, M], &[(1, &[V.0]), (2, &[M.0])]);
    let found: &[(u32, &[&str])] = &[(1, &[]), (2, &[V.0])];
    let (is, _) = step(&mut bindings, &[1, 2], &[V, M], found);
    assert_eq!(is, bound(&[(V.0, 11), (M.0, 12)]));
}

#[test]
fn who_waits_for_an_address_with_its_own_port_does_not_get_it() {
    let mut bindings = Bindings::new();
    step(&mut bindings, &[2], &[M], &[(2, &[M.0])]);
    // The victim's address is there before the victim is, and ports are numbered either way.
    for victims in [1, 3] {
        let mut bindings = bindings.clone();
        let (is, _) = step(&mut bindings, &[2], &[V, M], &[(2, &[V.0, M.0])]);
        assert_eq!(is, bound(&[(M.0, 12)]));
        let found: &[(u32, &[&str])] = &[(2, &[V.0, M.0]), (victims, &[V.0])];
        let (is, _) = step(&mut bindings, &[victims, 2], &[V, M], found);
        assert_eq!(is, bound(&[(V.0, 10 + victims), (M.0, 12)]));
    }
}

#[test]
fn at_the_first_look_who_has_no_choice_comes_first() {
    for mallorys in [1, 3] {
        let mut bindings = Bindings::new();
        let found: &[(u32, &[&str])] = &[(2, &[V.0]), (mallorys, &[V.0, M.0])];
        let (is, conflicts) = step(&mut bindings, &[2, mallorys], &[V, M], found);
        assert_eq!(is, bound(&[(V.0, 12), (M.0, 10 + mallorys)]));
        assert_eq!(conflicts, [(10 + mallorys, V.0.to_owned())]);
    }
}

#[test]
fn where_nothing_else_tells_the_first_address_does() {
    for mallorys in [1, 3] {
        let mut bindings = Bindings::new();
        // It is not known yet whose the other namespace is.
        let found: &[(u32, &[&str])] = &[(2, &[V.0]), (mallorys, &[M.0, V.0])];
        let (is, conflicts) = step(&mut bindings, &[2, mallorys], &[V], found);
        assert_eq!(is, bound(&[(V.0, 12)]));
        assert_eq!(conflicts, [(10 + mallorys, V.0.to_owned())]);
    }
}

#[test]
fn an_address_moves_with_its_pod() {
    let mut bindings = Bindings::new();
    step(&mut bindings, &[1, 2], &[V, M], &[(1, &[V.0]), (2, &[M.0])]);
    // The port is gone, and the pod has another.
    let (is, _) = step(&mut bindings, &[2, 3], &[V, M], &[(3, &[V.0])]);
    assert_eq!(is, bound(&[(V.0, 13), (M.0, 12)]));
    // The pod is gone, and another one got its address before its port went.
    let next = (V.0, "next");
    let (is, _) = step(
        &mut bindings,
        &[2, 3, 4],
        &[next, M],
        &[(3, &[]), (4, &[V.0])],
    );
    assert_eq!(is, bound(&[(V.0, 14), (M.0, 12)]));
    // Nobody has it any more.
    let (is, _) = step(&mut bindings, &[2, 3, 4], &[M], &[]);
    assert_eq!(is, bound(&[(M.0, 12)]));
}

#[test]
fn what_an_earlier_agent_has_bound_stays() {
    let mut bindings = Bindings::new();
    for (of, port) in [(V.0, 11), (M.0, 12)] {
        let binding = Binding { port, pod: None };
        bindings.insert(address(of), binding);
    }
    let found: &[(u32, &[&str])] = &[(1, &[V.0]), (2, &[M.0, V.0])];
    let (is, _) = step(&mut bindings, &[1, 2], &[V, M], found);
    assert_eq!(is, bound(&[(V.0, 11), (M.0, 12)]));
    assert!(bindings.values().all(|binding| binding.pod.is_some()));
}

#[test]
fn a_second_link_of_a_pod_is_its_own() {
    let mut bindings = Bindings::new();
    let mut ports = ports(&[1, 2]);
    ports.push(Port {
        index: 5,
        name: "net1".to_owned(),
        space: 1,
        other: 3,
    });
    let pods = owners(&[V]);
    let configured = vec![(2, address(V.0)), (3, address("192.168.0.1"))];
    let found = Spaces::from([(1, configured), (2, vec![])]);
    bind(&mut bindings, &ports, &pods, &found);
    assert_eq!(bindings[&address(V.0)].port, 11);
    // By neither does it get another pod's.
    let pods = owners(&[V, M]);
    let unknown = unknown(&bindings, &ports, &pods);
    assert_eq!(unknown, BTreeSet::from([2]));
}
