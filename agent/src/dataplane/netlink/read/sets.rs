//! Sets and maps, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy_compiler::ruleset::{
    Comment, Elements, Family, Ident, Operation, Ruleset, Set, SetKey, VerdictMap,
};

use super::super::set::{IS_MAP, VERDICTS, address_type, set_type};
use super::compare::Comparison;
use super::differences::listed;
use super::elements::{contents, entries};
use super::found::FoundSet;

impl Comparison<'_> {
    pub(super) fn sets(&mut self, wanted: &Ruleset) {
        let image = self.image;
        for (name, set) in &wanted.sets {
            if let Some(found) = image.sets.get(name.as_str()) {
                self.set(name, set, found);
            } else {
                self.differences.push(format!("set {name}: is missing"));
                self.wanted.sets.insert(name.clone(), set.clone());
            }
        }
        for (name, found) in &image.sets {
            let is_wanted = wanted.sets.contains_key(name.as_str());
            if !is_wanted && !found.is_map() && !found.is_anonymous() {
                self.differences
                    .push(format!("set {name}: should not be there"));
                // It goes with all it holds.
                let set = Set {
                    key: SetKey::Address(Family::V4),
                    comment: Comment::new(""),
                    elements: Elements::default(),
                };
                self.found.sets.insert(Ident::fixed(name), set);
            }
        }
    }

    fn set(&mut self, name: &Ident, wanted: &Set, found: &FoundSet) {
        let is_such = (found.flags, found.key_type, found.key_length) == set_type(wanted.key)
            && !found.is_special;
        if !is_such {
            return self.beyond_repair(format!("set {name}: is of another type, or has options"));
        }
        if found.comment.as_deref() != Some(wanted.comment.as_str().as_bytes()) {
            return self.beyond_repair(format!(
                "set {name}: has another comment than {:?}",
                wanted.comment
            ));
        }
        let Some(contents) = contents(&found.elements, wanted.key) else {
            return self.beyond_repair(format!("set {name}: holds what it cannot"));
        };
        let too_much: Elements = contents
            .plain
            .iter()
            .filter(|element| !wanted.elements.contains(element))
            .copied()
            .collect();
        if too_much.is_empty()
            && contents.odd.is_empty()
            && contents.plain.len() == wanted.elements.len()
        {
            return;
        }
        let plain: BTreeSet<_> = contents.plain.iter().copied().collect();
        let odd: Elements = contents.odd.into_iter().collect();
        let missing: Elements = wanted.elements.difference(&plain).copied().collect();
        let absent: Vec<_> = missing.difference(&odd).collect();
        let lines = [
            listed(absent.into_iter(), "is missing", "are missing"),
            listed(too_much.iter(), "is too much", "are too much"),
            listed(
                odd.iter(),
                "has a timeout or comment",
                "have timeouts or comments",
            ),
        ];
        self.tell("set", name, lines);
        if !odd.is_empty() {
            self.more.push(Operation::DeleteElements(name.clone(), odd));
        }
        let part = |elements| Set {
            key: wanted.key,
            comment: wanted.comment.clone(),
            elements,
        };
        self.found.sets.insert(name.clone(), part(too_much));
        self.wanted.sets.insert(name.clone(), part(missing));
    }

    pub(super) fn maps(&mut self, wanted: &Ruleset) {
        let image = self.image;
        for (name, map) in &wanted.maps {
            if let Some(found) = image.sets.get(name.as_str()) {
                self.map(name, map, found);
            } else {
                self.differences.push(format!("map {name}: is missing"));
                self.wanted.maps.insert(name.clone(), map.clone());
            }
        }
        for (name, found) in &image.sets {
            let is_wanted = wanted.maps.contains_key(name.as_str());
            if is_wanted || !found.is_map() || found.is_anonymous() {
                continue;
            }
            let family = Family::BOTH
                .into_iter()
                .find(|family| found.is_verdict_map(*family));
            // The chains it goes to may have to go, which they cannot before its entries.
            let known = family.zip(entries(&found.elements));
            let known = known.filter(|(_, e)| e.iter().all(|(_, chain)| chain.is_some()));
            let line = format!("map {name}: should not be there");
            let Some((family, entries)) = known else {
                self.beyond_repair(line);
                continue;
            };
            self.differences.push(line);
            let entries = entries.into_iter();
            let elements = entries.filter_map(|(address, chain)| Some((address, chain?.clone())));
            let elements = elements.collect();
            let map = VerdictMap { family, elements };
            self.found.maps.insert(Ident::fixed(name), map);
        }
    }

    fn map(&mut self, name: &Ident, wanted: &VerdictMap, found: &FoundSet) {
        let entries = entries(&found.elements);
        let Some(entries) = entries.filter(|_| found.is_verdict_map(wanted.family)) else {
            return self.beyond_repair(format!("map {name}: is of another type, or has options"));
        };
        let (mut present, mut too_much) = (0, BTreeMap::new());
        let (mut elsewhere, mut odd) = (BTreeSet::new(), Vec::new());
        for (address, chain) in entries {
            let goal = wanted.elements.get(&address);
            if goal.is_some() {
                present += 1;
            }
            match chain {
                Some(chain) if Some(chain) == goal => continue,
                Some(chain) => {
                    too_much.insert(address, chain.clone());
                }
                // Only its key counts when it is taken out.
                None => odd.push((address, name.clone())),
            }
            if goal.is_some() {
                elsewhere.insert(address);
            }
        }
        let is_missing = present < wanted.elements.len();
        if !is_missing && too_much.is_empty() && odd.is_empty() {
            return;
        }
        let found_keys: BTreeSet<_> = if is_missing {
            found_addresses(found)
        } else {
            BTreeSet::new()
        };
        let missing: BTreeMap<_, _> = wanted
            .elements
            .iter()
            .filter(|(address, _)| {
                elsewhere.contains(*address) || is_missing && !found_keys.contains(*address)
            })
            .map(|(address, chain)| (*address, chain.clone()))
            .collect();
        let gone: Vec<_> = missing.keys().filter(|a| !elsewhere.contains(a)).collect();
        let unknown: Vec<_> = too_much
            .keys()
            .chain(odd.iter().map(|(address, _)| address))
            .filter(|a| !elsewhere.contains(a))
            .collect();
        let lines = [
            listed(gone.into_iter(), "is missing", "are missing"),
            listed(unknown.into_iter(), "is too much", "are too much"),
            listed(elsewhere.iter(), "goes elsewhere", "go elsewhere"),
        ];
        self.tell("map", name, lines);
        if !odd.is_empty() {
            self.more
                .push(Operation::DeleteMapElements(name.clone(), odd));
        }
        let family = wanted.family;
        let part = |elements| VerdictMap { family, elements };
        self.found.maps.insert(name.clone(), part(too_much));
        self.wanted.maps.insert(name.clone(), part(missing));
    }

    fn tell(&mut self, kind: &str, name: &Ident, lines: [Option<String>; 3]) {
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        self.differences
            .push(format!("{kind} {name}: {}", lines.join("; ")));
    }
}

fn found_addresses(found: &FoundSet) -> BTreeSet<IpAddr> {
    let entries = entries(&found.elements).unwrap_or_default();
    entries.into_iter().map(|(address, _)| address).collect()
}

impl FoundSet {
    fn is_verdict_map(&self, family: Family) -> bool {
        let (kind, length) = address_type(family);
        (self.flags, self.key_type, self.key_length) == (IS_MAP, kind, length)
            && self.data_type == Some(VERDICTS)
            && !self.is_special
    }
}
