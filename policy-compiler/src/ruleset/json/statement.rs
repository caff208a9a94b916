//! Conditions and verdicts as libnftables JSON statements.

use std::collections::HashSet;

use ipnet::IpNet;
use nftables::expr::{
    CT, Expression, Fib, FibFlag, FibResult, Meta, MetaKey, NamedExpression, Payload, PayloadField,
    Prefix, Range, SetItem,
};
use nftables::stmt::{
    self, Counter, JumpTarget, Limit, Log, Mangle, Operator, Reject, RejectType, Statement,
};

use crate::model::PortRange;
use crate::ruleset::{
    AddressMatch, CUT_LABEL, DropLog, DropPoint, Family, Ident, Match, Side, Verdict,
};

/// What must hold of a packet.
pub(super) fn condition(condition: &Match) -> Vec<Statement<'_>> {
    match condition {
        Match::Tracked => {
            let states = ["established", "related"]
                .map(|s| Expression::String(s.into()))
                .to_vec();
            vec![matching(
                ct("state"),
                Operator::IN,
                Expression::List(states),
            )]
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
        Match::Translated => vec![matching(ct("status"), Operator::IN, string(&"dnat"))],
        Match::Reinjected => {
            vec![matching(meta(MetaKey::Iif), Operator::EQ, string(&"0"))]
        }
        Match::SourceIsLocal => {
            vec![matching(
                fib(FibResult::Type, HashSet::from([FibFlag::Saddr])),
                Operator::EQ,
                Expression::String("local".into()),
            )]
        }
        Match::Cut => vec![matching(
            ct("label"),
            Operator::IN,
            Expression::Number(CUT_LABEL.into()),
        )],
        Match::NoWayBack => {
            let flags = HashSet::from([FibFlag::Saddr, FibFlag::Iif]);
            vec![matching(
                fib(FibResult::Oif, flags),
                Operator::EQ,
                Expression::Boolean(false),
            )]
        }
        Match::InterfaceKind(kind) => {
            vec![matching(
                meta(MetaKey::Iifkind),
                Operator::EQ,
                string(&kind.as_str()),
            )]
        }
        Match::Interface(side, pattern) => {
            let key = match side {
                Side::Source => MetaKey::Iifname,
                Side::Destination => MetaKey::Oifname,
            };
            vec![matching(meta(key), Operator::EQ, string(pattern))]
        }
        Match::Reset => vec![matching(
            payload("tcp", "flags"),
            Operator::IN,
            string(&"rst"),
        )],
        Match::Address(side, address) => vec![address_condition(*side, address)],
        Match::Protocol(protocol) => {
            vec![matching(
                meta(MetaKey::L4proto),
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
        AddressMatch::NotInSet(family, set) => {
            matching(field(*family), Operator::NEQ, reference(set))
        }
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

/// What is done with a packet.
pub(super) fn verdict(verdict: &Verdict) -> Vec<Statement<'_>> {
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
        Verdict::CountAndReset(counter) => vec![
            Statement::Counter(Counter::Named(counter.as_str().into())),
            Statement::Reject(Some(Reject::new(Some(RejectType::TCPReset), None))),
        ],
        Verdict::SetCutLabel => vec![Statement::Mangle(Mangle {
            key: ct("label"),
            value: Expression::Number(CUT_LABEL.into()),
        })],
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

pub(super) fn named(expression: NamedExpression<'_>) -> Expression<'_> {
    Expression::Named(expression)
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    };
    named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn fib(result: FibResult, flags: HashSet<FibFlag>) -> Expression<'static> {
    named(NamedExpression::Fib(Fib { result, flags }))
}

fn meta(key: MetaKey) -> Expression<'static> {
    named(NamedExpression::Meta(Meta { key }))
}

fn ct(key: &'static str) -> Expression<'static> {
    named(NamedExpression::CT(CT {
        key: key.into(),
        family: None,
        dir: None,
    }))
}

fn reference(set: &Ident) -> Expression<'static> {
    Expression::String(format!("@{set}").into())
}

pub(super) fn string(text: &impl ToString) -> Expression<'static> {
    Expression::String(text.to_string().into())
}

pub(super) fn network(network: IpNet) -> Expression<'static> {
    if network.prefix_len() == network.max_prefix_len() {
        return string(&network.addr());
    }
    named(NamedExpression::Prefix(Prefix {
        addr: Box::new(string(&network.network())),
        len: u32::from(network.prefix_len()),
    }))
}
