//! Changes of the manifests' folder are obeyed within seconds, one after the other, by running agents.

use std::path::{Path, PathBuf};

use netpol_tests::lab::{Expect, Lab, NODES, PodSpec, Probe, Topology, Transport, privileged};

use crate::world::{
    CALLER, FAR, NEAR, POLICIES, STRANGER, addresses, at, build, eventually, objects,
};

/// A folder that agents watch, changed the way careful programs do it: written beside and renamed.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Self {
        let folder = parent.join("manifests");
        std::fs::create_dir(&folder).expect("a folder");
        Self(folder)
    }

    fn put(&self, name: &str, text: &str) {
        let draft = self.0.join(format!(".{name}.new"));
        std::fs::write(&draft, text).expect("a file");
        std::fs::rename(draft, self.0.join(name)).expect("a file in place of the old");
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("a file that was there");
    }
}

fn start(topology: Topology, files: &[(&str, &str)]) -> (Lab, Folder) {
    let mut lab = build(topology);
    let folder = Folder::new(lab.directory());
    for (name, text) in files {
        folder.put(name, text);
    }
    lab.start_agents(&folder.0)
        .unwrap_or_else(|error| panic!("{error}"));
    (lab, folder)
}

/// Probes of both callees from each of the named pods.
fn from(allowed: &[&str], denied: &[&str]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for to in [addresses(NEAR), addresses(FAR)].concat() {
        let probe = |pod: &&str| Probe::new(&at(pod), to, Transport::Tcp(80));
        probes.extend(allowed.iter().map(probe));
        probes.extend(denied.iter().map(|pod| probe(pod).expect(Expect::Silence)));
    }
    probes
}

#[test]
fn policies_come_change_and_go() {
    if !privileged("policies_come_change_and_go") {
        return;
    }
    let (mut lab, folder) = start(Topology::RoutedVeth, &[("objects.yaml", &objects())]);
    eventually(&mut lab, "no policy yet", &from(&[CALLER, STRANGER], &[]));

    folder.put("policies.yaml", POLICIES);
    eventually(&mut lab, "policies added", &from(&[CALLER], &[STRANGER]));

    folder.put(
        "policies.yaml",
        &POLICIES.replace("role: caller", "role: nobody"),
    );
    eventually(&mut lab, "policies edited", &from(&[], &[CALLER, STRANGER]));

    let any = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
               metadata: { name: any, namespace: conn }\nspec: { ingress: [{}] }\n";
    folder.put("any.yaml", any);
    eventually(
        &mut lab,
        "a second policy allows more",
        &from(&[CALLER, STRANGER], &[]),
    );

    folder.remove("any.yaml");
    eventually(
        &mut lab,
        "and is taken away",
        &from(&[], &[CALLER, STRANGER]),
    );

    folder.remove("policies.yaml");
    eventually(
        &mut lab,
        "all policies gone",
        &from(&[CALLER, STRANGER], &[]),
    );
}

#[test]
fn labels_of_pods_and_namespaces_change() {
    if !privileged("labels_of_pods_and_namespaces_change") {
        return;
    }
    let by_namespace = POLICIES.replace(
        "podSelector: { matchLabels: { role: caller } } }]\n      ports",
        "namespaceSelector: { matchLabels: { team: friends } } }]\n      ports",
    );
    assert_ne!(
        by_namespace, POLICIES,
        "the policies have changed their form"
    );
    let (mut lab, folder) = start(
        Topology::Bridge,
        &[("objects.yaml", &objects()), ("policies.yaml", POLICIES)],
    );
    eventually(&mut lab, "at first", &from(&[CALLER], &[STRANGER]));

    folder.put(
        "objects.yaml",
        &objects().replace("role: caller", "role: none"),
    );
    eventually(
        &mut lab,
        "the caller is none any more",
        &from(&[], &[CALLER, STRANGER]),
    );

    folder.put(
        "objects.yaml",
        &objects().replace("role: callee", "role: none"),
    );
    eventually(
        &mut lab,
        "the callees are none any more, so that only the caller's side counts",
        &from(&[STRANGER], &[CALLER]),
    );

    folder.put("policies.yaml", &by_namespace);
    folder.put("objects.yaml", &objects());
    eventually(
        &mut lab,
        "no namespace is a friend",
        &from(&[], &[CALLER, STRANGER]),
    );

    folder.put(
        "objects.yaml",
        &objects().replace(
            "{ name: else }",
            "{ name: else, labels: { team: friends } }",
        ),
    );
    eventually(&mut lab, "one is", &from(&[STRANGER], &[CALLER]));

    folder.put("objects.yaml", &objects());
    eventually(&mut lab, "and no more", &from(&[], &[CALLER, STRANGER]));
}

