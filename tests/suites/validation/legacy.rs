//! CIDRs in the forms that API servers accepted until 1.36, and that stored policies may still have.

use netpol_tests::control_plane::policy;
use netpol_tests::lab::privileged;
use policy_compiler::decode::{self, Decoded};
use policy_compiler::model::{Peers, Policy};
use serde_json::{Value, json};

use super::{dry_run, manifests, with_control_plane, without_namespaces};

/// Semantics rule E4: a block that such a server accepts is enforced, one that it refuses matches nothing.
#[test]
fn blocks_of_old_servers_are_understood() {
    if !privileged("blocks_of_old_servers_are_understood") {
        return;
    }
    let old =
        |options| without_namespaces(options).with("--feature-gates=StrictIPCIDRValidation=false");
    with_control_plane(old, |control_plane| {
        let mut blocks: Vec<Value> = manifests::cidrs()
            .into_iter()
            .map(|cidr| json!({"cidr": cidr}))
            .collect();
        for except in manifests::cidrs() {
            blocks.push(json!({"cidr": "0.0.0.0/0", "except": [except]}));
            blocks.push(json!({"cidr": "::/0", "except": [except]}));
            blocks.push(json!({"cidr": "::ffff:10.0.0.0/103", "except": [except]}));
            blocks.push(json!({"cidr": "010.0.0.7/7", "except": ["10.9.0.0/16", except]}));
        }
        let disagreements: Vec<String> = blocks
            .iter()
            .filter_map(|block| {
                let spec = json!({"ingress": [{"from": [{"ipBlock": block}]}]});
                let manifest = json!({"metadata": {"name": "p"}, "spec": spec});
                let accepted = dry_run(control_plane, &manifest).is_ok();
                let policy = decode::policy(&manifest).object.expect("a named policy");
                let enforced = has_peer(&policy);
                // A hole as big as its block, written so that an old server does not notice, leaves nothing to match.
                let nothing_left = accepted && !enforced && is_whole_block(block);
                (accepted != enforced && !nothing_left)
                    .then(|| format!("{block}: accepted {accepted}, enforced {enforced}"))
            })
            .collect();
        assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
        assert!(blocks.len() > 100);
    });
}

/// Semantics rule E4: what such a server has stored, today's server still serves and lets change in other ways; it is
/// enforced, and reported because nobody could write it today.
#[test]
fn stored_blocks_of_old_servers_stay_in_force() {
    if !privileged("stored_blocks_of_old_servers_stay_in_force") {
        return;
    }
    with_control_plane(
        |options| options,
        |control_plane| {
            let block = json!({"cidr": "010.0.0.7/8", "except": ["::ffff:10.1.0.0/112"]});
            let mut old = policy(
                "default",
                "old",
                json!({"ingress": [{"from": [{"ipBlock": block}]}], "policyTypes": ["Ingress"]}),
            );
            old["metadata"]["uid"] = json!("7f4b5a04-7d1f-4f0c-9d7e-2b8a3f0c1d2e");
            old["metadata"]["creationTimestamp"] = json!("2019-01-01T00:00:00Z");
            control_plane
                .store("/registry/networkpolicies/default/old", &old)
                .expect("stored");
            let stored = control_plane
                .merge(&old, &json!({"metadata": {"labels": {"touched": "yes"}}}))
                .expect("an update");
            let Decoded { object, errors } = decode::policy(&stored);
            let paths: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
            let at = "spec.ingress[0].from[0].ipBlock";
            assert_eq!(paths, [format!("{at}.cidr"), format!("{at}.except[0]")]);
            let rules = object.expect("a named policy").ingress.expect("isolated");
            let Peers::OneOf(peers) = &rules[0].peers else {
                panic!("anyone may connect")
            };
            assert_eq!(
                peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
                ["ipBlock 10.0.0.0/8 except 10.1.0.0/16"]
            );
            let mut new = old.clone();
            new["metadata"] = json!({"name": "new", "namespace": "default"});
            assert!(
                control_plane.create(&new).is_err(),
                "a new policy of the same spec is refused"
            );
        },
    );
}

fn has_peer(policy: &Policy) -> bool {
    let rules = policy.ingress.as_deref().unwrap_or_default();
    rules
        .iter()
        .any(|rule| matches!(&rule.peers, Peers::OneOf(peers) if !peers.is_empty()))
}

/// `::ffff:0:0/96` is all of IPv4, with a prefix that looks longer than that of `0.0.0.0/0`.
fn is_whole_block(block: &Value) -> bool {
    block["except"][0] == "::ffff:0:0/96" && block["cidr"] == "0.0.0.0/0"
}
