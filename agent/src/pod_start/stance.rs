//! Whether pods are closed until their rules are written, and what to say of it.

use clap::ValueEnum;
use policy_compiler::compile::PodPlaces;

use super::ranges::Ranges;
use crate::telemetry::Standing;

/// What a pod may do before its rules are in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nothing
    Closed,
    /// Everything; the runtime is not asked to wait either
    Open,
    /// Nothing where the container runtime waits for the rules, else everything
    #[default]
    Auto,
}

/// What is heard of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It is not asked.
    Off,
    /// Nothing yet.
    Awaited,
    Connected,
    Lost {
        was_connected: bool,
        why: String,
    },
}

/// What was chosen, and what is known.
#[derive(Debug)]
pub(super) struct Stance {
    mode: Mode,
    /// `None` until the first answer.
    ranges: Option<Ranges>,
    gate: Gate,
}

impl Stance {
    pub(super) fn new(mode: Mode, gate: Gate) -> Self {
        Self {
            mode,
            ranges: None,
            gate,
        }
    }

    pub(super) fn ranges(&mut self, ranges: Ranges) {
        self.ranges = Some(ranges);
    }

    pub(super) fn gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    pub(super) fn lost(&mut self, why: String) {
        let was_connected = match self.gate {
            Gate::Lost { was_connected, .. } => was_connected,
            Gate::Connected => true,
            Gate::Off | Gate::Awaited => false,
        };
        self.gate = Gate::Lost { was_connected, why };
    }

    pub(super) fn is_settled(&self) -> bool {
        self.mode == Mode::Open || self.ranges.is_some()
    }

    /// Where pods are closed. Until the runtime has been heard of it is believed to be there: the rules of an earlier run may
    /// close pods, and must not be opened for the time that it takes to connect.
    pub(super) fn closed(&self) -> Option<&PodPlaces> {
        let Some(Ranges::Known(places)) = &self.ranges else {
            return None;
        };
        let is_gated = match self.gate {
            Gate::Awaited | Gate::Connected => true,
            Gate::Lost { was_connected, .. } => was_connected,
            Gate::Off => false,
        };
        let is_closed = match self.mode {
            Mode::Closed => true,
            Mode::Open => false,
            Mode::Auto => is_gated,
        };
        is_closed.then_some(places)
    }

    /// What to tell of it.
    pub(super) fn standing(&self) -> Standing {
        let is_closed = self.closed().is_some();
        let mut standing = Standing {
            is_closed,
            has_gate: self.gate == Gate::Connected,
            ..Standing::default()
        };
        let unknown = match &self.ranges {
            Some(Ranges::Unknown(why)) => Some(why),
            _ => None,
        };
        match (self.mode, unknown, &self.gate) {
            (Mode::Open, _, _) => {}
            (Mode::Closed, Some(why), _) => {
                standing.hindrance = Some(format!(
                    "--pod-start closed, and it is not known where pods are: {why}; give --pod-cidr or --pod-interface"
                ));
            }
            (Mode::Auto, Some(why), _) => {
                standing.remark = Some(format!(
                    "pods that start are open until their rules are written, because it is not known where pods are: {why}; \
                     give --pod-cidr or --pod-interface"
                ));
            }
            (_, None, Gate::Lost { why, .. }) if is_closed => {
                standing.remark = Some(format!(
                    "pods do not wait for their rules, and are closed until they are written: no connection to the \
                     container runtime: {why}"
                ));
            }
            (_, None, Gate::Lost { why, .. }) => {
                standing.remark = Some(format!(
                    "pods that start are open until their rules are written: no connection to the container runtime: {why}; \
                     enable NRI there, or give --pod-start closed"
                ));
            }
            (Mode::Auto, None, Gate::Off) => {
                standing.remark = Some(
                    "pods that start are open until their rules are written, because the container runtime is not asked to \
                     wait; give --pod-start closed"
                        .to_owned(),
                );
            }
            (_, None, _) => {}
        }
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Ranges {
        let networks = ["10.244.1.0/24".parse().expect("a network")];
        Ranges::Known(PodPlaces {
            networks: networks.into(),
            ..PodPlaces::default()
        })
    }

    fn unknown() -> Ranges {
        Ranges::Unknown("no spec".to_owned())
    }

    /// Closed, open, or held up; and whether there is something to say.
    fn told(stance: &Stance) -> String {
        let standing = stance.standing();
        assert_eq!(standing.is_closed, stance.closed().is_some());
        let state = if standing.is_closed { "closed" } else { "open" };
        let also = match (&standing.hindrance, &standing.remark) {
            (Some(_), None) => ", not ready",
            (None, Some(_)) => ", said",
            (None, None) => "",
            (Some(_), Some(_)) => ", both",
        };
        format!("{state}{also}")
    }

    #[test]
    fn each_mode_with_each_gate_and_ranges() {
        let lost = |was_connected| Gate::Lost {
            was_connected,
            why: "no such file".to_owned(),
        };
        let gates = [
            Gate::Off,
            Gate::Awaited,
            Gate::Connected,
            lost(false),
            lost(true),
        ];
        for (mode, ranges, expected) in [
            (Mode::Open, Some(known()), ["open"; 5]),
            (Mode::Open, Some(unknown()), ["open"; 5]),
            (
                Mode::Closed,
                None,
                ["open", "open", "open", "open, said", "open, said"],
            ),
            (
                Mode::Closed,
                Some(known()),
                ["closed", "closed", "closed", "closed, said", "closed, said"],
            ),
            (Mode::Closed, Some(unknown()), ["open, not ready"; 5]),
            (
                Mode::Auto,
                Some(known()),
                [
                    "open, said",
                    "closed",
                    "closed",
                    "open, said",
                    "closed, said",
                ],
            ),
            (Mode::Auto, Some(unknown()), ["open, said"; 5]),
        ] {
            for (gate, expected) in gates.iter().zip(expected) {
                let mut stance = Stance::new(mode, gate.clone());
                ranges.clone().into_iter().for_each(|r| stance.ranges(r));
                assert_eq!(told(&stance), expected, "{mode:?} {ranges:?} {gate:?}");
                assert_eq!(stance.is_settled(), mode == Mode::Open || ranges.is_some());
            }
        }
    }

    #[test]
    fn a_runtime_that_was_there_once_closes_for_good() {
        let mut stance = Stance::new(Mode::Auto, Gate::Awaited);
        stance.ranges(known());
        stance.lost("no such file".to_owned());
        assert_eq!(told(&stance), "open, said");
        stance.gate(Gate::Connected);
        assert_eq!(told(&stance), "closed");
        stance.lost("connection reset".to_owned());
        stance.lost("no such file".to_owned());
        assert_eq!(told(&stance), "closed, said");
    }
}
