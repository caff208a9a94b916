//! By hand; the property tests hold it against the evaluator.

use policy_compiler::model::Direction;
use policy_compiler::ruleset::{
    AddressMatch, Chain, Family, Hook, Match, Rule, Side, Verdict, VerdictMap,
};

use super::*;

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn ident(name: &str) -> Ident {
    Ident::fixed(name)
}

fn chain(verdict: Verdict) -> Chain {
    Chain {
        hook: None,
        rules: vec![Rule::new(vec![], verdict)],
    }
}

/// 10.0.0.1 and 10.0.0.2 are subject to policy `p`, whose one rule asks a set of ranges; 10.0.0.3 to policy `q`.
fn table() -> Ruleset {
    let mut table = Ruleset::default();
    let asks = Match::Address(
        Side::Source,
        AddressMatch::Set(Family::V4, ident("blocks-x-4")),
    );
    let part = Chain {
        hook: None,
        rules: vec![Rule::new(vec![asks], Verdict::Accept)],
    };
    for (name, chain) in [
        (
            "forwarded-ingress",
            Chain {
                hook: Some(Hook::Forward(Direction::Ingress)),
                rules: vec![],
            },
        ),
        (
            "pod/a/1/ingress",
            chain(Verdict::Jump(ident("policy/a/p/ingress"))),
        ),
        (
            "pod/a/2/ingress",
            chain(Verdict::Jump(ident("policy/a/p/ingress"))),
        ),
        (
            "pod/a/3/ingress",
            chain(Verdict::Jump(ident("policy/a/q/ingress"))),
        ),
        (
            "policy/a/p/ingress",
            chain(Verdict::Jump(ident("policy/a/p/ingress/0/peers"))),
        ),
        ("policy/a/p/ingress/0/peers", part),
        ("policy/a/q/ingress", chain(Verdict::Accept)),
    ] {
        table.chains.insert(ident(name), chain);
    }
    let elements = (1..4)
        .map(|last| (ip(last), ident(&format!("pod/a/{last}/ingress"))))
        .collect();
    let family = Family::V4;
    table
        .maps
        .insert(ident("ingress4"), VerdictMap { family, elements });
    table
}

fn of(operations: Vec<Operation>) -> [Vec<u8>; 3] {
    let concerned = Concerned::of(&Transaction::new(operations), &table());
    assert!(!concerned.everything);
    [concerned.narrowed, concerned.widened, concerned.gone].map(|addresses| {
        let last = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => 0,
        };
        addresses.into_iter().map(last).collect()
    })
}

#[test]
fn who_is_concerned_follows_from_the_commands() {
    let element = |element: Element| [element].into_iter().collect::<Elements>();
    let one = |last| element(Element::Address(ip(last)));
    let entries = |last| vec![(ip(last), ident("pod/a/9/ingress"))];
    let rows: Vec<(Vec<Operation>, [&[u8]; 3])> = vec![
        (vec![], [&[], &[], &[]]),
        (
            vec![Operation::AddMapElements(ident("ingress4"), entries(9))],
            [&[9], &[], &[]],
        ),
        (
            vec![Operation::DeleteMapElements(ident("ingress4"), entries(9))],
            [&[], &[9], &[]],
        ),
        (
            vec![Operation::FlushChain(ident("pod/a/2/ingress"))],
            [&[2], &[2], &[]],
        ),
        (
            vec![Operation::FlushChain(ident("policy/a/p/ingress/0/peers"))],
            [&[1, 2], &[1, 2], &[]],
        ),
        (
            vec![Operation::AddRule(
                ident("policy/a/q/ingress"),
                Rule::new(vec![], Verdict::Accept),
            )],
            [&[3], &[3], &[]],
        ),
        // What is the same for all is nobody's.
        (
            vec![Operation::FlushChain(ident("forwarded-ingress"))],
            [&[], &[], &[]],
        ),
        (
            vec![Operation::DeleteElements(ident("peers-y-4"), one(7))],
            [&[7], &[], &[]],
        ),
        (
            vec![Operation::AddElements(
                ident("ingress-tcp-http-4"),
                element(Element::AddressPort(ip(7), 80)),
            )],
            [&[], &[7], &[]],
        ),
        (
            vec![Operation::AddElements(
                ident("blocks-x-4"),
                element(Element::Range(ip(64), ip(127))),
            )],
            [&[1, 2], &[1, 2], &[]],
        ),
        (
            vec![Operation::FlushSet(ident("blocks-x-4"))],
            [&[1, 2], &[1, 2], &[]],
        ),
        (
            vec![Operation::DeleteElements(ident("programmed4"), one(8))],
            [&[], &[], &[8]],
        ),
        (
            vec![Operation::AddElements(ident("programmed4"), one(8))],
            [&[], &[], &[]],
        ),
    ];
    for (operations, expected) in rows {
        let text = format!("{operations:?}");
        assert_eq!(of(operations), expected.map(<[u8]>::to_vec), "{text}");
    }
}

#[test]
fn a_table_written_whole_concerns_everybody() {
    let table = table();
    let whole = Concerned::of(&Transaction::replace(&table), &table);
    assert!(whole.everything && !whole.is_empty());
    let mut none = Concerned::default();
    assert!(none.is_empty());
    none.merge(whole);
    assert!(none.everything);
}
