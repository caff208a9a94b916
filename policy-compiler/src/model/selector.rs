//! Label selectors.

use std::fmt;

use super::Labels;

/// How a [`Requirement`] compares (API field `operator`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The key is present with one of the values.
    In,
    /// The key is absent, or present with another value.
    NotIn,
    /// The key is present, whatever its value.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

/// One condition on labels (semantics rules C2 and C3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    key: Box<str>,
    operator: Operator,
    /// Sorted, without duplicates; empty for `Exists` and `DoesNotExist`.
    values: Box<[Box<str>]>,
}

impl Requirement {
    /// A requirement on `key`. `None` if the number of values does not suit the operator (semantics rule C4).
    pub fn new<V: AsRef<str>>(
        key: &str,
        operator: Operator,
        values: impl IntoIterator<Item = V>,
    ) -> Option<Self> {
        let mut values: Vec<Box<str>> = values.into_iter().map(|v| v.as_ref().into()).collect();
        values.sort_unstable();
        values.dedup();
        let wants_values = matches!(operator, Operator::In | Operator::NotIn);
        (wants_values != values.is_empty()).then(|| Self {
            key: key.into(),
            operator,
            values: values.into(),
        })
    }

    /// What `matchLabels: {key: value}` means: `key In (value)`.
    pub fn equals(key: &str, value: &str) -> Self {
        Self {
            key: key.into(),
            operator: Operator::In,
            values: [value.into()].into(),
        }
    }

    /// The label key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The operator.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values compared with, sorted.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(AsRef::as_ref)
    }

    /// Whether `labels` satisfy the requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed =
            || value.is_some_and(|v| self.values.binary_search_by(|l| (**l).cmp(v)).is_ok());
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for Requirement {
    /// The notation of `kubectl -l`: `app=web`, `tier in (a,b)`, `!canary`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            operator,
            values,
        } = self;
        match (operator, &**values) {
            (Operator::In, [value]) => write!(f, "{key}={value}"),
            (Operator::NotIn, [value]) => write!(f, "{key}!={value}"),
            (Operator::In, _) => write!(f, "{key} in ({})", values.join(",")),
            (Operator::NotIn, _) => write!(f, "{key} notin ({})", values.join(",")),
            (Operator::Exists, _) => write!(f, "{key}"),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
        }
    }
}

/// A label selector: all requirements hold (semantics rule C1). Without requirements it selects everything.
///
/// Requirements are sorted and without duplicates, so selectors that say the same in another order are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: Box<[Requirement]>,
}

impl Selector {
    /// The selector `{}`.
    pub fn everything() -> Self {
        Self::default()
    }

    /// A selector that demands all of `requirements`.
    pub fn new(requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let mut requirements: Vec<Requirement> = requirements.into_iter().collect();
        requirements.sort_unstable();
        requirements.dedup();
        Self {
            requirements: requirements.into(),
        }
    }

    /// The requirements, sorted.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the selector is `{}`.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether `labels` satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl fmt::Display for Selector {
    /// `app=web,tier in (a,b)`; the empty selector is `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("*");
        }
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: operator, values, what the key holds, whether it matches.
    #[test]
    fn operators() {
        let rows: &[(Operator, &[&str], Option<&str>, bool)] = &[
            (Operator::In, &["a", "b"], Some("b"), true),
            (Operator::In, &["a"], Some("c"), false),
            (Operator::In, &["a"], None, false),
            (Operator::In, &[""], None, false),
            (Operator::In, &[""], Some(""), true),
            (Operator::NotIn, &["a"], Some("a"), false),
            (Operator::NotIn, &["a"], Some("c"), true),
            (Operator::NotIn, &["a"], None, true),
            (Operator::Exists, &[], Some(""), true),
            (Operator::Exists, &[], None, false),
            (Operator::DoesNotExist, &[], Some(""), false),
            (Operator::DoesNotExist, &[], None, true),
        ];
        for (operator, values, held, expected) in rows {
            let labels = Labels::new(held.map(|v| ("k", v)));
            let requirement = Requirement::new("k", *operator, *values).expect("valid");
            assert_eq!(
                requirement.matches(&labels),
                *expected,
                "{requirement} on {labels:?}"
            );
        }
    }

    #[test]
    fn contradictions_select_nothing() {
        let selector =
            Selector::new([Requirement::equals("a", "1"), Requirement::equals("a", "2")]);
        assert!(!selector.matches(&Labels::new([("a", "1")])));
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let (a, b) = (Requirement::equals("a", "1"), Requirement::equals("b", "2"));
        assert_eq!(
            Selector::new([a.clone(), b.clone()]),
            Selector::new([b, a.clone(), a])
        );
    }

    #[test]
    fn values_must_suit_the_operator() {
        assert!(Requirement::new::<&str>("k", Operator::In, []).is_none());
        assert!(Requirement::new("k", Operator::Exists, ["a"]).is_none());
    }
}
