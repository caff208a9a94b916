//! The elements of a set.

use std::collections::{BTreeSet, btree_set};
use std::ops::Deref;
use std::sync::Arc;

use super::Element;

/// Elements in order. Clones share them until one is edited: there may be hundreds of thousands, and what is on its way
/// to the kernel is seldom edited meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elements(Arc<BTreeSet<Element>>);

impl Elements {
    /// Puts an element in; whether it was not there.
    pub fn insert(&mut self, element: Element) -> bool {
        Arc::make_mut(&mut self.0).insert(element)
    }

    /// Takes an element out; whether it was there.
    pub fn remove(&mut self, element: &Element) -> bool {
        Arc::make_mut(&mut self.0).remove(element)
    }

    /// Takes all elements out.
    pub fn clear(&mut self) {
        self.0 = Arc::default();
    }
}

impl Deref for Elements {
    type Target = BTreeSet<Element>;

    fn deref(&self) -> &BTreeSet<Element> {
        &self.0
    }
}

impl FromIterator<Element> for Elements {
    /// All at once make a tree without gaps, which of elements put in one by one take as much again.
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        Self(Arc::new(elements.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a Elements {
    type Item = &'a Element;
    type IntoIter = btree_set::Iter<'a, Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_edited_is_the_clone_alone() {
        let element = |last: u8| Element::Address([10, 0, 0, last].into());
        let mut ours: Elements = [element(2), element(1)].into_iter().collect();
        let theirs = ours.clone();
        assert!(ours.insert(element(3)) && !ours.insert(element(3)));
        assert!(ours.remove(&element(1)) && !ours.remove(&element(1)));
        assert!(ours.iter().eq(&[element(2), element(3)]));
        assert!(theirs.iter().eq(&[element(1), element(2)]));
        ours.clear();
        assert!(ours.is_empty());
        assert_eq!(theirs.len(), 2);
    }
}
