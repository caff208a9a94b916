//! The libnftables JSON of a [`Ruleset`], as `nft -j -f` reads it.
//!
//! The `nftables` crate's types are the encoder. They know no map from addresses to verdicts, so that one object is
//! written by hand.

use std::borrow::Cow;
use std::collections::HashSet;

use ipnet::IpNet;
use nftables::expr::{
    CT, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadField,
    Prefix, Range, SetItem,
};
use nftables::schema::{self, NfCmd, NfListObject, SetFlag, SetType, SetTypeValue};
use nftables::stmt::{self, Counter, JumpTarget, Limit, Log, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::{Value, json};

use super::{
    AddressMatch, Chain, DropLog, DropPoint, Element, Family, Hook, Ident, Match, Rule, Ruleset,
    Set, SetKey, Side, TABLE, Verdict, VerdictMap,
};
use crate::model::PortRange;

impl Ruleset {
    /// The libnftables JSON document that adds this table.
    pub fn to_json(&self) -> Value {
        let mut commands = vec![add(NfListObject::Table(schema::Table {
            family: NfFamily::INet,
            name: TABLE.into(),
            ..schema::Table::default()
        }))];
        commands.extend(
            self.counters()
                .into_iter()
                .map(|name| add(NfListObject::Counter(counter_object(name)))),
        );
        commands.extend(
            self.sets
                .iter()
                .map(|(name, set)| add(NfListObject::Set(Box::new(set_object(name, set))))),
        );
        // All chains come before the first rule or map that goes to one.
        commands.extend(
            self.chains
                .iter()
                .map(|(name, chain)| add(NfListObject::Chain(chain_object(name, chain)))),
        );
        commands.extend(self.maps.iter().map(|(name, map)| map_command(name, map)));
        for (name, chain) in &self.chains {
            commands.extend(
                chain
                    .rules
                    .iter()
                    .map(|rule| add(NfListObject::Rule(rule_object(name, rule)))),
            );
        }
        json!({ "nftables": commands })
    }
}

fn add(object: NfListObject<'_>) -> Value {
    // The crate's types are plain data: strings, numbers, lists. Serialising those cannot fail.
    serde_json::to_value(NfCmd::Add(object)).unwrap_or_default()
}

fn counter_object(name: &Ident) -> schema::Counter<'_> {
    schema::Counter {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.as_str().into(),
        ..schema::Counter::default()
    }
}

fn set_object<'a>(name: &'a Ident, set: &'a Set) -> schema::Set<'a> {
    let address = match set.key.family() {
        Family::V4 => SetType::Ipv4Addr,
        Family::V6 => SetType::Ipv6Addr,
    };
    let (set_type, flags) = match set.key {
        SetKey::Address(_) => (SetTypeValue::Single(address), None),
        SetKey::Range(_) => (
            SetTypeValue::Single(address),
            Some(HashSet::from([SetFlag::Interval])),
        ),
        SetKey::AddressPort(_) => (
            SetTypeValue::Concatenated(vec![address, SetType::InetService].into()),
            None,
        ),
    };
    let elements: Vec<Expression> = set.elements.iter().map(element).collect();
    schema::Set {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.as_str().into(),
        set_type,
        flags,
        comment: Some(set.comment.as_str().into()),
        elem: (!elements.is_empty()).then_some(elements.into()),
        ..schema::Set::default()
    }
}

fn element(element: &Element) -> Expression<'static> {
    match element {
        Element::Address(address) => string(address),
        Element::Range(first, last) if first == last => string(first),
        Element::Range(first, last) => element.as_network().map_or_else(
            || {
                Expression::Range(Box::new(Range {
                    range: [string(first), string(last)],
                }))
            },
            network,
        ),
        Element::AddressPort(address, port) => named(NamedExpression::Concat(vec![
            string(address),
            Expression::Number(u32::from(*port)),
        ])),
    }
}

fn map_command(name: &Ident, map: &VerdictMap) -> Value {
    let elements: Vec<Value> = map
        .elements
        .iter()
        .map(|(address, chain)| json!([address.to_string(), { "goto": { "target": chain.as_str() } }]))
        .collect();
    let mut object = json!({
        "family": "inet", "table": TABLE, "name": name.as_str(),
        "type": super::text::address_type(map.family), "map": "verdict",
    });
    if !elements.is_empty() {
        object["elem"] = elements.into();
    }
    json!({ "add": { "map": object } })
}

fn chain_object<'a>(name: &'a Ident, chain: &Chain) -> schema::Chain<'a> {
    let nf_hook = |hook: Hook| match hook {
        Hook::Forward(_) => NfHook::Forward,
        Hook::Input => NfHook::Input,
        Hook::Output(_) => NfHook::Output,
    };
    schema::Chain {
        family: NfFamily::INet,
        table: TABLE.into(),
        name: name.as_str().into(),
        _type: chain.hook.map(|_| NfChainType::Filter),
        hook: chain.hook.map(nf_hook),
        prio: chain.hook.map(Hook::priority),
        policy: chain.hook.map(|_| NfChainPolicy::Accept),
        ..schema::Chain::default()
    }
}

fn rule_object<'a>(chain: &'a Ident, rule: &'a Rule) -> schema::Rule<'a> {
    let mut statements: Vec<Statement> = rule.matches.iter().flat_map(condition).collect();
    statements.extend(verdict(&rule.verdict));
    schema::Rule {
        family: NfFamily::INet,
        table: TABLE.into(),
        chain: chain.as_str().into(),
        expr: Cow::Owned(statements),
        comment: rule.comment.as_ref().map(|comment| comment.as_str().into()),
        ..schema::Rule::default()
    }
}

