//! The agent's arguments about the flow log.

use std::time::Duration;

use clap::Args;
use kube::Client;
use policy_compiler::model::Name;
use policy_compiler::ruleset::DropLog;

use super::{Failure, duration};
use crate::dataplane::{NetlinkDataplane, NetlinkError};
use crate::flow_log::output::{Destination, Rotation, size};
use crate::flow_log::pod_events::PodEvents;
use crate::flow_log::{FlowLog, Format, Settings};
use crate::node_lock;
use crate::telemetry::Telemetry;

/// A burst is what so many seconds at the rate would be.
const BURST_SECONDS: u32 = 5;

/// What the rules say that hand on dropped packets.
#[derive(Debug, Args)]
pub(super) struct LogArguments {
    /// Packets a second that the kernel hands on for each pod and direction; the rest is only counted
    #[arg(long, value_name = "PACKETS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flow_log_rate: u32,

    /// The NFLOG group that dropped packets are handed on by
    #[arg(long, value_name = "NUMBER", default_value_t = DropLog::default().group, value_parser = group)]
    flow_log_group: u16,
}

fn group(text: &str) -> Result<u16, String> {
    let group = text
        .parse()
        .map_err(|_| "must be a number from 0 to 65535".to_owned())?;
    if group == node_lock::GROUP {
        return Err("by this group agents know that a node has one; choose another".to_owned());
    }
    Ok(group)
}

impl LogArguments {
    pub(super) fn drop_log(&self) -> DropLog {
        DropLog {
            group: self.flow_log_group,
            rate: self.flow_log_rate,
            burst: self.flow_log_rate.saturating_mul(BURST_SECONDS),
            ..DropLog::default()
        }
    }
}

/// Whether of these differences each is about a rule that hands on dropped packets.
pub(super) fn only_log_settings(differences: &[String]) -> bool {
    let is_log = |line: &String| line.contains("`limit rate ") && line.contains(" log prefix ");
    !differences.is_empty() && differences.iter().all(is_log)
}

/// How dropped flows are told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flow log")]
pub(super) struct FlowLogArguments {
    /// Where dropped flows are told: stdout, `file:PATH`, `unix:PATH` (a socket for many readers) or off
    #[arg(long, value_name = "WHERE", default_value = "stdout")]
    flow_log: Destination,

    /// How its lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    flow_log_format: Format,

    /// Repeats of a flow are told once in this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = window)]
    flow_log_window: Duration,

    #[command(flatten)]
    log: LogArguments,

    /// Begin a new file when one would be larger than this (0: never)
    #[arg(long, value_name = "SIZE", default_value = "100MiB", value_parser = size::parse)]
    flow_log_max_size: u64,

    /// Old files to keep
    #[arg(long, value_name = "NUMBER", default_value_t = Rotation::default().max_files)]
    flow_log_max_files: usize,

    /// Also write Kubernetes Events on the pods concerned; needs the rights of deploy/rbac-events.yaml
    #[arg(long, conflicts_with = "manifests")]
    kubernetes_events: bool,
}

/// What was known at the time of a packet is remembered for a minute, which has to cover the window.
const LONGEST_WINDOW: Duration = Duration::from_secs(45);

fn window(text: &str) -> Result<Duration, String> {
    let window = duration::parse(text)?;
    if window.is_zero() || window > LONGEST_WINDOW {
        return Err(format!(
            "must be more than 0 and at most {} s",
            LONGEST_WINDOW.as_secs()
        ));
    }
    Ok(window)
}

impl FlowLogArguments {
    /// Whether the kernel can do what is asked for.
    pub(super) async fn check(&self, dataplane: &NetlinkDataplane) -> Result<(), NetlinkError> {
        if self.flow_log == Destination::Off {
            return Ok(());
        }
        match dataplane.check_log(self.log.flow_log_group).await {
            Err(error) if error.is_refusal() => Err(error),
            // Whatever else is the matter will be told by the first commit.
            _ => Ok(()),
        }
    }

    pub(super) fn start(
        &self,
        node: &Name,
        client: Option<&Client>,
        telemetry: &Telemetry,
    ) -> Result<FlowLog, Failure> {
        let pod_events = client
            .filter(|_| self.kubernetes_events)
            .map(|client| PodEvents::start(client.clone(), node.as_str()));
        let settings = Settings {
            destination: self.flow_log.clone(),
            rotation: Rotation {
                max_size: self.flow_log_max_size,
                max_files: self.flow_log_max_files,
            },
            format: self.flow_log_format,
            drop_log: self.log.drop_log(),
            window: self.flow_log_window,
        };
        Ok(FlowLog::start(settings, node, pod_events, telemetry)?)
    }
}
