//! What of the table is no pod's and no policy's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::world::World;
use crate::compile::{PodPlaces, Protection, add_base_chains, programmed_set};
use crate::model::{Pod, PodAddresses};
use crate::ruleset::{Draft, DropLog, Element, Family, Ident, Ruleset};

/// How it is to be.
#[derive(Debug, Default)]
pub(super) struct Base {
    /// How drops are logged.
    log: Option<DropLog>,
    protection: Protection,
    /// Whether it may be otherwise in the table.
    is_stale: bool,
}

impl Base {
    /// Nothing until a pod is isolated.
    pub(super) fn new(log: Option<DropLog>) -> Self {
        Self {
            log,
            ..Self::default()
        }
    }

    pub(super) fn log(&self) -> Option<&DropLog> {
        self.log.as_ref()
    }

    pub(super) fn set_log(&mut self, log: Option<DropLog>) {
        self.log = log;
        self.is_stale = true;
    }

    pub(super) fn protect(&mut self, protection: Protection) {
        if self.protection != protection {
            self.protection = protection;
            self.is_stale = true;
        }
    }

    /// Brings the table in line with what was said since the last call.
    pub(super) fn refresh(&mut self, world: &World, draft: &mut Draft) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut maps = draft.ruleset().maps.values();
        let is_entered = maps.any(|map| !map.elements.is_empty());
        let new = self.objects(is_entered);
        remove_others(&new, draft);
        for (name, map) in new.maps {
            if !draft.ruleset().maps.contains_key(&name) {
                draft.add_map(&name, map);
            }
        }
        let is_filled = new.sets.keys().all(|name| has_set(draft, name));
        for (name, set) in new.sets {
            if !has_set(draft, &name) {
                draft.add_set(&name, set);
            }
        }
        if !is_filled {
            let addresses = world.local_pods().map(Pod::network_addresses);
            for address in addresses.flat_map(PodAddresses::iter) {
                program(address, true, draft);
            }
        }
        for (name, chain) in new.chains {
            draft.put_chain(&name, chain);
        }
    }

    /// Makes the base chains unless they are there, for the first entry of the maps they lead to.
    pub(super) fn enter(&self, draft: &mut Draft) {
        if !draft.ruleset().maps.is_empty() {
            return;
        }
        let mut base = Ruleset::default();
        add_base_chains(&mut base, &self.protection, self.log());
        base.maps
            .into_iter()
            .for_each(|(name, map)| draft.add_map(&name, map));
        base.chains
            .into_iter()
            .for_each(|(name, chain)| draft.put_chain(&name, chain));
    }

    /// Without isolated pods there is no base chain either: packets are not looked at, unless they may be those of pods
    /// that are not known yet.
    pub(super) fn drop_unused(&self, draft: &mut Draft) {
        let maps = &draft.ruleset().maps;
        let is_entered = maps.values().any(|map| !map.elements.is_empty());
        if !maps.is_empty() && !is_entered && self.protection.closed.is_none() {
            remove_others(&self.objects(false), draft);
        }
    }

    fn objects(&self, is_entered: bool) -> Ruleset {
        objects(&self.protection, self.log(), is_entered)
    }
}

fn objects(protection: &Protection, log: Option<&DropLog>, is_entered: bool) -> Ruleset {
    let mut objects = Ruleset::default();
    protection.add_to(&mut objects, log);
    if is_entered || protection.closed.is_some() {
        add_base_chains(&mut objects, protection, log);
    }
    objects
}

/// Removes what is not among `wanted` of all that can be.
fn remove_others(wanted: &Ruleset, draft: &mut Draft) {
    let everything = Protection {
        closed: Some(PodPlaces::default()),
        revocable: true,
        source_guard: true,
        uplinks: BTreeSet::new(),
    };
    let all = objects(&everything, None, true);
    let unwanted = |name: &&Ident| !wanted.chains.contains_key(*name);
    let chains = all.chains.keys().filter(unwanted);
    chains.for_each(|name| draft.remove_chain(name));
    let maps = all.maps.keys();
    maps.filter(|name| !wanted.maps.contains_key(*name))
        .for_each(|name| draft.remove_map(name));
    let sets = all.sets.keys();
    sets.filter(|name| !wanted.sets.contains_key(*name))
        .for_each(|name| draft.remove_set(name));
}

fn has_set(draft: &Draft, name: &Ident) -> bool {
    draft.ruleset().sets.contains_key(name)
}

/// Puts an address among those of programmed pods, or takes it out; where pods are not closed there is no such set.
pub(super) fn program(address: IpAddr, is_local: bool, draft: &mut Draft) {
    let (set, element) = (
        programmed_set(Family::of(address)),
        Element::Address(address),
    );
    if is_local {
        draft.insert_element(&set, element);
    } else {
        draft.remove_element(&set, &element);
    }
}
