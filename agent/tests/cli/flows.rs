//! `netpol flows`

mod following;

use similar_asserts::assert_eq;
use tempfile::TempDir;

use crate::{Ran, netpol, netpol_with_input};

/// Of two nodes: a first packet, repeats, many flows, a lost event, IPv6, ICMP, the world, a contested address, a node, a
/// fragment, link-local addresses.
const SAMPLE: &str = include_str!("flows.jsonl");

/// A folder with `flows.log`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "flows.log", SAMPLE);
    folder
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.path().join(name), text).expect("written");
}

fn good(ran: Ran) -> String {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    ran.stdout
}

#[test]
fn the_table() {
    let expected = "\
TIME                      DIRECTION  SOURCE                     DESTINATION           PORT         COUNT  POLICIES
2026-11-21T10:00:00.000Z  ingress    shop/web-7d9f-x2x          shop/db-0             tcp/5432         1  shop/db
    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443 (and 4 rules further off)
2026-11-21T10:00:01.500Z  ingress    shop/web-7d9f-kk4          shop/db-0             tcp/5432         1  shop/db
    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443
2026-11-21T10:00:10.000Z  ingress    shop/web-7d9f-x2x          shop/db-0             tcp/5432        41  shop/db
    7 packets of the same pod and direction were dropped before this and not looked at
    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443
2026-11-21T10:00:11.000Z  egress     shop/web-7d9f-x2x          203.0.113.9           udp/53           1  shop/all, shop/web
    the policies that isolate the pod have no egress rules
    hint: this is DNS: names cannot be looked up
2026-11-21T10:00:12.000Z  ingress    fd00::7                    batch/import          icmpv6/128       1  batch/closed
    the policies that isolate the pod have no ingress rules
2026-11-21T10:00:13.000Z  lost on node-b: 12 events, the kernel's buffer was full
2026-11-21T10:00:14.000Z  ingress    192.0.2.4                  batch/import          tcp/22        5000  batch/closed
    so many different flows that they are not told apart; this is one of them
    the policies that isolate the pod have no ingress rules
2026-11-21T10:00:15.000Z  ingress    node node-a (172.30.0.11)  contested 10.244.2.9  tcp/80           1  shop/db
    the address is claimed by shop/db-0, shop/old, and policies isolate one of them
2026-11-21T10:00:16.000Z  ingress    shop/web-7d9f-x2x          batch/import          protocol/17      1  batch/closed
    a later fragment of a packet; only the first has ports
    the policies that isolate the pod have no ingress rules
2026-11-21T10:00:17.000Z  egress     batch/import               fe80::2               icmpv6/1/4       1  -
    no policy can judge link-local addresses
";
    let folder = folder();
    assert_eq!(good(netpol(&folder, "flows flows.log")), expected);
    // Standard input is the default.
    assert_eq!(good(netpol_with_input(&folder, "flows", SAMPLE)), expected);
}

#[test]
fn the_summary() {
    let expected = "\
PACKETS  FLOWS  LAST SEEN             DIRECTION  SOURCE               DESTINATION           PORT         POLICIES
   5000   many  2026-11-21T10:00:14Z  ingress    various              batch/import          various      batch/closed
    the policies that isolate the pod have no ingress rules
     43      2  2026-11-21T10:00:10Z  ingress    shop/Deployment/web  shop/StatefulSet/db   tcp/5432     shop/db
    shop/db ingress[0]: peer matches; port TCP 5432 not in TCP 8443
      1      1  2026-11-21T10:00:15Z  ingress    node node-a          contested 10.244.2.9  tcp/80       shop/db
    the address is claimed by shop/db-0, shop/old, and policies isolate one of them
      1      1  2026-11-21T10:00:16Z  ingress    shop/Deployment/web  batch/import          protocol/17  batch/closed
    the policies that isolate the pod have no ingress rules
      1      1  2026-11-21T10:00:12Z  ingress    fd00::7              batch/import          icmpv6/128   batch/closed
    the policies that isolate the pod have no ingress rules
      1      1  2026-11-21T10:00:17Z  egress     batch/import         fe80::2               icmpv6/1/4   -
    no policy can judge link-local addresses
      1      1  2026-11-21T10:00:11Z  egress     shop/Deployment/web  203.0.113.9           udp/53       shop/all, shop/web
    the policies that isolate the pod have no egress rules
    hint: this is DNS: names cannot be looked up

5048 packets, more than 7 flows, 7 groups, from 2026-11-21T10:00:00Z to 2026-11-21T10:00:17Z
besides, dropped and not looked at, since they were too many: 7 packets
besides, lost: 12 events, the kernel's buffer was full
";
    let folder = folder();
    assert_eq!(
        good(netpol(&folder, "flows flows.log -o summary")),
        expected
    );
    let top = good(netpol(&folder, "flows flows.log -o summary --top 1"));
    let rows: Vec<&str> = top
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with("    "))
        .collect();
    assert_eq!(
        rows,
        [
            "   5000   many  2026-11-21T10:00:14Z  ingress    various  batch/import  various  batch/closed",
            "",
            "5048 packets, more than 7 flows, 7 groups, from 2026-11-21T10:00:00Z to 2026-11-21T10:00:17Z",
            "shown: the 1 group with most packets (--top)",
            "besides, dropped and not looked at, since they were too many: 7 packets",
            "besides, lost: 12 events, the kernel's buffer was full",
        ]
    );
}

