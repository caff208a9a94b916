//! The agent's argument about forged sources.

use clap::{Args, ValueEnum};
use policy_compiler::ruleset::DropLog;
use tracing::{error, info, warn};

use crate::doctor::Plugged;
use crate::port_guard::PortGuard;
use crate::telemetry::Telemetry;
use crate::uplinks::Uplinks;

/// Whether sources are checked.
#[derive(Debug, Args)]
pub(super) struct SourceGuardArguments {
    /// Drop what pods send with an address that is not theirs; off for pods that send for others (gateways, VPNs)
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    source_guard: Mode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[default]
    On,
    Off,
}

impl SourceGuardArguments {
    /// Whether sources are checked.
    pub(super) fn is_on(&self) -> bool {
        self.source_guard == Mode::On
    }

    /// The links that sources are not checked on.
    pub(super) fn uplinks(&self, plugged: &Plugged) -> Uplinks {
        if self.is_on() {
            Uplinks::start(plugged.clone())
        } else {
            Uplinks::off()
        }
    }

    /// Begins to guard the ports of bridges, or removes what an earlier agent has left of that.
    pub(super) fn start(
        &self,
        log: Option<DropLog>,
        telemetry: &Telemetry,
        plugged: &Plugged,
    ) -> PortGuard {
        if self.is_on() {
            let started = PortGuard::start(log, telemetry.clone(), plugged.clone());
            return started.unwrap_or_else(|error| {
                error!(%error, "the ports of bridges are not guarded: pods of a bridge may use each other's addresses");
                PortGuard::off()
            });
        }
        match PortGuard::remove() {
            Ok(true) => {
                info!("--source-guard off: table bridge netpol of an earlier agent is removed");
            }
            Ok(false) => {}
            Err(error) => {
                warn!(%error, "--source-guard off: table bridge netpol cannot be removed, should there be one");
            }
        }
        PortGuard::off()
    }
}
