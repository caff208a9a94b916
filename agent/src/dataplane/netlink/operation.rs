//! Commands as messages to `nf_tables`.

use policy_compiler::ruleset::{Element, Ident, Rule, TABLE};

use super::batch::Batch;
use super::chain::{CHAIN_NAME, write_chain};
use super::command::Command;
use super::numbers::{
    COUNTER, DELETE_CHAIN, DELETE_ELEMENTS, DELETE_OBJECT, DELETE_RULE, DELETE_SET, DELETE_TABLE,
    ELEMENTS, ELEMENTS_SET_NUMBER, IN_TABLE, NAME, NEW_CHAIN, NEW_ELEMENTS, NEW_OBJECT, NEW_RULE,
    NEW_SET, NEW_TABLE, OBJECT_DATA, OBJECT_TYPE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA,
};
use super::rule::{Lists, port_lists, write_expressions};
use super::set::{
    ANONYMOUS, has_intervals, write_element, write_entry, write_map, write_nothing_from_zero,
    write_port, write_ports, write_set,
};
use super::userdata::Userdata;
use crate::netlink::Writer;

/// `NLM_F_CREATE`
const CREATE: u16 = 0x400;
/// `NLM_F_CREATE | NLM_F_APPEND`
const APPEND: u16 = 0xc00;

/// A list of elements is closed when it has so many bytes: with the longest element it stays below the 64 KiB that an
/// attribute can have.
const LIST: usize = 60_000;

impl<'a> Batch<'a> {
    /// Appends the messages of a command.
    pub(super) fn command(&mut self, command: Command<'a>) {
        let named = |kind: u16, name: &'a Ident| move |w: &mut Writer| w.text(kind, name.as_str());
        match command {
            Command::AddTable => self.message(NEW_TABLE, CREATE, command, |w| w.be32(2, 0)),
            Command::DeleteTable => self.message(DELETE_TABLE, 0, command, |_| {}),
            Command::AddCounter(name) => {
                self.message(NEW_OBJECT, CREATE, command, |w| write_counter(w, name));
            }
            Command::AddSet(name, key, comment) => {
                let number = self.set_number();
                self.message(NEW_SET, CREATE, command, |w| {
                    w.text(NAME, name.as_str());
                    write_set(w, number, key, comment);
                });
            }
            Command::AddMap(name, family) => {
                let number = self.set_number();
                self.message(NEW_SET, CREATE, command, |w| {
                    w.text(NAME, name.as_str());
                    write_map(w, number, family);
                });
            }
            Command::AddChain(name, hook) => {
                self.message(NEW_CHAIN, CREATE, command, |w| write_chain(w, name, hook));
            }
            Command::AddRule(chain, rule) => self.rule(chain, rule, command),
            Command::FlushChain(name) => {
                self.message(DELETE_RULE, 0, command, named(RULE_CHAIN, name));
            }
            Command::FlushSet(name) => self.message(DELETE_ELEMENTS, 0, command, named(NAME, name)),
            Command::DeleteChain(name) => {
                self.message(DELETE_CHAIN, 0, command, named(CHAIN_NAME, name));
            }
            Command::DeleteCounter(name) => self.message(DELETE_OBJECT, 0, command, |w| {
                w.text(NAME, name.as_str());
                w.be32(OBJECT_TYPE, COUNTER);
            }),
            Command::DeleteSet(name) | Command::DeleteMap(name) => {
                self.message(DELETE_SET, 0, command, named(NAME, name));
            }
            Command::AddElements(set, elements) => {
                self.set_elements(NEW_ELEMENTS, command, set, elements.iter());
            }
            Command::DeleteElements(set, elements) => {
                self.set_elements(DELETE_ELEMENTS, command, set, elements.iter());
            }
            Command::AddEntries(map, entries) => {
                let entries = entries.iter();
                self.elements(NEW_ELEMENTS, command, named(NAME, map), entries, |w, e| {
                    write_entry(w, e.0, Some(&e.1));
                });
            }
            Command::LoadEntries(map, entries) => {
                let entries = entries.elements.iter();
                self.elements(NEW_ELEMENTS, command, named(NAME, map), entries, |w, e| {
                    write_entry(w, *e.0, Some(e.1));
                });
            }
            Command::DeleteEntries(map, entries) => {
                let entries = entries.iter();
                self.elements(
                    DELETE_ELEMENTS,
                    command,
                    named(NAME, map),
                    entries,
                    |w, e| {
                        write_entry(w, e.0, None);
                    },
                );
            }
        }
    }

    /// A rule comes after the sets of its lists of ports.
    fn rule(&mut self, chain: &'a Ident, rule: &'a Rule, command: Command<'a>) {
        let mut first_list = None;
        for (protocol, ranges) in port_lists(rule) {
            let number = self.set_number();
            first_list = first_list.or(Some(number));
            self.message(NEW_SET, CREATE, command, |w| {
                w.text(NAME, ANONYMOUS);
                write_ports(w, number, protocol, ranges);
            });
            let has_intervals = has_intervals(ranges);
            let set = move |w: &mut Writer| {
                w.text(NAME, ANONYMOUS);
                w.be32(ELEMENTS_SET_NUMBER, number);
            };
            let mut is_first = true;
            self.elements(NEW_ELEMENTS, command, set, ranges.iter(), |w, range| {
                if std::mem::take(&mut is_first) && has_intervals {
                    write_nothing_from_zero(w);
                }
                write_port(w, *range, has_intervals);
            });
        }
        self.message(NEW_RULE, APPEND, command, |w| {
            w.text(RULE_CHAIN, chain.as_str());
            w.nest(RULE_EXPRESSIONS, |w| {
                let lists = Lists::Numbered(first_list.unwrap_or_default());
                write_expressions(w, rule, lists);
            });
            if let Some(comment) = &rule.comment {
                w.put(RULE_USERDATA, Userdata::of_rule(comment).bytes());
            }
        });
    }

    fn set_elements(
        &mut self,
        kind: u8,
        command: Command<'a>,
        set: &'a Ident,
        elements: impl Iterator<Item = &'a Element>,
    ) {
        let name = |w: &mut Writer| w.text(NAME, set.as_str());
        self.elements(kind, command, name, elements, write_element);
    }

    /// Spreads elements over as many messages as they need. Both ends of an interval stay together.
    fn elements<T>(
        &mut self,
        kind: u8,
        command: Command<'a>,
        set: impl Fn(&mut Writer),
        elements: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T),
    ) {
        let flags = if kind == NEW_ELEMENTS { CREATE } else { 0 };
        let mut elements = elements.peekable();
        // Without a list the message would mean all elements.
        while elements.peek().is_some() {
            self.message(kind, flags, command, |w| {
                set(w);
                w.nest(ELEMENTS, |w| {
                    let start = w.len();
                    while w.len() - start < LIST
                        && let Some(element) = elements.next()
                    {
                        write(w, element);
                    }
                });
            });
        }
    }

    /// A message about the table.
    fn message(
        &mut self,
        kind: u8,
        flags: u16,
        command: Command<'a>,
        attributes: impl FnOnce(&mut Writer),
    ) {
        self.append(kind, flags, command, |w| {
            w.text(IN_TABLE, TABLE);
            attributes(w);
        });
    }
}

fn write_counter(writer: &mut Writer, name: &Ident) {
    writer.text(NAME, name.as_str());
    writer.be32(OBJECT_TYPE, COUNTER);
    writer.nest(OBJECT_DATA, |w| {
        w.be64(1, 0);
        w.be64(2, 0);
    });
}
