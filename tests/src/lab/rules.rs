//! The rules of the nodes: loaded without an agent, and looked at.

use std::collections::BTreeMap;

use policy_compiler::compile::{Protection, compile_protected};
use policy_compiler::model::{Name, NodeScope, Snapshot};
use policy_compiler::ruleset::{DropLog, Transaction};

use super::spec::{NODES, NodeSpec, Place};
use super::{Lab, LabError};

impl Lab {
    /// Compiles `snapshot` for each node and loads it there with nft, as an agent would.
    pub fn load_rules(&self, snapshot: &Snapshot) -> Result<(), LabError> {
        self.load_protected(snapshot, |_| Protection::default())
    }

    /// The same with what each node is protected by besides.
    pub fn load_protected(
        &self,
        snapshot: &Snapshot,
        protection: impl Fn(&NodeSpec) -> Protection,
    ) -> Result<(), LabError> {
        for node in &NODES {
            let name = Name::parse(node.name)
                .map_err(|error| LabError::Spec(format!("{}: {error}", node.name)))?;
            let (scope, log) = (NodeScope::Node(name), DropLog::default());
            let ruleset = compile_protected(snapshot, &scope, Some(&log), &protection(node));
            let script = Transaction::replace(&ruleset).to_string();
            self.host(&Place::node(node.name))?.netns().nft(&script)?;
        }
        Ok(())
    }

    /// What the kernel of a node says of our table; nothing if it is not there.
    pub fn list_table(&self, node: &str) -> Result<Option<String>, LabError> {
        let netns = self.host(&Place::node(node))?.netns();
        let tables = netns.run(&["nft", "list", "tables"], "")?;
        if tables.lines().any(|line| line == "table inet netpol") {
            netns
                .run(&["nft", "list", "table", "inet", "netpol"], "")
                .map(Some)
        } else {
            Ok(None)
        }
    }

    /// The named counters of a node's table, with their packets.
    pub fn counters(&self, node: &str) -> Result<BTreeMap<String, u64>, LabError> {
        let netns = self.host(&Place::node(node))?.netns();
        let listing = netns.run(
            &["nft", "-j", "list", "counters", "table", "inet", "netpol"],
            "",
        )?;
        let listing: serde_json::Value = serde_json::from_str(&listing)
            .map_err(|error| LabError::Spec(format!("counters of {node}: {error}")))?;
        let objects = listing["nftables"].as_array().into_iter().flatten();
        Ok(objects
            .filter_map(|object| {
                let counter = &object["counter"];
                Some((
                    counter["name"].as_str()?.to_owned(),
                    counter["packets"].as_u64()?,
                ))
            })
            .collect())
    }

    /// The chains and counters of a node's table that `about` occurs in, and the entry chains.
    pub fn relevant_chains(&self, node: &str, about: &[&str]) -> Result<String, LabError> {
        let Some(table) = self.list_table(node)? else {
            return Ok(format!("{node} has no table inet netpol\n"));
        };
        let mut relevant = format!("{node}:\n");
        for block in blocks(&table) {
            let head = block.lines().next().unwrap_or_default();
            let entry = block.contains(" hook ");
            let is_shown = head.contains("chain ") || head.contains("counter ");
            if is_shown && (entry || about.iter().any(|word| block.contains(word))) {
                relevant.push_str(&block);
            }
        }
        Ok(relevant)
    }
}

/// The counters, sets and chains of a listing, each with its closing brace.
fn blocks(table: &str) -> impl Iterator<Item = String> {
    let mut lines = table.lines().skip(1);
    std::iter::from_fn(move || {
        let mut block = String::new();
        for line in lines.by_ref() {
            if line == "}" {
                return None;
            }
            if line.is_empty() {
                continue;
            }
            block.push_str(line);
            block.push('\n');
            if line == "\t}" {
                return Some(block);
            }
        }
        None
    })
}
