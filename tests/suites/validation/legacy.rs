//! CIDRs in the forms that API servers accepted until 1.36, and that stored policies may still have.

use netpol_tests::lab::privileged;
use policy_compiler::decode;
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
