//! Applies a [`Transaction`] to a [`Ruleset`] as strictly as the kernel: what refers to something that is not there,
//! removes what is still referred to, or adds what is there already, is refused.

use std::collections::BTreeMap;

use policy_compiler::ruleset::{
    Chain, Elements, Ident, Operation, Rule, Ruleset, Set, Transaction, Verdict, VerdictMap,
};

/// The table in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What is in it but for counters.
    pub ruleset: Ruleset,
    /// The named counters, and the packets they have counted.
    pub counters: BTreeMap<Ident, u64>,
}

impl Table {
    /// A table just loaded.
    pub fn of(ruleset: &Ruleset) -> Self {
        let counters = ruleset.counters().into_iter().cloned();
        Self {
            ruleset: ruleset.clone(),
            counters: counters.map(|name| (name, 0)).collect(),
        }
    }
}

/// Commits `transaction`, or says which command is refused and why. On refusal the table is left half done; the caller
/// is about to fail anyway.
pub fn commit(table: &mut Option<Table>, transaction: &Transaction) -> Result<(), String> {
    for operation in transaction.operations() {
        apply(table, operation).map_err(|why| format!("`{operation}`: {why}"))?;
    }
    Ok(())
}

fn apply(table: &mut Option<Table>, operation: &Operation) -> Result<(), &'static str> {
    match operation {
        Operation::AddTable => {
            table.get_or_insert_default();
            Ok(())
        }
        Operation::DeleteTable => table.take().map(|_| ()).ok_or("no table"),
        Operation::Load(ruleset) => {
            let present = table.get_or_insert_default();
            if *present != Table::default() {
                return Err("the table is not empty");
            }
            *present = Table::of(ruleset);
            Ok(())
        }
        _ => {
            let table = table.as_mut().ok_or("no table")?;
            change_counter(table, operation)
                .or_else(|| change_set(&mut table.ruleset, operation))
                .or_else(|| change_map(&mut table.ruleset, operation))
                .or_else(|| change_chain(table, operation))
                .unwrap_or(Err("not a change of a counter, set, map or chain"))
        }
    }
}

type Answer = Option<Result<(), &'static str>>;

/// `None` if the operation is not about a counter.
fn change_counter(table: &mut Table, operation: &Operation) -> Answer {
    Some(match operation {
        Operation::AddCounter(name) => {
            let present = table.counters.insert(name.clone(), 0).is_some();
            refuse_if(present, "the counter is there")
        }
        Operation::DeleteCounter(name) => {
            let used = table.ruleset.counters().contains(name);
            let removed = table.counters.remove(name).map(|_| ()).ok_or("no counter");
            refuse_if(used, "the counter is in use").and(removed)
        }
        _ => return None,
    })
}

/// `None` if the operation is not about a set.
fn change_set(table: &mut Ruleset, operation: &Operation) -> Answer {
    let sets = &mut table.sets;
    Some(match operation {
        Operation::AddSet(name, key, comment) => {
            let (key, comment, elements) = (*key, comment.clone(), Elements::default());
            let set = Set {
                key,
                comment,
                elements,
            };
            let present = sets.insert(name.clone(), set).is_some();
            refuse_if(present, "the set is there")
        }
        Operation::FlushSet(name) => sets
            .get_mut(name)
            .map(|set| set.elements.clear())
            .ok_or("no set"),
        Operation::DeleteElements(name, elements) => {
            sets.get_mut(name).ok_or("no set").and_then(|set| {
                let missing = !elements.iter().all(|element| set.elements.remove(element));
                refuse_if(missing, "no such element")
            })
        }
        Operation::AddElements(name, elements) => {
            sets.get_mut(name).ok_or("no set").and_then(|set| {
                let present = !elements.iter().all(|e| set.elements.insert(*e));
                refuse_if(present, "the element is there")
            })
        }
        Operation::DeleteSet(name) => {
            let mut chains = table.chains.values();
            let used = chains.any(|chain| chain.sets().any(|set| set == name));
            let removed = sets.remove(name).map(|_| ()).ok_or("no set");
            refuse_if(used, "the set is in use").and(removed)
        }
        _ => return None,
    })
}

