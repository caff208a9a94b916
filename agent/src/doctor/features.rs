//! What netpol's rules need of the kernel, each tried by itself.

use std::net::{IpAddr, Ipv4Addr};

use policy_compiler::model::{Direction, Protocol};
use policy_compiler::ruleset::{
    AddressMatch, Comment, DropLog, DropOf, DropPoint, Element, Family, Hook, Ident, InterfaceKind,
    Match, Operation, Rule, SetKey, Side, Transaction, Verdict,
};

use super::Finding;
use crate::dataplane::{NetlinkDataplane, NetlinkError};

const CHECK: &str = "kernel";

/// Something that rules are made of.
#[derive(Clone, Debug)]
pub struct Feature {
    /// In words.
    pub what: &'static str,
    /// The options of the kernel that bring it.
    pub options: &'static str,
    /// What it is for.
    pub need: Need,
    /// What the kernel takes only if it has it.
    pub attempt: Transaction,
}

/// What becomes of enforcement without a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There is none.
    Always,
    /// There is none unless the agent is given this argument.
    Unless(&'static str),
    /// Drops are not told.
    ToLog,
}

/// What there is to know of a feature that rules cannot do without.
type Needed = (&'static str, &'static str, Vec<Operation>);

/// All of them, the table that everything else is in first.
pub fn features() -> Vec<Feature> {
    let needed = [hooks()].into_iter().chain(sets()).chain(statements());
    let needed = needed.map(|(what, options, operations)| Feature {
        what,
        options,
        need: Need::Always,
        attempt: attempt(operations),
    });
    let point = DropPoint {
        direction: Direction::Ingress,
        of: DropOf::Contested,
    };
    let log = Verdict::Log(point, DropLog::default());
    let logging = Feature {
        what: "the log of dropped packets (limit, log group)",
        options: "CONFIG_NFT_LIMIT, CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG",
        need: Need::ToLog,
        attempt: attempt(vec![rule(vec![], log)]),
    };
    needed.chain(protections()).chain([logging]).collect()
}

/// What only protection beside policies needs.
fn protections() -> [Feature; 3] {
    let counter = || ident("doctor-protected");
    let reset = Rule::new(
        vec![Match::Cut, Match::Protocol(Protocol::Tcp)],
        Verdict::CountAndReset(counter()),
    );
    let guard = ident("doctor-arrival");
    let from_veth = vec![Match::InterfaceKind(InterfaceKind::Veth), Match::NoWayBack];
    let set = ident("doctor-programmed");
    let not_in_set = AddressMatch::NotInSet(V4, set.clone());
    let of = |what, options, argument, operations| Feature {
        what,
        options,
        need: Need::Unless(argument),
        attempt: attempt(operations),
    };
    [
        of(
            "cutting connections (ct label, reject)",
            "CONFIG_NF_CONNTRACK_LABELS, CONFIG_NFT_REJECT_INET",
            "--existing-connections keep",
            vec![
                Operation::AddCounter(counter()),
                rule(vec![], Verdict::SetCutLabel),
                Operation::AddRule(ident("doctor"), reset),
            ],
        ),
        of(
            "the question where an answer would leave (fib oif, meta iifkind)",
            "CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6",
            "--source-guard off",
            vec![
                Operation::AddChain(guard.clone(), Some(Hook::Arrival)),
                Operation::AddRule(guard, Rule::new(from_veth, Verdict::Accept)),
            ],
        ),
        of(
            "closing pods that are not known yet (sets, inverted)",
            "CONFIG_NF_TABLES, in old kernels CONFIG_NFT_HASH",
            "--pod-start open",
            vec![
                Operation::AddSet(set, SetKey::Address(V4), Comment::new("doctor")),
                accept(Match::Address(Side::Source, not_in_set)),
            ],
        ),
    ]
}

fn hooks() -> Needed {
    let hooks = [
        Hook::Forward(Direction::Egress),
        Hook::Input,
        Hook::Output(Direction::Egress),
    ];
    let bases = hooks.into_iter().map(|hook| {
        let name = Ident::fixed(&format!("doctor-{}", hook.name()));
        Operation::AddChain(name, Some(hook))
    });
    (
        "tables for both families, with chains on forward, input and output",
        "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET",
        bases.collect(),
    )
}