/// What cannot be read changes nothing that was understood before, and holds up nothing that is understood later.
#[test]
fn a_broken_file_changes_nothing() {
    if !privileged("a_broken_file_changes_nothing") {
        return;
    }
    let (mut lab, folder) = start(
        Topology::Vxlan,
        &[("objects.yaml", &objects()), ("policies.yaml", POLICIES)],
    );
    eventually(&mut lab, "at first", &from(&[CALLER], &[STRANGER]));

    folder.put(
        "policies.yaml",
        "kind: NetworkPolicy\nspec: [this is: not\n",
    );
    for node in &NODES {
        lab.await_log(node.name, "policies.yaml")
            .unwrap_or_else(|error| panic!("{error}"));
    }
    eventually(
        &mut lab,
        "the policies' file is broken",
        &from(&[CALLER], &[STRANGER]),
    );

    let closed = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                  metadata: { name: closed, namespace: else }\nspec: { policyTypes: [Egress, Ingress] }\n";
    folder.put("another.yaml", closed);
    let [near, _] = addresses(STRANGER);
    let closed = Probe::new(&netpol_tests::lab::Place::Outside, near, Transport::Tcp(80))
        .expect(Expect::Silence);
    eventually(&mut lab, "another file is not", &[closed]);

    folder.put("policies.yaml", &POLICIES.replace("port: 80", "port: 81"));
    eventually(
        &mut lab,
        "mended, with another port",
        &from(&[], &[CALLER, STRANGER]),
    );
}

/// Pods start, end, and come back under their name with another address (semantics rule F8).
#[test]
fn pods_come_and_go() {
    if !privileged("pods_come_and_go") {
        return;
    }
    let (mut lab, folder) = start(
        Topology::RoutedVeth,
        &[("objects.yaml", &objects()), ("policies.yaml", POLICIES)],
    );
    eventually(&mut lab, "at first", &from(&[CALLER], &[STRANGER]));

    let (old, new) = (addresses(NEAR), ["10.244.1.99", "fd00:10:244:1::63"]);
    let moved = old.iter().zip(new).fold(objects(), |text, (old, new)| {
        text.replace(&format!("ip: {old} "), &format!("ip: {new} "))
            .replace(&format!("\"{old}\""), &format!("\"{new}\""))
    });
    assert!(new.iter().all(|address| moved.contains(address)), "{moved}");
    lab.remove_pod(NEAR)
        .unwrap_or_else(|error| panic!("{error}"));
    let new = new.map(|address| address.parse().expect("an address"));
    let pod = |key: &str, addresses: &[std::net::IpAddr]| PodSpec {
        key: key.to_owned(),
        node: "node-a".to_owned(),
        addresses: addresses.to_vec(),
    };
    // Somebody whom nothing selects gets the old address.
    lab.add_pods(vec![pod(NEAR, &new), pod("else/heir", &old)])
        .unwrap_or_else(|error| panic!("{error}"));
    folder.put("objects.yaml", &moved);
    let mut probes = Vec::new();
    for (new, old) in new.into_iter().zip(old) {
        probes.push(Probe::new(&at(CALLER), new, Transport::Tcp(80)));
        probes.push(Probe::new(&at(STRANGER), new, Transport::Tcp(80)).expect(Expect::Silence));
        probes.push(Probe::new(&at(CALLER), old, Transport::Tcp(80)).expect(Expect::Silence));
        probes.push(Probe::new(&at(STRANGER), old, Transport::Tcp(80)));
    }
    eventually(
        &mut lab,
        "the pod has another address, and another pod has its own",
        &probes,
    );
}
