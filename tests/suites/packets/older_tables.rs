//! Tables that an agent may find under its table's name when it starts: of other layouts, of other kinds of objects, or of
//! nothing. The layouts enforce this suite's world on node-a, as far as its pods go.

use policy_compiler::compile::compile;
use policy_compiler::model::{Name, NodeScope};

use crate::world::{CALLER, NEAR, addresses, isolated};

/// A table as it is found.
pub(crate) struct Older {
    pub(crate) what: &'static str,
    /// As nft takes it.
    pub(crate) script: String,
    /// It has the same verdicts as the present layout.
    pub(crate) enforces: bool,
}

/// Other names throughout, sets of peers by what they are for, the rules of policies in the pods' chains, counters without
/// names, base chains of other priorities. It was not kept up to date: a pod is in it that is gone.
const BY_OTHER_NAMES: &str = "
    set callers-4 { type ipv4_addr; elements = { CALLER4 }; }
    set callers-6 { type ipv6_addr; elements = { CALLER6 }; }
    set callees-4 { type ipv4_addr; flags interval; elements = { NEAR4, 10.244.2.0/24 }; }
    set callees-6 { type ipv6_addr; flags interval; elements = { NEAR6, fd00:10:244:2::/64 }; }
    set for-nobody { type ipv4_addr . inet_service; comment \"of a policy that is gone\"; elements = { 10.244.1.77 . 80 }; }
    map in-4 { type ipv4_addr : verdict; elements = { CALLER4 : jump caller-in, NEAR4 : jump near-in, 10.244.1.77 : jump gone-in }; }
    map in-6 { type ipv6_addr : verdict; elements = { CALLER6 : jump caller-in, NEAR6 : jump near-in }; }
    map out-4 { type ipv4_addr : verdict; elements = { CALLER4 : jump caller-out, NEAR4 : jump near-out }; }
    map out-6 { type ipv6_addr : verdict; elements = { CALLER6 : jump caller-out, NEAR6 : jump near-out }; }
    chain caller-in { counter drop; }
    chain caller-out {
        ip daddr @callees-4 tcp dport 80 counter accept; ip6 daddr @callees-6 tcp dport 80 counter accept
        ip daddr @callees-4 udp dport { 53, 54 } counter accept; ip6 daddr @callees-6 udp dport { 53, 54 } counter accept
        counter drop
    }
    chain near-in {
        ip saddr @callers-4 tcp dport 80 counter accept; ip6 saddr @callers-6 tcp dport 80 counter accept
        ip saddr @callers-4 udp dport { 53, 54 } counter accept; ip6 saddr @callers-6 udp dport { 53, 54 } counter accept
        counter drop
    }
    chain near-out { counter drop; }
    chain gone-in { ip saddr . tcp dport @for-nobody drop; counter drop; }
    chain forward-out {
        type filter hook forward priority filter - 5; policy accept;
        ct state established,related accept; meta l4proto icmpv6 accept; ip saddr vmap @out-4; ip6 saddr vmap @out-6
    }
    chain forward-in {
        type filter hook forward priority filter + 7; policy accept;
        ct state established,related accept; meta l4proto icmpv6 accept; ip daddr vmap @in-4; ip6 daddr vmap @in-6
    }
";

/// The present names, and a pod's rules in its own chain, without log and with a counter of their own; FIRST and NEXT are
/// the base chains' priorities.
const BY_PRESENT_NAMES: &str = "
    set peers-old-4 { type ipv4_addr; elements = { CALLER4, 10.244.1.77 }; }
    map ingress4 { type ipv4_addr : verdict; elements = { CALLER4 : goto pod/conn/caller/ingress, NEAR4 : goto pod/conn/near/ingress, 10.244.1.77 : goto pod/conn/gone/ingress }; }
    map ingress6 { type ipv6_addr : verdict; elements = { CALLER6 : goto pod/conn/caller/ingress, NEAR6 : goto pod/conn/near/ingress }; }
    map egress4 { type ipv4_addr : verdict; elements = { CALLER4 : goto pod/conn/caller/egress, NEAR4 : goto pod/conn/near/egress }; }
    map egress6 { type ipv6_addr : verdict; elements = { CALLER6 : goto pod/conn/caller/egress, NEAR6 : goto pod/conn/near/egress }; }
    chain pod/conn/caller/ingress { counter drop; }
    chain pod/conn/caller/egress {
        tcp dport 80 ip daddr { NEAR4, 10.244.2.11 } counter accept; tcp dport 80 ip6 daddr NEAR6 counter accept
        udp dport 53-54 ip daddr { NEAR4, 10.244.2.11 } counter accept; udp dport 53-54 ip6 daddr NEAR6 counter accept
        counter drop
    }
    chain pod/conn/near/ingress {
        ip saddr @peers-old-4 tcp dport 80 counter accept; ip6 saddr CALLER6 tcp dport 80 counter accept
        ip saddr @peers-old-4 udp dport 53-54 counter accept; ip6 saddr CALLER6 udp dport 53-54 counter accept
        counter drop
    }
    chain pod/conn/near/egress { counter drop; }
    chain pod/conn/gone/ingress { jump policy/conn/gone/ingress; counter drop; }
    chain policy/conn/gone/ingress { ip saddr @peers-old-4 accept; }
    chain forwarded-egress {
        type filter hook forward priority FIRST; policy accept;
        ct state established,related accept; meta l4proto icmpv6 accept; ip saddr vmap @egress4; ip6 saddr vmap @egress6
    }
    chain forwarded-ingress {
        type filter hook forward priority NEXT; policy accept;
        ct state established,related accept; meta l4proto icmpv6 accept; ip daddr vmap @ingress4; ip6 daddr vmap @ingress6
    }
";

/// Our names for something else. None of it has a verdict.
const BY_OUR_NAMES: [(&str, &str); 11] = [
    (
        "a set by a chain's name",
        "set forwarded-egress { type ipv4_addr; elements = { NEAR4 }; }",
    ),
    (
        "a set by a map's name",
        "set ingress4 { type ipv4_addr; elements = { NEAR4 }; }",
    ),
    (
        "a map of marks by a map's name",
        "map ingress4 { type ipv4_addr : mark; elements = { NEAR4 : 1 }; }",
    ),
    (
        "a map of ports by a map's name",
        "map egress6 { type inet_service : verdict; elements = { 80 : accept }; }",
    ),
    (
        "a map by a set's name",
        "map PEERS { type ipv4_addr : verdict; elements = { CALLER4 : continue }; }",
    ),
    (
        "a set of pairs by a set's name",
        "set PEERS { type ipv4_addr . inet_service; flags interval; elements = { CALLER4 . 80-90 }; }",
    ),
    (
        "a set that forgets by a set's name",
        "set PEERS { type ipv4_addr; flags timeout; timeout 1h; elements = { CALLER4 }; }",
    ),
    (
        "a base chain hooked elsewhere",
        "chain forwarded-egress { type filter hook prerouting priority raw; policy accept; counter; }",
    ),
    (
        "a base chain of another type",
        "chain to-node-egress { type nat hook postrouting priority srcnat; policy accept; }",
    ),
    (
        "a base chain by a pod's chain's name, and a pod's chain by a base chain's",
        "chain pod/conn/near/ingress { type filter hook input priority filter; policy accept; }
         chain forwarded-ingress { counter; }",
    ),
    (
        "objects of other kinds",
        "quota pod/conn/near/ingress { over 1000 mbytes; }
         limit link-local { rate 10/second; }
         counter pod/conn/gone/ingress { packets 5 bytes 500; }",
    ),
];

fn table(body: &str) -> String {
    let [caller4, caller6] = addresses(CALLER).map(|address| address.to_string());
    let [near4, near6] = addresses(NEAR).map(|address| address.to_string());
    let node = Name::parse("node-a").expect("a name");
    let present = compile(&isolated(), &NodeScope::Node(node));
    let peers = present.sets.keys().map(ToString::to_string);
    let peers = peers.filter(|name| name.ends_with("-4")).min();
    let body = body
        .replace("CALLER4", &caller4)
        .replace("CALLER6", &caller6)
        .replace("NEAR4", &near4)
        .replace("NEAR6", &near6)
        .replace("PEERS", &peers.expect("a set of peers"));
    format!("table inet netpol {{\n{body}\n}}\n")
}

/// All of them.
pub(crate) fn all() -> Vec<Older> {
    let by_present = |first, next| {
        let body = BY_PRESENT_NAMES.replace("FIRST", first);
        table(&body.replace("NEXT", next))
    };
    let enforcing = |what, script| Older {
        what,
        script,
        enforces: true,
    };
    let open = |what, body: &str| Older {
        what,
        script: table(body),
        enforces: false,
    };
    let mut all = vec![
        enforcing("other names", table(BY_OTHER_NAMES)),
        enforcing("present names", by_present("0", "1")),
        enforcing("present names, other priorities", by_present("20", "21")),
        open("nothing", ""),
        open(
            "a table that sleeps",
            &format!("flags dormant;{BY_OTHER_NAMES}"),
        ),
    ];
    all.extend(BY_OUR_NAMES.map(|(what, objects)| {
        let script = table(&format!("{BY_OTHER_NAMES}{objects}"));
        enforcing(what, script)
    }));
    all
}
