//! Which objects are invalid, so that each is complained of once and not at every list.

use std::collections::BTreeMap;

use policy_compiler::decode::FieldError;
use tracing::{info, warn};

use super::Kind;
use crate::telemetry::Telemetry;

/// The invalid objects of one kind.
pub(super) struct Faults {
    kind: Kind,
    telemetry: Telemetry,
    known: BTreeMap<String, Vec<FieldError>>,
}

/// What becomes of an invalid object; said in the log, where somebody wonders about it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Consequence {
    /// What could be understood counts; the rest denies.
    FailsClosed,
    /// The object as it was before still counts.
    KeptAsBefore,
    /// There is nothing to go by.
    Ignored,
}

impl Faults {
    pub(super) fn new(kind: Kind, telemetry: Telemetry) -> Self {
        Self {
            kind,
            telemetry,
            known: BTreeMap::new(),
        }
    }

    /// Takes note of the errors of an object, perhaps none.
    pub(super) fn note(&mut self, name: &str, errors: Vec<FieldError>, consequence: Consequence) {
        if errors.is_empty() {
            return self.forget(name, true);
        }
        if self.known.get(name) == Some(&errors) {
            return;
        }
        let problems: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let consequence = match consequence {
            Consequence::FailsClosed => "what is wrong in it allows nothing",
            Consequence::KeptAsBefore => "its last usable state stays in force",
            Consequence::Ignored => "ignored: it cannot be told which object it is",
        };
        warn!(
            kind = self.kind.plural(),
            object = name,
            errors = problems.join("; "),
            consequence,
            "invalid object"
        );
        self.known.insert(name.to_owned(), errors);
        self.telemetry.set_invalid(self.kind, self.known.len());
    }

    /// The object is gone (or mended).
    pub(super) fn forget(&mut self, name: &str, mended: bool) {
        if self.known.remove(name).is_some() {
            if mended {
                info!(
                    kind = self.kind.plural(),
                    object = name,
                    "object is valid now"
                );
            }
            self.telemetry.set_invalid(self.kind, self.known.len());
        }
    }
}