#[test]
fn json_is_the_lines_as_they_are() {
    let folder = folder();
    assert_eq!(good(netpol(&folder, "flows flows.log -o json")), SAMPLE);
    let lines: Vec<&str> = SAMPLE.split_inclusive('\n').collect();
    // Which lines of the sample, counted from 0; number 5 tells of lost events, which are asked for node and time only.
    let rows: &[(&str, &[usize])] = &[
        ("-n batch", &[4, 5, 6, 8, 9]),
        ("--pod shop/old", &[5, 7]),
        ("--from-pod web-7d9f-x2x --node node-a", &[0, 2, 3]),
        ("--to-pod db-0 --node node-a", &[0, 1, 2]),
        ("--workload Deployment/web --node node-a", &[0, 1, 2, 3]),
        ("--workload sts/db --node node-a", &[0, 1, 2]),
        ("--ip fd00::/16 --ip 203.0.113.9", &[3, 4, 5]),
        ("--port tcp/5432 --port 53 --node node-a", &[0, 1, 2, 3]),
        ("--port icmp", &[4, 5, 9]),
        ("--direction egress", &[3, 5, 9]),
        ("--policy shop/web", &[3, 5]),
        ("--policy closed --port 22", &[5, 6]),
        ("--verdict dropped --node node-a", &[0, 1, 2, 3]),
        ("--verdict forwarded", &[5]),
        ("--since 2026-11-21T10:00:15Z", &[7, 8, 9]),
        ("--until 2026-11-21T11:00:01+01:00", &[0]),
        (
            "--since 2026-11-21T10:00:12Z --until 2026-11-21T10:00:14Z",
            &[4, 5],
        ),
        ("--last 2", &[8, 9]),
        ("--last 1 --node node-a", &[3]),
        ("--last 0", &[]),
        ("--last 99 --node node-a", &[0, 1, 2, 3]),
    ];
    for (options, expected) in rows {
        let ran = netpol(&folder, &format!("flows flows.log -q -o json {options}"));
        let expected: String = expected.iter().map(|at| lines[*at]).collect();
        assert_eq!((ran.code, ran.stdout), (Some(0), expected), "{options}");
    }
}

#[test]
fn every_line_that_the_agent_writes_is_read() {
    let examples = include_str!("../../../docs/flow-log/hubble.jsonl");
    let folder = folder();
    let ran = netpol_with_input(&folder, "flows -o json", examples);
    assert_eq!(good(ran), examples);
    let ran = netpol_with_input(&folder, "flows --policy shop/db -o json", examples);
    assert!(good(ran).lines().count() >= 4);
}

#[test]
fn several_files_are_one_by_time() {
    let folder = folder();
    let lines: Vec<&str> = SAMPLE.split_inclusive('\n').collect();
    let pick = |wanted: &dyn Fn(usize) -> bool| -> String {
        let picked = (0..lines.len()).filter(|at| wanted(*at));
        picked.map(|at| lines[at]).collect()
    };
    write(&folder, "a", pick(&|at| at % 3 == 0));
    write(&folder, "b", pick(&|at| at % 3 == 1));
    write(&folder, "empty", "");
    let input = pick(&|at| at % 3 == 2);
    let ran = netpol_with_input(&folder, "flows -o json b - empty a", &input);
    assert_eq!(good(ran), SAMPLE);
}

