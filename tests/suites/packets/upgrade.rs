//! An agent starts where another layout's table is in force, under traffic: no packet meets a wrong verdict on the way, and
//! nothing is left of what was there.

use std::path::{Path, PathBuf};

use netpol_tests::lab::{
    Expect, Lab, Netns, Place, Probe, Signal, Topology, Transport, manifests, netpol_binary,
    privileged,
};
use serde_json::Value;

use crate::older_tables::all;
use crate::streams::{Ended, Streams};
use crate::world::{CALLER, NEAR, POLICIES, STRANGER, addresses, at, build, check, objects};

const NODE: &str = "node-a";

/// So many packets of each stream go out before the agent starts, and after it is ready.
const MARGIN: u64 = 50;

/// All pairs of the node's pods.
fn verdicts() -> Vec<Probe> {
    let pods = [CALLER, NEAR, STRANGER];
    let pairs = pods.iter().flat_map(|from| pods.map(|to| (*from, to)));
    let mut probes = Vec::new();
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        for address in addresses(to) {
            for transport in [Transport::Tcp(80), Transport::Udp(53)] {
                let is_allowed = (from, to) == (CALLER, NEAR);
                let expect = if is_allowed {
                    Expect::Answer
                } else {
                    Expect::Silence
                };
                probes.push(Probe::new(&at(from), address, transport).expect(expect));
            }
        }
    }
    probes
}

fn netns(lab: &Lab) -> &Netns {
    lab.host(&Place::node(NODE)).expect("a node").netns()
}

/// Puts another table in place of the one that is there.
fn replace_table(lab: &Lab, script: &str) {
    let script = format!("add table inet netpol\ndelete table inet netpol\n{script}");
    let loaded = netns(lab).nft(&script);
    loaded.unwrap_or_else(|error| panic!("{error}"));
}

/// What the kernel holds, object by object, but for handles and what was counted.
fn contents(netns: &Netns) -> Vec<String> {
    let listing = netns.run(&["nft", "-j", "-s", "list", "table", "inet", "netpol"], "");
    let listing = listing.unwrap_or_else(|error| panic!("{error}"));
    let mut listing: Value = serde_json::from_str(&listing).expect("JSON");
    let list = listing["nftables"].as_array_mut().expect("a list");
    let mut lines: Vec<String> = Vec::new();
    for object in list.iter_mut().skip(1) {
        let fields = object.as_object_mut().expect("an object");
        for field in fields.values_mut() {
            let field = field.as_object_mut().expect("fields");
            for counted in ["handle", "packets", "bytes"] {
                field.remove(counted);
            }
            if let Some(Value::Array(elements)) = field.get_mut("elem") {
                elements.sort_by_cached_key(ToString::to_string);
            }
            for statement in field
                .get_mut("expr")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                without_agents_number(statement);
            }
        }
        lines.push(object.to_string());
    }
    // Rules stay in the order that they have in their chains.
    lines.sort_by_key(|line| !line.contains("{\"rule\""));
    let rules = lines
        .iter()
        .take_while(|line| line.contains("{\"rule\""))
        .count();
    lines[rules..].sort();
    lines[..rules].sort_by_cached_key(|line| {
        let rule: Value = serde_json::from_str(line).expect("JSON");
        rule["rule"]["chain"].to_string()
    });
    lines
}

/// `netpol/ingress/DIGEST/NUMBER` → `netpol/ingress/DIGEST`
fn without_agents_number(statement: &mut Value) {
    if let Some(Value::String(prefix)) = statement.pointer_mut("/log/prefix")
        && prefix.matches('/').count() == 3
    {
        let end = prefix.rfind('/').unwrap_or_default();
        prefix.truncate(end);
    }
}

/// What `nft` makes of the ruleset that `netpol compile` prints, in a namespace of its own.
fn expected(folder: &Path) -> Vec<String> {
    let netns = Netns::new("expected").expect("a namespace");
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let (binary, folder) = (binary.display().to_string(), folder.display().to_string());
    let compile = [
        &binary,
        "compile",
        "--whole-table",
        // The nodes of the lab are network namespaces themselves.
        "--uplink",
        "eth0",
        "--node",
        NODE,
        "-f",
        &folder,
    ];
    let compiled = netns.run(&compile, "");
    let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
    netns
        .nft(&compiled)
        .unwrap_or_else(|error| panic!("{error}"));
    contents(&netns)
}

/// The table is the present layout's, and nothing else is in it.
fn check_table(lab: &Lab, folder: &Path, what: &str) {
    let (found, expected) = (contents(netns(lab)), expected(folder));
    let only = |these: &[String], those: &[String]| {
        let these = these.iter().filter(|line| !those.contains(line));
        these.cloned().collect::<Vec<_>>().join("\n")
    };
    assert!(
        found == expected,
        "{what}: there is\n{}\nthere should be\n{}",
        only(&found, &expected),
        only(&expected, &found)
    );
    let binary = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
    let (binary, folder) = (binary.display().to_string(), folder.display().to_string());
    let verified = netns(lab).run(&[&binary, "verify", "--node", NODE, "-f", &folder], "");
    assert_eq!(
        verified.unwrap_or_else(|error| panic!("{what}: {error}")),
        "table inet netpol is as it should be\n"
    );
}

