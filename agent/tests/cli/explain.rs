//! `netpol explain`

use similar_asserts::assert_eq;

use crate::{SHOP, folder, netpol, netpol_with_input};

#[test]
fn explain_judges() {
    let folder = folder();
    for (from, to, port, expected) in [
        (
            "shop/web",
            "shop/db",
            "tcp/5432",
            "shop/web -> shop/db TCP 5432: ALLOWED\n",
        ),
        (
            "shop/web",
            "shop/db",
            "sql",
            "shop/web -> shop/db TCP 5432: ALLOWED\n",
        ),
        (
            "shop/web",
            "shop/db",
            "tcp/80",
            "shop/web -> shop/db TCP 80: DENIED\n",
        ),
        ("shop/web", "shop/db", "icmp", "DENIED\n"),
        (
            "192.0.2.1",
            "shop/db",
            "5432",
            "192.0.2.1 -> shop/db TCP 5432: DENIED\n",
        ),
        (
            "node:node-b/172.30.0.12",
            "shop/db",
            "5432",
            "its own node may always connect",
        ),
        ("node:node-a/172.30.0.11", "shop/db", "5432", "DENIED\n"),
        ("shop/db", "shop/web", "tcp/1", "ALLOWED\n"),
    ] {
        let ran = netpol(
            &folder,
            &format!("explain -f shop.yaml --from {from} --to {to} --port {port}"),
        );
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(0), ""),
            "{from} {to} {port}"
        );
        assert!(
            ran.stdout.contains(expected),
            "{from} {to} {port}: {}",
            ran.stdout
        );
    }
}

#[test]
fn explain_says_what_it_cannot_judge() {
    let folder = folder();
    for (from, to, port, expected) in [
        (
            "shop/wbe",
            "shop/db",
            "80",
            "there is no pod shop/wbe; did you mean shop/web?",
        ),
        (
            "fd00::9",
            "shop/db",
            "80",
            "the two ends have no address of the same family",
        ),
        ("node:node-a", "shop/db", "80", "write node:node-a/ADDRESS"),
        (
            "shop/web",
            "10.0.0.1",
            "tcp/http",
            "only a pod's ports have names",
        ),
        (
            "shop/web",
            "shop/db",
            "tcp/http",
            "pod shop/db has no TCP port of the name http",
        ),
    ] {
        let ran = netpol(
            &folder,
            &format!("explain -f shop.yaml --from {from} --to {to} --port {port}"),
        );
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{from} {to} {port}"
        );
        assert!(
            ran.stderr.contains(expected),
            "{from} {to} {port}: {}",
            ran.stderr
        );
    }
}

#[test]
fn pods_that_were_never_started_can_be_asked_about() {
    let manifests = SHOP
        .lines()
        .filter(|line| !line.starts_with("status:"))
        .collect::<Vec<_>>()
        .join("\n");
    let ran = netpol_with_input(
        &folder(),
        "explain -f - --from shop/web --to shop/db --port 80",
        &manifests,
    );
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stdout.contains("shop/web -> shop/db TCP 80: DENIED"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("pod shop/db has no address yet (status.podIPs)"),
        "{}",
        ran.stderr
    );
}
