//! What the kernel dumps of a rule is what was sent: a table can be checked without `nft`.

use std::collections::BTreeMap;
use std::io;

use netlink_sys::constants::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use netpol_agent::dataplane::{expressions, same_attributes};
use policy_compiler::model::{PortRange, Protocol};
use policy_compiler::ruleset::{Match, Rule, Transaction, Verdict};

use super::Programmed;
use super::rows::{conditions, ground, in_chains, verdicts};

/// `NFT_MSG_GETRULE`, of all tables.
const GET_RULES: [u8; 20] = {
    let mut message = [0; 20];
    message[0] = 20;
    let kind = u16::from_be_bytes([10, 7]).to_ne_bytes();
    (message[4], message[5]) = (kind[0], kind[1]);
    // NLM_F_REQUEST, NLM_F_DUMP
    let flags = 0x301_u16.to_ne_bytes();
    (message[6], message[7]) = (flags[0], flags[1]);
    // NFPROTO_INET
    message[16] = 1;
    message
};
/// `NLMSG_DONE`
const DONE: u16 = 3;

#[test]
fn rules_are_dumped_as_they_were_sent() {
    let mut rules: Vec<Rule> = conditions()
        .into_iter()
        .map(|condition| Rule::new(vec![condition], Verdict::Accept))
        .collect();
    // A set without a name gets one from the kernel: such a rule is dumped with what was not sent.
    let is_list =
        |rule: &Rule| matches!(&rule.matches[..], [Match::Port(_, ranges)] if ranges.len() > 1);
    rules.retain(|rule| !is_list(rule));
    rules.extend(
        verdicts()
            .into_iter()
            .map(|verdict| Rule::new(vec![], verdict)),
    );
    let ruleset = in_chains(ground(), &rules);
    let mut programmed = Programmed::new("dumped").expect("a namespace");
    let committed = programmed.commit(&Transaction::replace(&ruleset));
    committed.expect("committed");

    let dumped = programmed.netns.call(dump).expect("a thread");
    let dumped = dumped.expect("a dump");
    assert_eq!(dumped.len(), rules.len());
    for (number, rule) in rules.iter().enumerate() {
        let sent = expressions(rule).expect("short enough");
        let found = &dumped[&format!("row-{number:04}")];
        assert!(
            same_attributes(&sent, found),
            "{rule}\n{sent:02x?}\n{found:02x?}"
        );
    }
    // Rules that differ in anything are told apart.
    for (number, rule) in rules.iter().enumerate() {
        let next = &rules[(number + 1) % rules.len()];
        let sent = expressions(next).expect("short enough");
        let found = &dumped[&format!("row-{number:04}")];
        let is_same = same_attributes(&sent, found);
        assert_eq!(
            is_same,
            sent == expressions(rule).expect("short enough"),
            "{rule} / {next}"
        );
    }
    let port = |port| {
        let ports = PortRange::single(port).into_iter().collect();
        expressions(&Rule::new(
            vec![Match::Port(Protocol::Tcp, ports)],
            Verdict::Accept,
        ))
    };
    assert!(!same_attributes(
        &port(80).expect("short"),
        &port(81).expect("short")
    ));
}

/// The expressions of the one rule of each chain.
fn dump() -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(&GET_RULES, &SocketAddr::new(0, 0), 0)?;
    let mut rules = BTreeMap::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while rest.len() >= 20 {
            let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            if u16::from_ne_bytes([rest[4], rest[5]]) == DONE {
                return Ok(rules);
            }
            let fields = fields(&rest[20..length]);
            let chain = String::from_utf8_lossy(fields[&2])
                .trim_end_matches('\0')
                .to_owned();
            rules.insert(chain, fields[&4].to_vec());
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        }
    }
}

fn fields(mut bytes: &[u8]) -> BTreeMap<u16, &[u8]> {
    let mut fields = BTreeMap::new();
    while bytes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        fields.insert(
            u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff,
            &bytes[4..length],
        );
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    fields
}
