//! The chains of one pod: its policies in turn, then the end of the road.

use std::net::IpAddr;

use ipnet::IpNet;

use super::drop_rules::drop_rules;
use super::policy_chain_name;
use crate::model::{Direction, ObjectKey, Pod, Policy};
use crate::ruleset::{
    AddressMatch, Chain, DropLog, DropOf, DropPoint, Ident, Match, PodId, Rule, Side, Verdict,
};

/// `pod/namespace/name/ingress`: the chain of a pod, and the counter of what it drops.
pub fn pod_chain_name(pod: &ObjectKey, direction: Direction) -> Ident {
    Ident::from_parts(&[
        "pod",
        pod.namespace.as_str(),
        pod.name.as_str(),
        direction.as_str(),
    ])
}

/// The chain that judges what is sent to (or by) a pod. `policies` are those that select the pod; the ones that isolate
/// in `direction` take part. What none of them allows is dropped (semantics rule A4).
pub(crate) fn pod_chain(
    pod: &Pod,
    addresses: &[IpAddr],
    direction: Direction,
    policies: &[&Policy],
    log: Option<&DropLog>,
) -> Chain {
    let mut rules: Vec<Rule> = addresses
        .iter()
        .flat_map(|address| to_itself(*address, direction))
        .collect();
    for policy in policies
        .iter()
        .filter(|policy| policy.rules(direction).is_some())
    {
        rules.push(Rule::new(
            vec![],
            Verdict::Jump(policy_chain_name(&policy.key, direction)),
        ));
    }
    let of = DropOf::Pod(PodId::of(&pod.key, &pod.uid));
    rules.extend(drop_rules(
        &pod_chain_name(&pod.key, direction),
        DropPoint { direction, of },
        log,
        &format!("no policy allows this {direction} of {}", pod.key),
    ));
    Chain { hook: None, rules }
}

/// `contested/10.0.0.1/ingress`; an IPv6 address has its colons, which nft's names cannot hold, replaced.
pub(crate) fn contested_chain_name(address: IpAddr, direction: Direction) -> Ident {
    let address = address.to_string().replace(':', "-");
    Ident::from_parts(&["contested", &address, direction.as_str()])
}

/// The chain of an address that several live pods claim, one of them isolated: nothing passes, since whatever is
/// allowed might be allowed to the wrong one (semantics rule F9).
pub(crate) fn contested_chain(
    address: IpAddr,
    direction: Direction,
    log: Option<&DropLog>,
) -> Chain {
    let of = DropOf::Contested;
    let mut rules = to_itself(address, direction);
    rules.extend(drop_rules(
        &contested_chain_name(address, direction),
        DropPoint { direction, of },
        log,
        "several live pods claim this address",
    ));
    Chain { hook: None, rules }
}

/// A pod always reaches itself, through a service too (semantics rules G6 and G7, decision L2). What it sends to itself
/// directly never leaves it, so a packet that bears its address at both ends is believed only where a service can have
/// sent it back: with its destination translated, or re-injected by IPVS, without an input interface. Any other was
/// forged.
fn to_itself(address: IpAddr, direction: Direction) -> Vec<Rule> {
    let own = |side| Match::Address(side, AddressMatch::In(IpNet::from(address)));
    match direction {
        Direction::Egress => {
            vec![Rule::new(vec![own(Side::Destination)], Verdict::Accept)]
        }
        Direction::Ingress => [Match::Translated, Match::Reinjected]
            .map(|sent_back| Rule::new(vec![own(Side::Source), sent_back], Verdict::Accept))
            .into(),
    }
}
