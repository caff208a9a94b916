//! Applies a [`Transaction`] to a [`Ruleset`] as strictly as the kernel: what refers to something that is not there,
//! removes what is still referred to, or adds what is there already, is refused.

use std::collections::BTreeSet;

use policy_compiler::ruleset::{
    Chain, Ident, Operation, Rule, Ruleset, Set, Transaction, Verdict, VerdictMap,
};

/// Commits `transaction`, or says which command is refused and why. On refusal the table is left half done; the caller
/// is about to fail anyway.
pub fn commit(table: &mut Option<Ruleset>, transaction: &Transaction) -> Result<(), String> {
    for operation in transaction.operations() {
        apply(table, operation).map_err(|why| format!("`{operation}`: {why}"))?;
    }
    Ok(())
}

fn apply(table: &mut Option<Ruleset>, operation: &Operation) -> Result<(), &'static str> {
    match operation {
        Operation::AddTable => {
            table.get_or_insert_default();
            return Ok(());
        }
        Operation::DeleteTable => return table.take().map(|_| ()).ok_or("no table"),
        Operation::Load(ruleset) => {
            let present = table.get_or_insert_default();
            if !present.is_empty() {
                return Err("the table is not empty");
            }
            *present = ruleset.clone();
            return Ok(());
        }
        _ => {}
    }
    let table = table.as_mut().ok_or("no table")?;
    match operation {
        Operation::AddSet(name, key, comment) => {
            let set = Set {
                key: *key,
                comment: comment.clone(),
                elements: BTreeSet::new(),
            };
            table
                .sets
                .insert(name.clone(), set)
                .map_or(Ok(()), |_| Err("the set is there"))
        }
        Operation::AddMap(name, family) => {
            let map = VerdictMap {
                family: *family,
                elements: [].into(),
            };
            table
                .maps
                .insert(name.clone(), map)
                .map_or(Ok(()), |_| Err("the map is there"))
        }
        Operation::AddChain(name, hook) => {
            let chain = Chain {
                hook: *hook,
                rules: Vec::new(),
            };
            table
                .chains
                .insert(name.clone(), chain)
                .map_or(Ok(()), |_| Err("the chain is there"))
        }
        Operation::FlushChain(name) => {
            table.chains.get_mut(name).ok_or("no chain")?.rules.clear();
            Ok(())
        }
        Operation::AddRule(name, rule) => add_rule(table, name, rule),
        Operation::FlushSet(name) => {
            table.sets.get_mut(name).ok_or("no set")?.elements.clear();
            Ok(())
        }
        Operation::DeleteElements(name, elements) => {
            let set = table.sets.get_mut(name).ok_or("no set")?;
            elements
                .iter()
                .all(|element| set.elements.remove(element))
                .then_some(())
                .ok_or("no such element")
        }
        Operation::AddElements(name, elements) => {
            let set = table.sets.get_mut(name).ok_or("no set")?;
            elements
                .iter()
                .all(|element| set.elements.insert(*element))
                .then_some(())
                .ok_or("the element is there")
        }
        Operation::DeleteMapElements(name, elements) => {
            let map = table.maps.get_mut(name).ok_or("no map")?;
            let delete =
                |(address, chain): &_| map.elements.remove(address).as_ref() == Some(chain);
            elements
                .iter()
                .all(delete)
                .then_some(())
                .ok_or("no such entry")
        }
        Operation::AddMapElements(name, elements) => {
            if !elements
                .iter()
                .all(|(_, chain)| table.chains.contains_key(chain))
            {
                return Err("no chain");
            }
            let map = table.maps.get_mut(name).ok_or("no map")?;
            let mut add = |(address, chain): &(_, Ident)| {
                map.elements.insert(*address, chain.clone()).is_none()
            };
            elements
                .iter()
                .all(&mut add)
                .then_some(())
                .ok_or("the entry is there")
        }
        Operation::DeleteChain(name) => delete_chain(table, name),
        Operation::DeleteSet(name) => {
            if table
                .chains
                .values()
                .any(|chain| chain.sets().any(|set| set == name))
            {
                return Err("the set is in use");
            }
            table.sets.remove(name).map(|_| ()).ok_or("no set")
        }
        Operation::DeleteMap(name) => {
            let uses = |rule: &Rule| matches!(&rule.verdict, Verdict::AddressMap(_, _, map) if map == name);
            if table
                .chains
                .values()
                .any(|chain| chain.rules.iter().any(uses))
            {
                return Err("the map is in use");
            }
            table.maps.remove(name).map(|_| ()).ok_or("no map")
        }
        Operation::AddTable | Operation::DeleteTable | Operation::Load(_) => Ok(()),
    }
}

fn add_rule(table: &mut Ruleset, name: &Ident, rule: &Rule) -> Result<(), &'static str> {
    let alone = Chain {
        hook: None,
        rules: vec![rule.clone()],
    };
    if !alone
        .targets()
        .all(|target| table.chains.contains_key(target))
    {
        return Err("no chain to go to");
    }
    if !alone.sets().all(|set| table.sets.contains_key(set)) {
        return Err("no set");
    }
    if matches!(&rule.verdict, Verdict::AddressMap(_, _, map) if !table.maps.contains_key(map)) {
        return Err("no map");
    }
    table
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
