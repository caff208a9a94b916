//! The libnftables JSON of a [`Ruleset`], as `nft -j -f` reads it.
//!
//! The `nftables` crate's types are the encoder. They know no map from addresses to verdicts, so that one object is
//! written by hand.

mod statement;

use std::borrow::Cow;
use std::collections::HashSet;

use nftables::expr::{Expression, NamedExpression, Range};
use nftables::schema::{self, NfCmd, NfListObject, SetFlag, SetType, SetTypeValue};
use nftables::stmt::Statement;
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};
use serde_json::{Value, json};

use super::{Chain, Element, Family, Hook, Ident, Rule, Ruleset, Set, SetKey, TABLE, VerdictMap};
use statement::{condition, named, network, string, verdict};

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
        Hook::Arrival => NfHook::Prerouting,
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
