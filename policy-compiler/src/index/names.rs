//! Names that many objects have in common, held once.

use std::collections::HashSet;

use crate::model::Name;

/// The names in use. Those that nobody uses any more are forgotten in time: nodes come and go.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<Name>,
    /// How many may be known until those without use are looked for.
    room: usize,
}

impl Names {
    const LEAST_ROOM: usize = 64;

    /// Makes `name` a clone of all others that are the same.
    pub(super) fn share(&mut self, name: &mut Name) {
        if let Some(known) = self.known.get(name) {
            name.clone_from(known);
            return;
        }
        if self.known.len() >= self.room {
            self.known.retain(Name::is_shared);
            self.room = (self.known.len() * 2).max(Self::LEAST_ROOM);
        }
        self.known.insert(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    #[test]
    fn names_are_held_once_and_forgotten_when_nobody_has_them() {
        let mut names = Names::default();
        let (mut first, mut second) = (name("node-a"), name("node-a"));
        names.share(&mut first);
        names.share(&mut second);
        assert!(std::ptr::eq(first.as_str(), second.as_str()));
        for i in 0..1_000 {
            names.share(&mut name(&format!("node-{i}")));
            assert!(names.known.len() <= Names::LEAST_ROOM);
        }
        assert!(names.known.contains(&first));
    }
}