/// `None` if the operation is not about a map.
fn change_map(table: &mut Ruleset, operation: &Operation) -> Answer {
    let (maps, chains) = (&mut table.maps, &table.chains);
    Some(match operation {
        Operation::AddMap(name, family) => {
            let (family, elements) = (*family, [].into());
            let map = VerdictMap { family, elements };
            let present = maps.insert(name.clone(), map).is_some();
            refuse_if(present, "the map is there")
        }
        Operation::DeleteMapElements(name, entries) => {
            maps.get_mut(name).ok_or("no map").and_then(|map| {
                let mut delete = |(address, chain): &(_, Ident)| {
                    map.elements.remove(address).as_ref() == Some(chain)
                };
                refuse_if(!entries.iter().all(&mut delete), "no such entry")
            })
        }
        Operation::AddMapElements(name, entries) => {
            let known = entries.iter().all(|(_, chain)| chains.contains_key(chain));
            refuse_if(!known, "no chain to go to")
                .and_then(|()| maps.get_mut(name).ok_or("no map"))
                .and_then(|map| {
                    let mut add = |(address, chain): &(_, Ident)| {
                        map.elements.insert(*address, chain.clone()).is_none()
                    };
                    refuse_if(!entries.iter().all(&mut add), "the entry is there")
                })
        }
        Operation::DeleteMap(name) => {
            let looks_up = |rule: &Rule| matches!(&rule.verdict, Verdict::AddressMap(_, _, map) if map == name);
            let used = chains
                .values()
                .any(|chain| chain.rules.iter().any(looks_up));
            let removed = maps.remove(name).map(|_| ()).ok_or("no map");
            refuse_if(used, "the map is in use").and(removed)
        }
        _ => return None,
    })
}

/// `None` if the operation is not about a chain.
fn change_chain(table: &mut Table, operation: &Operation) -> Answer {
    let chains = &mut table.ruleset.chains;
    Some(match operation {
        Operation::AddChain(name, hook) => {
            let (hook, rules) = (*hook, Vec::new());
            let present = chains.insert(name.clone(), Chain { hook, rules }).is_some();
            refuse_if(present, "the chain is there")
        }
        Operation::FlushChain(name) => chains
            .get_mut(name)
            .map(|chain| chain.rules.clear())
            .ok_or("no chain"),
        Operation::AddRule(name, rule) => add_rule(table, name, rule),
        Operation::DeleteChain(name) => delete_chain(&mut table.ruleset, name),
        _ => return None,
    })
}

fn refuse_if(fault: bool, why: &'static str) -> Result<(), &'static str> {
    if fault { Err(why) } else { Ok(()) }
}

fn add_rule(table: &mut Table, name: &Ident, rule: &Rule) -> Result<(), &'static str> {
    let Table { ruleset, counters } = table;
    let alone = Chain {
        hook: None,
        rules: vec![rule.clone()],
    };
    if !alone
        .targets()
        .all(|target| ruleset.chains.contains_key(target))
    {
        return Err("no chain to go to");
    }
    if !alone.counters().all(|name| counters.contains_key(name)) {
        return Err("no counter");
    }
    if !alone.sets().all(|set| ruleset.sets.contains_key(set)) {
        return Err("no set");
    }
    if matches!(&rule.verdict, Verdict::AddressMap(_, _, map) if !ruleset.maps.contains_key(map)) {
        return Err("no map");
    }
    ruleset
        .chains
        .get_mut(name)
        .ok_or("no chain")?
        .rules
        .push(rule.clone());
    Ok(())
}

fn delete_chain(table: &mut Ruleset, name: &Ident) -> Result<(), &'static str> {
    let jumped_to = table
        .chains
        .values()
        .any(|chain| chain.targets().any(|target| target == name));
    let mapped_to = table
        .maps
        .values()
        .any(|map| map.elements.values().any(|chain| chain == name));
    if jumped_to || mapped_to {
        return Err("the chain is in use");
    }
    match table.chains.remove(name) {
        Some(chain) if chain.rules.is_empty() => Ok(()),
        Some(_) => Err("the chain still has rules"),
        None => Err("no chain"),
    }
}
