//! NetworkPolicies: the spec as a whole, with its defaults.

use super::cursor::Cursor;
use super::selector::{self, ReadSelector};
use super::{Kind, metadata, object_meta, rule};
use crate::model::{Direction, Name, Policy, Rule, Selector};

pub(super) fn policy(object: &Cursor<'_>) -> Option<Policy> {
    let fields = object.fields(&["apiVersion", "kind", "metadata", "spec"])?;
    metadata::check_kind(&fields, Kind::NetworkPolicy);
    let metadata = fields.get_or_null("metadata");
    let key = object_meta::strict(&metadata).and_then(|fields| {
        let key = metadata::identity(&fields);
        // A misspelt field may have been the namespace: do not let the policy loose on `default`.
        key.filter(|_| fields.only_known() || fields.get("namespace").is_some())
    });
    let namespace = key.as_ref().map(|key| &key.namespace);
    let spec = match fields.get("spec") {
        Some(spec) => read(&spec, namespace).unwrap_or_else(Spec::sealed),
        // The misspelt field may have been the spec.
        None if !fields.only_known() => Spec::sealed(),
        None => Spec::default(),
    };
    Some(Policy {
        key: key?,
        subjects: spec.subjects,
        ingress: spec.ingress,
        egress: spec.egress,
    })
}

struct Spec {
    subjects: Selector,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
}

impl Spec {
    /// Every pod of the namespace, closed in both directions: what remains of a spec that cannot be understood.
    fn sealed() -> Self {
        Self {
            subjects: Selector::everything(),
            ingress: Some(Vec::new()),
            egress: Some(Vec::new()),
        }
    }
}

impl Default for Spec {
    /// What `spec: {}` means (semantics rules A1, A7).
    fn default() -> Self {
        Self {
            subjects: Selector::everything(),
            ingress: Some(Vec::new()),
            egress: None,
        }
    }
}

fn read(spec: &Cursor<'_>, namespace: Option<&Name>) -> Option<Spec> {
    let fields = spec.fields(&["podSelector", "policyTypes", "ingress", "egress"])?;
    let subjects = match fields.get("podSelector") {
        Some(field) => selector::selector(&field),
        None => ReadSelector::default(),
    };
    let ingress = Section::read(
        fields.get("ingress").as_ref(),
        Direction::Ingress,
        namespace,
    );
    let egress = Section::read(fields.get("egress").as_ref(), Direction::Egress, namespace);
    let isolated = match fields.get("policyTypes") {
        Some(types) => policy_types(&types, egress.given),
        None => Isolated::by_default(egress.given),
    };
    let certain = fields.only_known() && ingress.understood && egress.understood;
    let isolated = if certain { isolated } else { Isolated::BOTH };
    let grants = fields.only_known() && !subjects.widened;
    let rules = |section: Section| if grants { section.rules } else { Vec::new() };
    Some(Spec {
        subjects: subjects.superset,
        ingress: isolated.ingress.then(|| rules(ingress)),
        egress: isolated.egress.then(|| rules(egress)),
    })
}

/// `ingress` or `egress`.
struct Section {
    rules: Vec<Rule>,
    /// Whether it was a list, or not there.
    understood: bool,
    /// Whether it was a list with at least one item.
    given: bool,
}

impl Section {
    fn read(field: Option<&Cursor<'_>>, direction: Direction, namespace: Option<&Name>) -> Self {
        let peers = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let rules: Option<Vec<Rule>> = match field {
            Some(list) => list.items().map(|items| {
                items
                    .map(|item| rule::rule(&item, peers, namespace))
                    .collect()
            }),
            None => Some(Vec::new()),
        };
        let understood = rules.is_some();
        let rules = rules.unwrap_or_default();
        Self {
            given: !rules.is_empty(),
            understood,
            rules,
        }
    }
}

/// The directions a policy isolates in.
struct Isolated {
    ingress: bool,
    egress: bool,
}

impl Isolated {
    const BOTH: Self = Self {
        ingress: true,
        egress: true,
    };

    /// Without `policyTypes`: ingress always, egress if there is a rule for it (semantics rules A7, A8).
    fn by_default(egress_given: bool) -> Self {
        Self {
            ingress: true,
            egress: egress_given,
        }
    }
}

/// `policyTypes` (semantics rules A7 to A10). Both directions if anything about it is wrong.
fn policy_types(field: &Cursor<'_>, egress_given: bool) -> Isolated {
    let Some(items) = field.items() else {
        return Isolated::BOTH;
    };
    match items.len() {
        0 => return Isolated::by_default(egress_given),
        1 | 2 => {}
        _ => {
            return field
                .invalid("may not specify more than two policyTypes")
                .unwrap_or(Isolated::BOTH);
        }
    }
    let types: Vec<Option<Direction>> = items.map(|item| policy_type(&item)).collect();
    let isolates = |direction| types.contains(&Some(direction)) || types.contains(&None);
    Isolated {
        ingress: isolates(Direction::Ingress),
        egress: isolates(Direction::Egress),
    }
}

fn policy_type(item: &Cursor<'_>) -> Option<Direction> {
    match item.string()? {
        "Ingress" => Some(Direction::Ingress),
        "Egress" => Some(Direction::Egress),
        _ => item.not_supported(&["Ingress", "Egress"]),
    }
}
