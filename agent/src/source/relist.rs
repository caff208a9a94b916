//! Turns one watcher's events into changes: the watch of a kind may start over at any time, and then only says what is
//! there, not what has gone.

use std::collections::BTreeMap;

use kube::runtime::watcher;
use policy_compiler::index::Event;

use super::faults::{Consequence, Faults};
use super::object::{Object, Watched};
use crate::telemetry::Telemetry;

/// What is known of the objects of one kind.
pub(super) struct Relist<T: Watched> {
    /// The objects said to exist, and the number of the list that showed them last.
    known: BTreeMap<T::Key, u32>,
    /// The number of the list under way, or the last one.
    list: u32,
    faults: Faults,
}

/// What follows from one event of a watcher.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) changes: Vec<Event>,
    /// A list is complete.
    pub(super) list_complete: bool,
}

impl<T: Watched> Relist<T> {
    pub(super) fn new(telemetry: Telemetry) -> Self {
        Self {
            known: BTreeMap::new(),
            list: 0,
            faults: Faults::new(T::KIND, telemetry),
        }
    }

    pub(super) fn step(&mut self, event: watcher::Event<Object<T>>) -> Step {
        match event {
            watcher::Event::Init => {
                self.list = self.list.wrapping_add(1);
                Step::default()
            }
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                self.apply(object).into()
            }
            watcher::Event::Delete(object) => self.delete(&object).into(),
            watcher::Event::InitDone => {
                let mut gone = Vec::new();
                self.known.retain(|key, list| {
                    let is_there = *list == self.list;
                    if !is_there {
                        gone.push(key.clone());
                    }
                    is_there
                });
                gone.iter()
                    .for_each(|key| self.faults.forget(&key.to_string(), false));
                Step {
                    changes: gone.into_iter().map(T::deleted).collect(),
                    list_complete: true,
                }
            }
        }
    }

    fn apply(&mut self, object: Object<T>) -> Option<Event> {
        let key = object.key();
        let name = object.display_name();
        let was_known = key.as_ref().is_some_and(|key| self.known.contains_key(key));
        let usable = object.decoded.object.is_some();
        let consequence = match (usable, was_known) {
            (true, _) => Consequence::FailsClosed,
            (false, true) => Consequence::KeptAsBefore,
            (false, false) => Consequence::Ignored,
        };
        self.faults.note(&name, object.decoded.errors, consequence);
        if let Some(key) = key.filter(|_| usable || was_known) {
            let key = self.held_once(key, object.decoded.object.as_ref());
            self.known.insert(key, self.list);
        }
        object.decoded.object.map(T::changed)
    }

    /// The key with texts that are held anyway: those of the object, and of what is beside it.
    fn held_once(&self, key: T::Key, object: Option<&T>) -> T::Key {
        let own = object.map(T::own_key).filter(|own| *own == key);
        let mut key = own.unwrap_or(key);
        if let Some((beside, _)) = self.known.range(..&key).next_back() {
            T::share(&mut key, beside);
        }
        key
    }

    fn delete(&mut self, object: &Object<T>) -> Option<Event> {
        self.faults.forget(&object.display_name(), false);
        let key = object.key()?;
        self.known.remove(&key).map(|_| T::deleted(key))
    }
}

