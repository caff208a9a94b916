//! Objects as the API server stores them, and the control plane's own promises to other tests.

use std::net::IpAddr;

use netpol_tests::control_plane::{ControlPlane, namespace, pod, policy};
use netpol_tests::lab::privileged;
use policy_compiler::decode;
use policy_compiler::model::{NAMESPACE_NAME_LABEL, Pod};
use serde_json::{Value, json};

use super::with_control_plane;

/// Semantics rule C6: the API server does not let a client forge, change or remove the name label; neither do we.
#[test]
fn a_namespace_keeps_its_name_label() {
    if !privileged("a_namespace_keeps_its_name_label") {
        return;
    }
    with_control_plane(
        |options| options,
        |control_plane| {
            let shop = namespace("shop");
            let mut forged = shop.clone();
            forged["metadata"]["labels"] = json!({NAMESPACE_NAME_LABEL: "pay", "team": "a"});
            let stored = control_plane.create(&forged).expect("created");
            assert_eq!(
                stored["metadata"]["labels"][NAMESPACE_NAME_LABEL], "shop",
                "forged at creation"
            );
            assert_eq!(decode::namespace(&forged), decode::namespace(&stored));
            for value in [json!("pay"), json!(null)] {
                let patch = json!({"metadata": {"labels": {NAMESPACE_NAME_LABEL: value}}});
                let stored = control_plane.merge(&shop, &patch).expect("patched");
                assert_eq!(
                    stored["metadata"]["labels"][NAMESPACE_NAME_LABEL], "shop",
                    "patched to {value}"
                );
            }
            let stored = control_plane
                .merge(&shop, &json!({"metadata": {"labels": null}}))
                .expect("patched");
            assert_eq!(
                stored["metadata"]["labels"],
                json!({NAMESPACE_NAME_LABEL: "shop"}),
                "all labels removed"
            );
        },
    );
}

/// Semantics rules D1, D10, D11, F1, F6: a pod means the same in a manifest and as stored.
#[test]
fn pods_read_the_same_from_a_manifest_and_from_the_api_server() {
    if !privileged("pods_read_the_same_from_a_manifest_and_from_the_api_server") {
        return;
    }
    let containers = |ports: &[Value]| -> Value {
        ports
            .iter()
            .map(|ports| json!({"ports": ports}))
            .collect::<Vec<_>>()
            .into()
    };
    let rows = [
        (json!({}), json!({})),
        (
            json!({"nodeName": "node-a"}),
            json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}),
        ),
        (
            json!({}),
            json!({"phase": "Failed", "podIP": "fd00::1", "podIPs": [{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]}),
        ),
        (
            json!({"hostNetwork": true}),
            json!({"phase": "Running", "podIP": "172.30.0.11", "podIPs": [{"ip": "172.30.0.11"}]}),
        ),
        (
            json!({"containers": containers(&[
                json!([{"name": "http", "containerPort": 80}, {"containerPort": 81}]),
                // The same name in another container, and for another protocol.
                json!([{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]),
            ])}),
            json!({}),
        ),
        (
            json!({"initContainers": [
                {"ports": [{"name": "early", "containerPort": 1}]},
                {"restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]},
            ]}),
            json!({}),
        ),
    ];
    with_control_plane(
        |options| options,
        |control_plane| {
            for (i, (spec, status)) in rows.into_iter().enumerate() {
                let mut manifest = pod("default", &format!("p{i}"));
                manifest["metadata"]["labels"] = json!({"app": "web", "empty": ""});
                manifest["spec"] = spec;
                manifest["status"] = status;
                control_plane.apply(&manifest).expect("applied");
                let stored = control_plane.get(&manifest).expect("there");
                assert_eq!(without_uid(&manifest), without_uid(&stored), "{manifest}");
            }
        },
    );
}

fn without_uid(object: &Value) -> Pod {
    let decoded = decode::pod(object);
    assert_eq!(decoded.errors, [], "{object}");
    Pod {
        uid: Box::default(),
        ..decoded.object.expect("a named pod")
    }
}

/// What tests of the agent rely on: every step a cluster would take, and a crash.
#[test]
fn the_control_plane_does_what_a_cluster_does() {
    if !privileged("the_control_plane_does_what_a_cluster_does") {
        return;
    }
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    with_control_plane(
        |options| options,
        |control_plane| {
            control_plane
                .add_namespace("shop", &[("team", "a")])
                .expect("namespace");
            let web = pod("shop", "web");
            control_plane
                .add_pod(
                    ("shop", "web"),
                    &[("app", "web"), ("tier", "x")],
                    "node-a",
                    &[address("10.244.1.5"), address("fd00::5")],
                )
                .expect("pod");
            let seen = without_uid(&control_plane.get(&web).expect("there"));
            assert_eq!(
                format!("{:?} {:?}", seen.phase, seen.addresses),
                "Running [10.244.1.5, fd00::5]"
            );

            control_plane
                .relabel(&web, &[("app", "api")])
                .expect("relabelled");
            let seen = without_uid(&control_plane.get(&web).expect("there"));
            assert_eq!(seen.labels.iter().collect::<Vec<_>>(), [("app", "api")]);
            control_plane
                .set_pod_status(("shop", "web"), "Succeeded", &[address("10.244.1.5")])
                .expect("ended");
            assert!(
                without_uid(&control_plane.get(&web).expect("there"))
                    .phase
                    .is_final()
            );

            let deny = policy("shop", "deny", json!({"podSelector": {}}));
            control_plane.apply(&deny).expect("policy");
            let open = policy("shop", "deny", json!({"podSelector": {}, "ingress": [{}]}));
            control_plane.apply(&open).expect("policy changed");
            assert_eq!(
                control_plane.get(&deny).expect("there")["spec"]["ingress"],
                json!([{}])
            );

            control_plane.kill_api_server();
            assert!(control_plane.get(&deny).is_err(), "killed");
            control_plane.restart_api_server().expect("restarted");
            control_plane.get(&deny).expect("etcd has kept it");

            assert_forbidden(control_plane);

            control_plane.delete(&web).expect("deleted");
            control_plane.delete(&namespace("shop")).expect("deleted");
            for gone in [&web, &deny, &namespace("shop")] {
                let refusal = control_plane.get(gone).expect_err("gone");
                assert_eq!(
                    refusal.refusal().map(|status| status.code),
                    Some(404),
                    "{gone}: {refusal}"
                );
            }
        },
    );
}

/// A user without rights of its own may look at nothing.
fn assert_forbidden(control_plane: &ControlPlane) {
    let file = control_plane
        .kubeconfig_of(
            "system:serviceaccount:shop:nobody",
            &["system:serviceaccounts"],
        )
        .expect("kubeconfig");
    let answer = control_plane
        .run(move |_| async move {
            let config = kube::config::Kubeconfig::read_from(file).expect("readable");
            let client = kube::Client::try_from(config).expect("a client");
            let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
                kube::Api::namespaced(client, "shop");
            pods.list(&kube::api::ListParams::default()).await.map(drop)
        })
        .expect("an answer");
    assert!(matches!(answer, Err(kube::Error::Api(status)) if status.code == 403));
}
