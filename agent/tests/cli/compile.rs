//! `netpol compile`

use similar_asserts::assert_eq;

use crate::{SHOP, folder, netpol, netpol_with_input};

#[test]
fn compile_prints_a_table() {
    let folder = folder();
    let ran = netpol(&folder, "compile -f shop.yaml");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(
        ran.stdout.starts_with("table inet netpol {\n"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("10.244.2.3") && ran.stdout.contains("10.244.1.2"),
        "{}",
        ran.stdout
    );
    let again = netpol(&folder, "compile shop.yaml");
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(
        netpol_with_input(&folder, "compile -f -", SHOP).stdout,
        ran.stdout
    );
}

#[test]
fn compile_narrows_to_a_node_or_a_pod() {
    let folder = folder();
    let of_node_a = netpol(&folder, "compile -f shop.yaml --node node-a");
    assert!(
        !of_node_a.stdout.contains("10.244.2.3"),
        "{}",
        of_node_a.stdout
    );
    assert_eq!(
        of_node_a.stderr,
        "note: these rules let everything pass: no pod is isolated\n"
    );
    let none = netpol_with_input(&folder, "compile -f -", "");
    assert!(
        none.stderr
            .contains("there are no pods (a Deployment is none"),
        "{}",
        none.stderr
    );
    let of_db = netpol(&folder, "compile -f shop.yaml --pod shop/db");
    assert!(of_db.stdout.contains("10.244.2.3"), "{}", of_db.stdout);
    for (arguments, complaint) in [
        (
            "--pod shop/bd",
            "error: there is no pod shop/bd; did you mean shop/db?\n",
        ),
        (
            "--pod shop/db --node node-a",
            "error: pod shop/db does not run on node node-a\n",
        ),
    ] {
        let ran = netpol(&folder, &format!("compile -f shop.yaml {arguments}"));
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(1), "", complaint)
        );
    }
}

#[test]
fn compile_prints_how_drops_are_logged_and_counted() {
    let folder = folder();
    let logged = netpol(&folder, "compile -f shop.yaml --pod shop/db").stdout;
    let silent = netpol(&folder, "compile -f shop.yaml --pod shop/db --no-flow-log").stdout;
    let is_log = |line: &&str| line.contains(" log prefix \"netpol/");
    let of_db = logged
        .lines()
        .filter(|line| line.contains("netpol/ingress/"));
    assert_eq!(of_db.count(), 1, "{logged}");
    let rest: Vec<&str> = logged.lines().filter(|line| !is_log(line)).collect();
    assert_eq!(rest, silent.lines().collect::<Vec<_>>());
    // The counters are those of what is shown.
    let counters: Vec<&str> = silent
        .lines()
        .filter_map(|line| line.strip_prefix("\tcounter "))
        .collect();
    assert_eq!(counters, ["link-local {", "pod/shop/db/ingress {"]);
}

#[test]
fn compile_prints_json_for_nft() {
    let ran = netpol(&folder(), "compile -f shop.yaml -o json");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert!(
        json["nftables"]
            .as_array()
            .is_some_and(|objects| objects.len() > 5),
        "{json}"
    );
}

#[test]
fn json_and_lists_are_read() {
    let folder = folder();
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": "10.0.0.9"}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "n"}, "spec": {}}]}"#;
    let ran = netpol_with_input(&folder, "compile -f -", list);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("10.0.0.9"), "{}", ran.stdout);
}

#[test]
fn a_mistake_prints_nothing_but_the_mistake() {
    let folder = folder();
    for arguments in [
        "compile -f bad.yaml",
        "compile -f shop.yaml -f bad.yaml",
        "compile -f bad.yaml -o summary",
    ] {
        let ran = netpol(&folder, arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{arguments}"
        );
        assert!(
            ran.stderr.starts_with(
                "error: networkpolicy shop/db: spec.ingress[0].ports[0].port: Invalid value: 0: "
            ) || ran.stderr.contains("\nerror: networkpolicy shop/db: "),
            "{}",
            ran.stderr
        );
        let excerpt = " --> bad.yaml:7:13\n  |\n7 |     - port: 0\n  |             ^\n";
        assert!(ran.stderr.contains(excerpt), "{}", ran.stderr);
    }
    let ran = netpol(&folder, "compile -f shop.yaml -f missing.yaml");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr.contains("missing.yaml: cannot be read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_summary_says_who_is_isolated() {
    let ran = netpol(&folder(), "compile -f shop.yaml -o summary");
    assert_eq!(ran.code, Some(0));
    let expected = "\
POD       NODE    ADDRESSES                    INGRESS     EGRESS
shop/db   node-b  10.244.2.3                   1 pod (db)  open
shop/web  node-a  10.244.1.2,fd00:10:244:1::2  open        open
";
    assert_eq!(ran.stdout, expected);
    let manifests = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\n\
                     apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n\
                     apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: none, namespace: pay}\nspec: {}\n";
    let ran = netpol_with_input(&folder(), "compile -f - -o summary", manifests);
    let expected = "\
POD        NODE  ADDRESSES  INGRESS  EGRESS
default/p  -     -          open     open

No address yet, so nothing to program (status.podIPs is empty):
  default/p

Policies that select no pod:
  pay/none

Namespaces without manifest, known by name and without labels of their own:
  default, pay

Kinds that policy does not depend on, passed over:
  Service
";
    assert_eq!(ran.stdout, expected);
}

#[test]
fn compile_closes_pods_that_have_no_rules_yet() {
    let folder = folder();
    let closed = "compile -f shop.yaml --node node-a --pod-start closed";
    let ran = netpol(
        &folder,
        &format!("{closed} --pod-cidr 10.244.1.0/24 --pod-interface cali*"),
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for words in [
        "ip saddr 10.244.1.0/24 ip saddr != @programmed4 goto not-programmed-egress",
        "iifname \"cali*\"",
        "elements = { 10.244.1.2 }",
    ] {
        assert!(ran.stdout.contains(words), "no {words} in {}", ran.stdout);
    }
    let ran = netpol(&folder, closed);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("Give --pod-cidr"), "{}", ran.stderr);
    // Without the mode the places are of no meaning.
    let plain = netpol(&folder, "compile -f shop.yaml");
    let told = netpol(&folder, "compile -f shop.yaml --pod-cidr 10.244.1.0/24");
    assert_eq!(told.stdout, plain.stdout);
}