impl From<Option<Event>> for Step {
    fn from(change: Option<Event>) -> Self {
        Self {
            changes: change.into_iter().collect(),
            list_complete: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event as Watch;
    use policy_compiler::model::{Name, Namespace};
    use serde_json::{Value as Json, json};

    use super::super::Kind;
    use super::*;

    fn object(json: &Json) -> Object<Namespace> {
        Object::new(json)
    }

    fn namespace(name: &str) -> Object<Namespace> {
        object(&json!({"metadata": {"name": name, "resourceVersion": "1"}}))
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    fn relist() -> Relist<Namespace> {
        Relist::new(Telemetry::default())
    }

    /// Feeds events and writes down what follows: `+a` came or changed, `-a` went, `.` a list is complete.
    fn run(relist: &mut Relist<Namespace>, events: Vec<Watch<Object<Namespace>>>) -> String {
        let mut log = Vec::new();
        for event in events {
            let step = relist.step(event);
            log.extend(step.changes.iter().map(|change| match change {
                Event::Namespace(namespace) => format!("+{}", namespace.name),
                Event::NamespaceDeleted(name) => format!("-{name}"),
                other => format!("?{other:?}"),
            }));
            log.extend(step.list_complete.then(|| ".".to_owned()));
        }
        log.join(" ")
    }

    #[test]
    fn what_a_new_list_lacks_has_gone() {
        let mut relist = relist();
        let first = vec![
            Watch::Init,
            Watch::InitApply(namespace("a")),
            Watch::InitApply(namespace("b")),
            Watch::InitDone,
        ];
        assert_eq!(run(&mut relist, first), "+a +b .");
        assert_eq!(
            run(
                &mut relist,
                vec![Watch::Apply(namespace("c")), Watch::Delete(namespace("a"))]
            ),
            "+c -a"
        );
        let again = vec![
            Watch::Init,
            Watch::InitApply(namespace("c")),
            Watch::InitApply(namespace("d")),
            Watch::InitDone,
        ];
        assert_eq!(run(&mut relist, again), "+c +d -b .");
    }

    #[test]
    fn a_list_that_breaks_off_takes_nothing_away() {
        let mut relist = relist();
        run(
            &mut relist,
            vec![
                Watch::Init,
                Watch::InitApply(namespace("a")),
                Watch::InitApply(namespace("b")),
                Watch::InitDone,
            ],
        );
        let broken_off = vec![Watch::Init, Watch::InitApply(namespace("b"))];
        assert_eq!(run(&mut relist, broken_off), "+b");
        let next = vec![
            Watch::Init,
            Watch::InitApply(namespace("a")),
            Watch::InitDone,
        ];
        assert_eq!(run(&mut relist, next), "+a -b .");
    }

    #[test]
    fn an_unknown_object_cannot_be_deleted() {
        let mut relist = relist();
        assert_eq!(run(&mut relist, vec![Watch::Delete(namespace("a"))]), "");
    }

    #[test]
    fn any_json_deserializes_and_an_object_without_name_changes_nothing() {
        for json in [
            json!(null),
            json!([1]),
            json!("x"),
            json!({"metadata": 7}),
            json!({"metadata": {"name": "A b"}}),
        ] {
            let object: Object<Namespace> =
                serde_json::from_value(json.clone()).expect("anything deserializes");
            assert_eq!(object.key(), None, "{json}");
            assert_eq!(run(&mut relist(), vec![Watch::Apply(object)]), "", "{json}");
        }
        assert_eq!(
            object(&json!({"metadata": {"name": "a"}})).key(),
            Some(name("a"))
        );
    }

    #[test]
    fn invalid_objects_are_counted_until_they_are_mended_or_gone() {
        let telemetry = Telemetry::default();
        let mut relist = Relist::<Namespace>::new(telemetry.clone());
        let faulty =
            |name: &str| object(&json!({"metadata": {"name": name, "labels": {"a b": "c"}}}));
        let invalid = |relist: &mut Relist<Namespace>, event| {
            relist.step(event);
            telemetry.invalid(Kind::Namespace)
        };
        assert_eq!(invalid(&mut relist, Watch::Apply(faulty("a"))), 1);
        assert_eq!(invalid(&mut relist, Watch::Apply(faulty("a"))), 1);
        assert_eq!(invalid(&mut relist, Watch::Apply(faulty("b"))), 2);
        assert_eq!(invalid(&mut relist, Watch::Apply(namespace("a"))), 1);
        assert_eq!(invalid(&mut relist, Watch::Delete(faulty("b"))), 0);
    }
}