const V4: Family = Family::V4;
/// Of a range for documentation.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn sets() -> [Needed; 4] {
    let of_addresses = |set| Match::Address(Side::Source, AddressMatch::Set(V4, ident(set)));
    let filled = |name, key, element: Element, condition: Match| {
        vec![
            Operation::AddSet(ident(name), key, Comment::new("doctor")),
            Operation::AddElements(ident(name), std::iter::once(element).collect()),
            accept(condition),
        ]
    };
    let last = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    let (hashed, ranges, pairs) = ("doctor-addresses", "doctor-ranges", "doctor-pairs");
    let address = Element::Address(ADDRESS);
    let range = Element::Range(ADDRESS, last);
    let pair = Element::AddressPort(ADDRESS, 80);
    let by_pair = Match::NamedPort(V4, Protocol::Tcp, ident(pairs));
    let (map, target) = (ident("doctor-map"), ident("doctor-target"));
    let mapped = vec![
        Operation::AddMap(map.clone(), V4),
        Operation::AddChain(target.clone(), None),
        Operation::AddMapElements(map.clone(), vec![(ADDRESS, target)]),
        rule(vec![], Verdict::AddressMap(V4, Side::Source, map)),
    ];
    [
        (
            "sets of addresses",
            "CONFIG_NF_TABLES, in old kernels CONFIG_NFT_HASH",
            filled(hashed, SetKey::Address(V4), address, of_addresses(hashed)),
        ),
        (
            "sets of ranges",
            "CONFIG_NF_TABLES, in old kernels CONFIG_NFT_RBTREE",
            filled(ranges, SetKey::Range(V4), range, of_addresses(ranges)),
        ),
        (
            "sets of address and port",
            "CONFIG_NF_TABLES",
            filled(pairs, SetKey::AddressPort(V4), pair, by_pair),
        ),
        ("maps from addresses to chains", "CONFIG_NF_TABLES", mapped),
    ]
}

fn statements() -> [Needed; 5] {
    let (other, counter) = (ident("doctor-other"), ident("doctor-counter"));
    let jump = vec![
        Operation::AddChain(other.clone(), None),
        rule(vec![], Verdict::Jump(other)),
    ];
    let drops = vec![
        Operation::AddCounter(counter.clone()),
        rule(vec![], Verdict::CountAndDrop(counter)),
    ];
    [
        ("jumps between chains", "CONFIG_NF_TABLES", jump),
        (
            "connection tracking (ct state)",
            "CONFIG_NFT_CT, CONFIG_NF_CONNTRACK",
            vec![accept(Match::Tracked)],
        ),
        (
            "addresses that connection tracking translated (ct status)",
            "CONFIG_NFT_CT, CONFIG_NF_CONNTRACK",
            vec![accept(Match::Translated)],
        ),
        (
            "the question whether an address is the node's own (fib)",
            "CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6",
            vec![accept(Match::SourceIsLocal)],
        ),
        (
            "named counters",
            "CONFIG_NFT_COUNTER, CONFIG_NFT_OBJREF",
            drops,
        ),
    ]
}

fn ident(name: &str) -> Ident {
    Ident::fixed(name)
}

fn rule(matches: Vec<Match>, verdict: Verdict) -> Operation {
    Operation::AddRule(ident("doctor"), Rule::new(matches, verdict))
}

fn accept(condition: Match) -> Operation {
    rule(vec![condition], Verdict::Accept)
}

fn attempt(operations: Vec<Operation>) -> Transaction {
    let ground = [
        Operation::AddTable,
        Operation::AddChain(ident("doctor"), None),
    ];
    Transaction::new(ground.into_iter().chain(operations).collect())
}

/// Tries all of them. Nothing is committed.
pub(super) async fn examine(dataplane: &NetlinkDataplane) -> Vec<Finding> {
    // To give up a batch takes the kernel longer than to look at it, so one is for all unless it is refused.
    let operations = features().into_iter().flat_map(|feature| {
        let operations = feature.attempt.operations();
        operations.to_vec()
    });
    let together = Transaction::new(operations.collect());
    if dataplane.try_out(&together).await.is_ok() {
        return judge(&[]);
    }
    let mut refusals = Vec::new();
    for feature in features() {
        if let Err(error) = dataplane.try_out(&feature.attempt).await {
            refusals.push((feature, error));
        }
    }
    judge(&refusals)
}

fn judge(refusals: &[(Feature, NetlinkError)]) -> Vec<Finding> {
    if refusals.is_empty() {
        return vec![Finding::ok(
            CHECK,
            "this kernel takes all that the rules need",
        )];
    }
    let told = |(feature, error): &(Feature, NetlinkError)| {
        let Feature { what, options, .. } = feature;
        let advice = if error.is_refusal() {
            format!("use a kernel with {options}, or load their modules on the node")
        } else {
            "see whether another program keeps nftables busy, and ask again".to_owned()
        };
        let refused = format!("the kernel refuses {what}");
        let finding = match feature.need {
            Need::Always => Finding::error(CHECK, format!("{refused}: {error}"), advice),
            // Whether the agent was given it shows when it writes its rules.
            Need::Unless(argument) => {
                let advice = format!("{advice}; or give the agent {argument}");
                let found = format!(
                    "{refused}, without which an agent writes no rules unless it has {argument}: {error}"
                );
                Finding::warning(CHECK, found, advice)
            }
            Need::ToLog => {
                let found = format!("{refused}, so that drops are not told: {error}");
                Finding::warning(CHECK, found, advice)
            }
        };
        finding.about(what)
    };
    refusals.iter().map(told).collect()
}

#[cfg(test)]
mod tests;