fn condition(condition: &Match) -> Vec<Statement<'_>> {
    match condition {
        Match::Tracked => {
            let state = named(NamedExpression::CT(CT {
                key: "state".into(),
                family: None,
                dir: None,
            }));
            let states = ["established", "related"]
                .map(|s| Expression::String(s.into()))
                .to_vec();
            vec![matching(state, Operator::IN, Expression::List(states))]
        }
        Match::NeighbourDiscovery => {
            let types = Range {
                range: [Expression::Number(133), Expression::Number(137)],
            };
            vec![
                matching(
                    payload("icmpv6", "type"),
                    Operator::EQ,
                    Expression::Range(Box::new(types)),
                ),
                matching(
                    payload("ip6", "hoplimit"),
                    Operator::EQ,
                    Expression::Number(255),
                ),
            ]
        }
        Match::Translated => {
            let status = named(NamedExpression::CT(CT {
                key: "status".into(),
                family: None,
                dir: None,
            }));
            vec![matching(status, Operator::IN, string(&"dnat"))]
        }
        Match::Reinjected => {
            let interface = named(NamedExpression::Meta(Meta { key: MetaKey::Iif }));
            vec![matching(interface, Operator::EQ, string(&"0"))]
        }
        Match::SourceIsLocal => {
            let fib = Fib {
                result: FibResult::Type,
                flags: HashSet::from([FibFlag::Saddr]),
            };
            vec![matching(
                named(NamedExpression::Fib(fib)),
                Operator::EQ,
                Expression::String("local".into()),
            )]
        }
        Match::Address(side, address) => vec![address_condition(*side, address)],
        Match::Protocol(protocol) => {
            let key = named(NamedExpression::Meta(Meta {
                key: MetaKey::L4proto,
            }));
            vec![matching(
                key,
                Operator::EQ,
                Expression::String(protocol.as_nft().into()),
            )]
        }
        Match::Port(protocol, ranges) => {
            vec![matching(
                payload(protocol.as_nft(), "dport"),
                Operator::EQ,
                ports(ranges),
            )]
        }
        Match::NamedPort(family, protocol, set) => {
            let pair = vec![
                payload(family.header(), "daddr"),
                payload(protocol.as_nft(), "dport"),
            ];
            vec![matching(
                named(NamedExpression::Concat(pair)),
                Operator::EQ,
                reference(set),
            )]
        }
    }
}

fn address_condition(side: Side, address: &AddressMatch) -> Statement<'_> {
    let field = |family: Family| payload(family.header(), side.field());
    match address {
        AddressMatch::In(net) => {
            matching(field(Family::of(net.addr())), Operator::EQ, network(*net))
        }
        AddressMatch::NotIn(net) => {
            matching(field(Family::of(net.addr())), Operator::NEQ, network(*net))
        }
        AddressMatch::Set(family, set) => matching(field(*family), Operator::EQ, reference(set)),
    }
}

fn ports(ranges: &[PortRange]) -> Expression<'static> {
    let number = |port: u16| Expression::Number(u32::from(port));
    let one = |range: &PortRange| {
        if range.first() == range.last() {
            number(range.first())
        } else {
            Expression::Range(Box::new(Range {
                range: [number(range.first()), number(range.last())],
            }))
        }
    };
    match ranges {
        [range] => one(range),
        _ => named(NamedExpression::Set(
            ranges
                .iter()
                .map(|range| SetItem::Element(one(range)))
                .collect(),
        )),
    }
}

fn verdict(verdict: &Verdict) -> Vec<Statement<'_>> {
    let target = |chain: &'_ Ident| JumpTarget {
        target: chain.as_str().to_owned().into(),
    };
    match verdict {
        Verdict::Accept => vec![Statement::Accept(None)],
        Verdict::Log(point, log) => log_statements(*point, *log),
        Verdict::CountAndDrop(counter) => vec![
            Statement::Counter(Counter::Named(counter.as_str().into())),
            Statement::Drop(None),
        ],
        Verdict::Jump(chain) => vec![Statement::Jump(target(chain))],
        Verdict::Goto(chain) => vec![Statement::Goto(target(chain))],
        Verdict::AddressMap(family, side, map) => vec![Statement::VerdictMap(stmt::VerdictMap {
            key: payload(family.header(), side.field()),
            data: reference(map),
        })],
    }
}

fn log_statements(point: DropPoint, log: DropLog) -> Vec<Statement<'static>> {
    let limit = Limit {
        rate: log.rate,
        per: Some("second".into()),
        burst: Some(log.burst),
        rate_unit: None,
        burst_unit: None,
        inv: None,
    };
    let log = Log {
        prefix: Some(point.to_string().into()),
        snaplen: Some(log.snaplen),
        ..Log::new(Some(log.group.into()))
    };
    vec![Statement::Limit(limit), Statement::Log(Some(log))]
}

fn matching<'a>(left: Expression<'a>, op: Operator, right: Expression<'a>) -> Statement<'a> {
    Statement::Match(stmt::Match { left, right, op })
}

fn named(expression: NamedExpression<'_>) -> Expression<'_> {
    Expression::Named(expression)
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn reference(set: &Ident) -> Expression<'static> {
    Expression::String(format!("@{set}").into())
}

fn string(text: &impl ToString) -> Expression<'static> {
    Expression::String(text.to_string().into())
}

fn network(network: IpNet) -> Expression<'static> {
    if network.prefix_len() == network.max_prefix_len() {
        return string(&network.addr());
    }
    named(NamedExpression::Prefix(Prefix {
        addr: Box::new(string(&network.network())),
        len: u32::from(network.prefix_len()),
    }))
}
