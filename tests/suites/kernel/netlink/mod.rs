//! Tables programmed by netlink: the kernel must hold what `nft` makes of the same transactions.

mod dumped;
mod edits;
mod found;
pub(crate) mod ground;
mod large;
mod overtaken;
pub(crate) mod privileges;
pub(crate) mod raw;
mod refusals;
mod restless;
mod rows;
mod torn;
mod verify;
mod worlds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netpol_agent::dataplane::{Dataplane, Found, NetlinkDataplane, NetlinkError};
use netpol_tests::lab::{LabError, Netns};
use policy_compiler::ruleset::{Ruleset, Transaction};
use serde_json::Value;
use tokio::runtime::Runtime;

/// A namespace in which tables are made by netlink.
pub(crate) struct Programmed {
    pub(crate) netns: Netns,
    runtime: Runtime,
    dataplane: NetlinkDataplane,
}

impl Programmed {
    pub(crate) fn new(name: &str) -> Result<Self, LabError> {
        let netns = Netns::new(name)?;
        // A socket belongs to the namespace it was opened in.
        let dataplane = netns.call(NetlinkDataplane::open)?;
        let dataplane = dataplane.unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        Ok(Self {
            netns,
            runtime,
            dataplane,
        })
    }

    pub(crate) fn commit(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        self.runtime.block_on(self.dataplane.commit(transaction))
    }

    pub(crate) fn repair(&mut self, transaction: &Transaction) -> Result<(), NetlinkError> {
        self.runtime.block_on(self.dataplane.repair(transaction))
    }

    pub(crate) fn has_table(&mut self) -> Result<bool, NetlinkError> {
        self.runtime.block_on(self.dataplane.has_table())
    }

    pub(crate) fn read(&mut self, wanted: &Ruleset) -> Result<Found, NetlinkError> {
        let wanted = Arc::new(wanted.clone());
        self.runtime.block_on(self.dataplane.read(wanted))
    }
}

/// Two kernels, one for `nft` and one for netlink.
pub(crate) struct BothWays {
    script: Netns,
    netlink: Programmed,
}

impl BothWays {
    pub(crate) fn new() -> Self {
        let make = || -> Result<Self, LabError> {
            Ok(Self {
                script: Netns::new("script")?,
                netlink: Programmed::new("netlink")?,
            })
        };
        make().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Commits both ways; says how the tables differ, or which way was refused.
    pub(crate) fn commit(&mut self, transaction: &Transaction) -> Result<(), String> {
        let text = transaction.to_string();
        self.script.nft(&text).map_err(|error| error.to_string())?;
        let committed = self.netlink.commit(transaction);
        committed.map_err(|error| format!("netlink: {error}\n{text}"))
    }

    pub(crate) fn compare(&self) -> Result<(), String> {
        for list in [as_json, as_instructions, as_sets] {
            // The kernel may go on giving hash tables more room: a listing then tells some elements twice and not others.
            let deadline = Instant::now() + AT_REST_WITHIN;
            while let Some(difference) = self.difference(list)? {
                if Instant::now() > deadline {
                    return Err(difference);
                }
                std::thread::sleep(BETWEEN_LISTINGS);
            }
        }
        Ok(())
    }

    fn difference(&self, list: Listing) -> Result<Option<String>, String> {
        let list = |netns| list(netns).map_err(|error| error.to_string());
        let (script, netlink) = (list(&self.script)?, list(&self.netlink.netns)?);
        let differ = || {
            let (script, netlink) = (script.join("\n"), netlink.join("\n"));
            similar_asserts::SimpleDiff::from_str(&script, &netlink, "nft", "netlink").to_string()
        };
        Ok((script != netlink).then(differ))
    }
}

type Listing = fn(&Netns) -> Result<Vec<String>, LabError>;

/// Tables that seem to differ are listed again for so long.
pub(crate) const AT_REST_WITHIN: Duration = Duration::from_secs(5);
pub(crate) const BETWEEN_LISTINGS: Duration = Duration::from_millis(20);

/// What the kernel holds of sets and elements, byte by byte.
fn as_sets(netns: &Netns) -> Result<Vec<String>, LabError> {
    let dumped = netns.call(raw::sets)?;
    Ok(dumped.unwrap_or_else(|error| panic!("{error}")))
}

/// What `nft` understands of the table: objects in order of their kinds and names, rules in their own order.
pub(crate) fn as_json(netns: &Netns) -> Result<Vec<String>, LabError> {
    let listing = netns.run(&["nft", "-j", "list", "ruleset"], "")?;
    let listing: Value = serde_json::from_str(&listing).unwrap_or_else(|error| panic!("{error}"));
    let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in listing["nftables"].as_array().into_iter().flatten() {
        for (kind, object) in object.as_object().into_iter().flatten() {
            let mut object = object.clone();
            if let Some(fields) = object.as_object_mut() {
                fields.remove("handle");
            }
            // The kernel keeps them in an order of its own.
            if let Some(Value::Array(elements)) = object.get_mut("elem") {
                elements.sort_by_cached_key(ToString::to_string);
            }
            let name = if kind == "rule" {
                &object["chain"]
            } else {
                &object["name"]
            };
            let key = format!("{kind} {name}");
            objects
                .entry(key)
                .or_default()
                .push(format!("{kind} {object}"));
        }
    }
    Ok(objects.into_values().flatten().collect())
}

/// What the kernel holds, instruction by instruction, and sets with their flags and sizes.
fn as_instructions(netns: &Netns) -> Result<Vec<String>, LabError> {
    let listing = netns.run(&["nft", "--debug=netlink", "list", "ruleset"], "")?;
    // Behind them comes what nft understands, which is compared otherwise.
    let raw = listing.split("\ntable inet").next().unwrap_or_default();
    let mut chains: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut sets: BTreeMap<String, String> = BTreeMap::new();
    let mut chain = "";
    for line in raw.lines() {
        if let Some(rest) = line.strip_prefix("inet netpol ") {
            chain = rest.split(' ').next().unwrap_or_default();
            chains.entry(chain).or_default().push("rule".to_owned());
        } else if line.starts_with("  ") {
            chains.entry(chain).or_default().push(numberless(line));
        } else if let Some((name, rest)) = line.split_once(" netpol ") {
            sets.insert(name.to_owned(), rest.to_owned());
        }
    }
    let chains = chains
        .into_iter()
        .map(|(name, lines)| format!("{name}: {}", lines.join("\n")));
    let sets = sets
        .into_iter()
        .map(|(name, rest)| format!("{}: {rest}", numberless(&name)));
    Ok(chains.chain(sets).collect())
}

/// Sets without a name are numbered in the order that they are made in.
fn numberless(line: &str) -> String {
    match line.split_once("__set") {
        Some((head, rest)) => format!("{head}__set{}", rest.trim_start_matches(char::is_numeric)),
        None => line.to_owned(),
    }
}