fn check_streams(what: &str, ended: &Ended, open_until: u64) {
    let Ended {
        sent,
        missing,
        came_through,
    } = ended;
    assert!(
        missing.is_empty(),
        "{what}: of {sent} are missing {missing:?}"
    );
    let wrong: Vec<_> = came_through
        .iter()
        .filter(|(_, number)| *number > open_until)
        .collect();
    let is_open = open_until > 0;
    assert!(
        wrong.is_empty() && is_open != came_through.is_empty(),
        "{what}: of {sent} came through {came_through:?}, until {open_until} they may"
    );
}

fn start(lab: &mut Lab, folder: &Path) {
    lab.start_agent(NODE, &manifests(folder))
        .unwrap_or_else(|error| panic!("{error}"));
}

fn ready(lab: &mut Lab, what: &str) {
    lab.wait_ready(NODE)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
}

fn kill(lab: &mut Lab) {
    lab.stop_agent(NODE, Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
}

fn folder(lab: &Lab) -> PathBuf {
    let folder = lab.directory().join("manifests");
    std::fs::create_dir(&folder).expect("a folder");
    folder
}

#[test]
fn whatever_table_is_found_is_replaced_under_traffic() {
    if !privileged("whatever_table_is_found_is_replaced_under_traffic") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = folder(&lab);
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    for older in all() {
        let what = older.what;
        replace_table(&lab, &older.script);
        println!("{what}");
        if older.enforces {
            check(&mut lab, &verdicts());
        }
        let streams = Streams::start(&lab);
        assert!(streams.go_on(MARGIN), "{what}");
        start(&mut lab, &folder);
        ready(&mut lab, what);
        let open_until = if older.enforces { 0 } else { streams.next() };
        assert!(streams.go_on(MARGIN), "{what}");
        check_streams(what, &streams.end(), open_until);
        check_table(&lab, &folder, what);
        kill(&mut lab);
    }
    // The last agent's own.
    let streams = Streams::start(&lab);
    for what in ["its own", "its own, again"] {
        assert!(streams.go_on(MARGIN), "{what}");
        start(&mut lab, &folder);
        ready(&mut lab, what);
        assert!(streams.go_on(MARGIN), "{what}");
        kill(&mut lab);
        check_table(&lab, &folder, what);
    }
    check_streams("its own", &streams.end(), 0);
    check(&mut lab, &verdicts());
}

/// While the agent does not know everything, it does not touch what it finds.
#[test]
fn an_older_table_stays_until_everything_is_known() {
    /// What hides the world, what the log says of it, and what shows it again.
    type Row = (&'static str, fn(&Path), &'static str, fn(&Path));
    let rows: [Row; 2] = [
        (
            "no folder",
            |folder| std::fs::rename(folder, folder.with_extension("away")).expect("moved"),
            "cannot be read",
            |folder| std::fs::rename(folder.with_extension("away"), folder).expect("moved"),
        ),
        (
            "a broken file",
            |folder| std::fs::write(folder.join("more.yaml"), "kind: [\n").expect("a file"),
            "more.yaml",
            |folder| std::fs::remove_file(folder.join("more.yaml")).expect("a file"),
        ),
    ];
    if !privileged("an_older_table_stays_until_everything_is_known") {
        return;
    }
    let mut lab = build(Topology::RoutedVeth);
    let folder = folder(&lab);
    std::fs::write(folder.join("world.yaml"), objects() + POLICIES).expect("a file");
    let older = all().swap_remove(0);
    // With handles: an object that was made anew has another.
    let found = |lab: &Lab| {
        let listing = netns(lab).run(&["nft", "-a", "-s", "list", "ruleset"], "");
        listing.unwrap_or_else(|error| panic!("{error}"))
    };
    for (what, hide, told, show) in rows {
        replace_table(&lab, &older.script);
        let before = found(&lab);
        let streams = Streams::start(&lab);
        hide(&folder);
        start(&mut lab, &folder);
        // The logs of the rows are one file.
        lab.await_log(NODE, told)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(streams.go_on(10 * MARGIN), "{what}");
        let (status, reason) = lab
            .agent_get(NODE, "/readyz")
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(status, 503, "{what}: {reason}");
        assert_eq!(found(&lab), before, "{what}");
        show(&folder);
        ready(&mut lab, what);
        assert!(streams.go_on(MARGIN), "{what}");
        check_streams(what, &streams.end(), 0);
        check_table(&lab, &folder, what);
        kill(&mut lab);
    }
}
