//! Chains and rules, compared.

use policy_compiler::model::PortRange;
use policy_compiler::ruleset::{Chain, Hook, Ident, Rule, Ruleset, Verdict};

use super::super::chain::{ACCEPT, FILTER, hook_number};
use super::super::rule::{Lists, port_lists, write_expressions};
use super::super::same::same_attributes;
use super::super::set::{HAS_INTERVALS, IS_ANONYMOUS, IS_CONSTANT, PORT};
use super::Image;
use super::compare::Comparison;
use super::differences::quoted;
use super::elements::ports;
use super::found::{FoundChain, FoundHook, FoundRule};
use crate::netlink::{Attributes, written};

impl Comparison<'_> {
    pub(super) fn chains(&mut self, wanted: &Ruleset) {
        let image = self.image;
        for (name, chain) in &wanted.chains {
            if let Some(found) = image.chains.get(name.as_str()) {
                self.chain(name, chain, found);
            } else {
                self.differences.push(format!("chain {name}: is missing"));
                self.wanted.chains.insert(name.clone(), chain.clone());
            }
        }
        for (name, found) in &image.chains {
            if wanted.chains.contains_key(name.as_str()) {
                continue;
            }
            self.differences
                .push(format!("chain {name}: should not be there"));
            self.must_replace |= found.is_special;
            let empty = Chain::default();
            self.found.chains.insert(Ident::fixed(name), empty);
        }
    }

    fn chain(&mut self, name: &Ident, wanted: &Chain, found: &FoundChain) {
        if wanted.hook.map(expected) != found.hook {
            let wanted = wanted.hook.map(|hook| hook.to_string());
            let wanted = wanted.unwrap_or_else(|| "no base chain".to_owned());
            let line = match &found.hook {
                Some(hook) => format!(
                    "is of type {}, at hook {} with priority {} and policy {}; it should be `{wanted}`",
                    hook.kind, hook.number, hook.priority, hook.policy
                ),
                None => format!("is no base chain; it should be `{wanted}`"),
            };
            self.beyond_repair(format!("chain {name}: {line}"));
        }
        if found.is_special || found.has_userdata {
            self.beyond_repair(format!("chain {name}: has flags or a comment"));
        }
        if !self.rules(name, &wanted.rules, &found.rules) {
            // Any rules but those that are wanted.
            let other = match wanted.rules[..] {
                [] => vec![Rule::new(vec![], Verdict::Accept)],
                _ => vec![],
            };
            let hook = wanted.hook;
            let chain = Chain { hook, rules: other };
            self.found.chains.insert(name.clone(), chain);
            self.wanted.chains.insert(name.clone(), wanted.clone());
        }
    }

    /// Whether these are the rules; tells of those that differ, between as many as are the same at both ends.
    fn rules(&mut self, chain: &Ident, wanted: &[Rule], found: &[FoundRule]) -> bool {
        let image = self.image;
        let is_same =
            |(wanted, found): &(&Rule, &FoundRule)| found.likeness(wanted, image) == Likeness::Same;
        let head = wanted.iter().zip(found).take_while(is_same).count();
        let (wanted, found) = (&wanted[head..], &found[head..]);
        if wanted.is_empty() && found.is_empty() {
            return true;
        }
        let tail = wanted.iter().rev().zip(found.iter().rev());
        let tail = tail.take_while(is_same).count();
        let wanted = &wanted[..wanted.len() - tail];
        let found = &found[..found.len() - tail];
        for number in 0..wanted.len().max(found.len()) {
            let place = head + number + 1;
            let line = match (wanted.get(number), found.get(number)) {
                (Some(wanted), None) => format!("rule {place} is missing: {}", quoted(wanted)),
                (None, Some(found)) => {
                    format!("rule {place} (handle {}) should not be there", found.handle)
                }
                (Some(wanted), Some(found)) => {
                    let handle = found.handle;
                    match found.likeness(wanted, image) {
                        Likeness::Same => continue,
                        Likeness::OtherComment => {
                            format!(
                                "rule {place} (handle {handle}) has another comment than {}",
                                quoted(wanted)
                            )
                        }
                        Likeness::Other => {
                            format!("rule {place} (handle {handle}) is not {}", quoted(wanted))
                        }
                    }
                }
                (None, None) => continue,
            };
            self.differences.push(format!("chain {chain}: {line}"));
        }
        false
    }
}

fn expected(hook: Hook) -> FoundHook {
    FoundHook {
        kind: FILTER.to_owned(),
        number: hook_number(hook),
        priority: hook.priority(),
        policy: ACCEPT,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Same,
    OtherComment,
    Other,
}

impl FoundRule {
    fn likeness(&self, wanted: &Rule, image: &Image) -> Likeness {
        let names = self.anonymous_sets(image);
        let mut lists = port_lists(wanted);
        let mut are_same = true;
        for name in &names {
            are_same &= lists
                .next()
                .is_some_and(|(_, ranges)| image.is_list(name, ranges));
        }
        if !are_same || lists.next().is_some() {
            return Likeness::Other;
        }
        let expressions = written(|w| write_expressions(w, wanted, Lists::Named(&names)));
        if !expressions.is_some_and(|ours| same_attributes(&ours, &self.expressions)) {
            return Likeness::Other;
        }
        let comment = wanted
            .comment
            .as_ref()
            .map(|comment| comment.as_str().as_bytes());
        if comment == self.comment.as_deref() {
            Likeness::Same
        } else {
            Likeness::OtherComment
        }
    }

    /// The names of the sets without a name of their own that the rule looks things up in, in order.
    fn anonymous_sets(&self, image: &Image) -> Vec<&str> {
        Attributes(&self.expressions)
            .filter_map(|item| {
                let (mut is_lookup, mut set) = (false, None);
                for part in Attributes(item.value) {
                    match part.kind {
                        1 => is_lookup = part.text() == Some("lookup"),
                        2 => {
                            let name = Attributes(part.value).find(|part| part.kind == 1)?;
                            set = name.text();
                        }
                        _ => {}
                    }
                }
                set.filter(|_| is_lookup)
            })
            .filter(|name| {
                image
                    .sets
                    .get(*name)
                    .is_some_and(super::found::FoundSet::is_anonymous)
            })
            .collect()
    }
}

impl Image {
    /// Whether a set without a name of its own is this list of ports.
    fn is_list(&self, name: &str, wanted: &[PortRange]) -> bool {
        let Some(set) = self.sets.get(name) else {
            return false;
        };
        let has_intervals = set.flags & HAS_INTERVALS != 0;
        if set.flags & !HAS_INTERVALS != IS_ANONYMOUS | IS_CONSTANT || set.key_type != PORT {
            return false;
        }
        let wanted = wanted.iter().map(|range| (range.first(), range.last()));
        ports(&set.elements, has_intervals).is_some_and(|found| found.into_iter().eq(wanted))
    }
}
