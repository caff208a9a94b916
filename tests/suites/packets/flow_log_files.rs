//! The flow log in a file that others move away, and that the agent puts aside itself.

use std::path::{Path, PathBuf};

use netpol_tests::lab::{Expect, Lab, Probe, Signal, Topology, Transport, privileged};

use crate::flow_log_ground::{
    agent, await_first, awaited, firsts, flows, read, send, start, world,
};
use crate::world::{CALLER, NEAR, STRANGER, addresses, at, check};

#[test]
fn a_file_is_opened_anew_on_sighup() {
    if !privileged("a_file_is_opened_anew_on_sighup") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let path = lab.directory().join("flows.log");
    let moved = lab.directory().join("flows.log.moved");
    start(
        &mut lab,
        &folder,
        &[&format!("--flow-log=file:{}", path.display())],
    );

    send(&lab, STRANGER, NEAR, [1001]);
    await_first(&path, 1001);
    std::fs::rename(&path, &moved).expect("moved");
    send(&lab, STRANGER, NEAR, [1002]);
    await_first(&moved, 1002);
    assert!(!path.exists(), "nobody has asked for a new file");

    agent(&lab)
        .send(Signal::SIGHUP)
        .unwrap_or_else(|error| panic!("{error}"));
    awaited("a new file", || path.exists().then_some(()));
    send(&lab, STRANGER, NEAR, [1003]);
    await_first(&path, 1003);
    assert_eq!(firsts(&read(&moved)), [1001, 1002]);
    assert_eq!(firsts(&read(&path)), [1003]);
    still_works(&mut lab);
}

/// There is no file to open anew, and no reason to end.
#[test]
fn sighup_ends_no_agent() {
    if !privileged("sighup_ends_no_agent") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let socket = format!(
        "--flow-log=unix:{}",
        lab.directory().join("flows").display()
    );
    for flow_log in ["--flow-log=off", "--flow-log=stdout", &socket] {
        start(&mut lab, &folder, &[flow_log]);
        let pid = agent(&lab).pid();
        for _ in 0..3 {
            agent(&lab)
                .send(Signal::SIGHUP)
                .unwrap_or_else(|error| panic!("{flow_log}: {error}"));
        }
        still_works(&mut lab);
        let status = lab
            .stop_agent("node-a", Signal::SIGTERM)
            .unwrap_or_else(|error| panic!("{flow_log}: {error}"));
        assert!(status.success(), "{flow_log}: agent {pid}: {status}");
    }
}

/// The agent answers, and its rules are obeyed.
fn still_works(lab: &mut netpol_tests::lab::Lab) {
    let (status, text) = lab
        .agent_get("node-a", "/readyz")
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status, 200, "{text}");
    let [near, _] = addresses(NEAR);
    let probe = |from| Probe::new(&at(from), near, Transport::Tcp(80));
    check(
        lab,
        &[probe(CALLER), probe(STRANGER).expect(Expect::Silence)],
    );
}

/// The files of a log, the oldest first.
fn files(path: &Path) -> Vec<String> {
    let put_aside = (1..).map(|number| format!("{}.{number}", path.display()));
    let mut texts: Vec<String> = put_aside
        .map_while(|name| std::fs::read_to_string(name).ok())
        .collect();
    texts.reverse();
    texts.push(read(path));
    texts
}

const SIZE: u64 = 16 << 10;

/// An agent that begins a new file with every [`SIZE`] bytes, keeps `old` ones, and where it writes.
fn rotating(old: usize) -> (Lab, PathBuf) {
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let path = lab.directory().join("flows.log");
    let flow_log = format!("--flow-log=file:{}", path.display());
    let size = format!("--flow-log-max-size={SIZE}");
    let files = format!("--flow-log-max-files={old}");
    start(&mut lab, &folder, &[&flow_log, &size, &files]);
    (lab, path)
}

#[test]
fn a_file_is_put_aside_between_lines() {
    if !privileged("a_file_is_put_aside_between_lines") {
        return;
    }
    let (lab, path) = rotating(50);
    let ports: Vec<u16> = (2001..2151).collect();
    send(&lab, STRANGER, NEAR, ports.clone());
    // The last of them: while files are moved they cannot be counted.
    await_first(&path, 2150);
    let files = files(&path);
    let told: Vec<u16> = files.iter().flat_map(|text| firsts(text)).collect();
    assert_eq!(
        told, ports,
        "each once and in order, from the oldest file on"
    );
    assert!(files.len() > 5, "only {} files", files.len());
    for text in &files {
        assert!(text.ends_with('\n') && text.len() as u64 <= SIZE, "{text}");
        let whole = text.lines().count();
        assert_eq!(flows(text).len(), whole, "every line is a flow: {text}");
    }
}

#[test]
fn old_files_go() {
    if !privileged("old_files_go") {
        return;
    }
    let (lab, path) = rotating(2);
    send(&lab, STRANGER, NEAR, 2001..2151);
    await_first(&path, 2150);
    let files = files(&path);
    assert_eq!(files.len(), 3, "the one that is written, and two old ones");
    let told: Vec<u16> = files.iter().flat_map(|text| firsts(text)).collect();
    let last: Vec<u16> = (2151 - u16::try_from(told.len()).expect("few")..2151).collect();
    assert_eq!(told, last, "the newest lines without a gap");
}