#[test]
fn other_lines_are_passed_over() {
    let folder = folder();
    let flow = SAMPLE.lines().next().expect("a line");
    let mut log: Vec<u8> = Vec::new();
    log.extend(b"2026-11-21T10:00:00Z  INFO started {x}\n\n{\"level\":\"INFO\"}\n");
    log.extend(format!("[pod/netpol-x/agent] {flow}\r\n").bytes());
    log.extend((0..=255).cycle().take(300_000));
    log.extend(b"\n");
    log.extend(format!("{{\"flow\":{{\"uuid\":\"{}\"}}}}\n", "x".repeat(1 << 20)).bytes());
    log.extend("y".repeat(5 << 20).bytes());
    // The last line has no end, and counts.
    log.extend(format!("\n{flow}").bytes());
    write(&folder, "mixed", &log);
    let ran = netpol(&folder, "flows mixed -o json --port 5432");
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout, format!("{flow}\r\n{flow}\n"));
    // Of the cycle, each line feed ends a line; its last piece ends with our own.
    let pieces = 300_000 / 256 + 1 + u64::from(300_000 % 256 > 10);
    assert_eq!(
        ran.stderr,
        format!(
            "note: {} lines that are not of a flow log were passed over\n",
            2 + pieces + 1
        )
    );
    let ran = netpol(&folder, "flows mixed -q --port 5432");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let ran = netpol_with_input(&folder, "flows", "{\"flow\":{}");
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (
            Some(0),
            "",
            "note: 1 line that is not of a flow log was passed over\nno flow matched\n"
        )
    );
}

#[test]
fn nothing_in_the_log_reaches_the_terminal_as_a_command() {
    let folder = folder();
    let line = r#"{"flow":{"verdict":"DROPPED","source":{"namespace":"a","pod_name":"\u001b[2Jx\nTIME"},
        "ingress_denied_by":[{"name":"\u009b1m"}],"extensions":{"@type":"type.googleapis.com/google.protobuf.Struct",
        "value":{"reason":"no-rule","near_misses":["\u0007near"],"hints":[{"text":"\u001b]0;t\u0007"}]}}}}"#;
    let line = line.replace("\n        ", "");
    for output in ["table", "summary"] {
        let ran = netpol_with_input(&folder, &format!("flows -o {output}"), &line);
        assert!(
            ran.stdout.contains("a/\u{fffd}[2Jx\u{fffd}TIME"),
            "{}",
            ran.stdout
        );
        assert!(
            ran.stdout.chars().all(|c| c == '\n' || !c.is_control()),
            "{:?}",
            ran.stdout
        );
    }
}

#[test]
fn colours_are_for_terminals() {
    let folder = folder();
    let run = |options: &str| good(netpol(&folder, &format!("flows flows.log {options}")));
    let plain = run("");
    assert!(!plain.contains('\x1b'));
    let coloured = run("--color always");
    assert!(coloured.contains("\x1b[33mshop/db\x1b[0m"), "{coloured:?}");
    let mut without = coloured;
    for code in ["0", "1", "2", "31", "33", "36"] {
        without = without.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(without, plain);
    assert_eq!(run("--color never"), plain);
}

#[test]
fn bad_values_are_refused() {
    let folder = folder();
    let rows = [
        ("-n Shop", "a name must consist of"),
        ("--pod a/b/c", "a name must consist of"),
        ("--to-pod /web", "the namespace must not be empty"),
        ("--workload web", "must be like deployment/web"),
        ("--ip 10.0.0.0/33", "neither an IP address nor a network"),
        ("--port http", "must be like 80, tcp/80"),
        ("--direction both", "must be ingress or egress"),
        ("--policy shop/", "a name must not be empty"),
        ("--verdict lost", "dropped, forwarded, audit"),
        (
            "--since yesterday",
            "must be how long ago, as 30s, 10m, 2h or 7d",
        ),
        ("--until 10", "must be how long ago"),
        ("--last x", "invalid digit"),
        ("-o yaml", "table, json, summary"),
        ("unix:", "the path is empty"),
    ];
    for (options, expected) in rows {
        let ran = netpol(&folder, &format!("flows {options}"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{options}");
        assert!(ran.stderr.contains(expected), "{options}: {}", ran.stderr);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder();
    let rows = [
        (
            "flows flows.log nowhere.log",
            "error: flow log nowhere.log: cannot be read: No such file or directory (os error 2)\n",
        ),
        (
            "flows .",
            "error: flow log .: cannot be read: Is a directory (os error 21)\n",
        ),
        (
            "flows -f nowhere.log",
            "error: flow log nowhere.log: cannot be read: No such file or directory (os error 2)\n",
        ),
        (
            "flows unix:nowhere.sock",
            "error: flow log unix:nowhere.sock: cannot connect: No such file or directory (os error 2); is the agent \
             running with its flow log at this socket?\n",
        ),
    ];
    for (command, expected) in rows {
        let ran = netpol(&folder, command);
        assert_eq!(
            (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
            (Some(1), "", expected)
        );
    }
}

#[test]
fn help_shows_examples() {
    let ran = netpol(&folder(), "flows --help");
    assert_eq!(ran.code, Some(0));
    assert!(ran.stdout.contains("Examples:"));
    let long = ran.stdout.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None);
}
