//! The flow log for those who connect to it: `netpol flows` on the agent's socket, while drops happen.

use std::collections::BTreeSet;

use netpol_tests::lab::{Lab, Signal, Topology, privileged};

use crate::flow_log_ground::{Running, await_metric, awaited, firsts, send, start, world};
use crate::world::{NEAR, STRANGER};

/// Waits until so many readers are connected.
fn await_readers(lab: &Lab, count: u64) {
    await_metric(lab, "netpol_flow_log_readers", count);
}

/// Waits until a table shows a datagram to this port, and returns its line.
fn await_row(table: &Running, port: u16) -> String {
    let word = format!("UDP/{port}");
    awaited(&format!("a row of port {port}"), || {
        let output = table.output();
        let row = output
            .lines()
            .find(|row| row.to_uppercase().contains(&word));
        row.map(ToOwned::to_owned)
    })
}

fn await_line(json: &Running, port: u16) {
    awaited(&format!("a line of port {port}"), || {
        firsts(&json.output()).contains(&port).then_some(())
    });
}

#[test]
fn readers_see_drops_as_they_happen() {
    if !privileged("readers_see_drops_as_they_happen") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let socket = format!("unix:{}", lab.directory().join("flows").display());
    let flow_log = format!("--flow-log={socket}");
    start(&mut lab, &folder, &[&flow_log]);
    // Told to nobody.
    send(&lab, STRANGER, NEAR, [3000]);
    await_metric(&lab, "netpol_flow_log_lines_written_total", 1);

    let json = Running::start(&lab, "json", &["flows", &socket, "-o", "json"]);
    let table = Running::start(&lab, "table", &["flows", &socket, "-o", "table"]);
    await_readers(&lab, 2);
    send(&lab, STRANGER, NEAR, [3001]);
    await_line(&json, 3001);
    let row = await_row(&table, 3001);
    for word in [STRANGER, NEAR, "conn/callees"] {
        assert!(row.contains(word), "{word} is not in {row}");
    }

    let late = Running::start(&lab, "late", &["flows", &socket, "-o", "json"]);
    await_readers(&lab, 3);
    send(&lab, STRANGER, NEAR, [3002]);
    await_line(&late, 3002);
    await_line(&json, 3002);
    await_row(&table, 3002);
    assert_eq!(firsts(&late.output()), [3002], "what was before is not new");

    // Readers wait for the next agent.
    lab.stop_agent("node-a", Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    start(&mut lab, &folder, &[&flow_log]);
    await_readers(&lab, 3);
    send(&lab, STRANGER, NEAR, [3003]);
    for reader in [&json, &late] {
        await_line(reader, 3003);
    }
    await_row(&table, 3003);
    assert_eq!(firsts(&json.output()), [3001, 3002, 3003], "each once");

    // One that goes is no reader any more, and the others do not notice.
    drop(table);
    await_readers(&lab, 2);
    send(&lab, STRANGER, NEAR, [3004]);
    await_line(&json, 3004);
}

/// An agent that was killed leaves its socket behind; the next one takes its place.
#[test]
fn a_socket_that_was_left_behind_is_in_nobodys_way() {
    if !privileged("a_socket_that_was_left_behind_is_in_nobodys_way") {
        return;
    }
    let (mut lab, folder) = world(Topology::RoutedVeth);
    let path = lab.directory().join("flows");
    let socket = format!("unix:{}", path.display());
    let flow_log = format!("--flow-log={socket}");
    start(&mut lab, &folder, &[&flow_log]);
    let json = Running::start(&lab, "json", &["flows", &socket, "-o", "json"]);
    await_readers(&lab, 1);
    lab.stop_agent("node-a", Signal::SIGKILL)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(path.exists(), "nobody has removed it");
    start(&mut lab, &folder, &[&flow_log]);
    await_readers(&lab, 1);
    send(&lab, STRANGER, NEAR, [3001]);
    await_line(&json, 3001);
    let told: BTreeSet<u16> = firsts(&json.output()).into_iter().collect();
    assert_eq!(told, [3001].into());
    lab.stop_agent("node-a", Signal::SIGTERM)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(!path.exists(), "an agent that ends well removes it");
}
