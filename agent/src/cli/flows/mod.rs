//! `netpol flows`

mod agents;
mod arguments;
mod groups;
mod json;
mod show;
mod style;
mod summary;
mod table;
mod words;

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use policy_compiler::model::{Direction, IpBlock, Name};

use super::Failure;
use super::form::Form;
use crate::flow_log::reading::filter::{Filter, ObjectName, PortFilter, WorkloadName};
use crate::flow_log::reading::record::Verdict;
use crate::flow_log::reading::{Input, Merge};
use agents::Agents;
use arguments::Moment;
use style::{Color, Style};

const AFTER_HELP: &str = "\
Examples:
  What the agents of a cluster write at this moment, of one namespace:
    netpol flows --context prod -f --last 0 -n shop
  Who is blocked by what, for writing the policies that are missing:
    netpol flows --context prod --since 1h -o summary
  On the node, from the agent's file or socket:
    netpol flows -f /var/log/netpol/flows.log
    netpol flows unix:/run/netpol/flows --to-pod shop/db --port tcp/5432
  The last ten drops of a policy, from the files of several nodes:
    netpol flows --policy shop/db --last 10 node-a.log node-b.log
  For other programs, the lines as they are:
    netpol flows --since 1h -o json flows.log | jq .flow.IP

From a cluster all agents' logs are read and merged by time, and with -f agents
that come later, too. That takes the rights to list pods and to get pods/log in
the agents' namespace. An agent whose log cannot be read is named on standard
error, and the others are shown. A node keeps some 10 MiB of an agent's log.

Reads Hubble's JSON lines, netpol's own and those that Cilium exports. Each
option takes several values if given several times, and one of them must match;
of different options all must match. Lines that tell of lost events are asked
for --node, --since and --until only. Lines of other kinds are passed over.";

/// Show the flow log: who was dropped, by which policies, and which rule came nearest
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Flows {
    /// File, unix:PATH for the agent's socket, or - for standard input [default: the cluster's agents as kubectl's plugin
    /// or if a cluster is given, else - if that is no terminal]. Files are merged by time
    #[arg(value_name = "FILE", value_parser = Input::parse, conflicts_with_all = ["kubeconfig", "context"])]
    inputs: Vec<Input>,

    /// Go on when the end is reached, also after the file was renamed and made anew; sockets are always followed
    #[arg(short, long)]
    follow: bool,

    /// Of what is there already show only the last N that match
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    /// How it is shown
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,

    /// With -o summary: show so many groups, those with most packets
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// When there are colours
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,

    /// Say nothing of lines that were passed over
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    agents: Agents,
}

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each flow, the nearest rule and hints below
    #[default]
    Table,
    /// The lines unchanged
    Json,
    /// Who is blocked by what, counted; of dropped flows unless --verdict says otherwise
    Summary,
}

/// Which lines are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct Wanted {
    /// Either end is in this namespace
    #[arg(short, long = "namespace", value_name = "NS", value_parser = arguments::name)]
    namespaces: Vec<Name>,

    /// Either end is this pod: NAMESPACE/NAME, or NAME in any namespace
    #[arg(long = "pod", value_name = "POD", value_parser = arguments::object)]
    pods: Vec<ObjectName>,

    /// The source is this pod
    #[arg(long = "from-pod", value_name = "POD", value_parser = arguments::object)]
    from_pods: Vec<ObjectName>,

    /// The destination is this pod
    #[arg(long = "to-pod", value_name = "POD", value_parser = arguments::object)]
    to_pods: Vec<ObjectName>,

    /// Either end belongs to this: deployment/web, statefulset/db, …
    #[arg(long = "workload", value_name = "KIND/NAME", value_parser = arguments::workload)]
    workloads: Vec<WorkloadName>,

    /// Either end has this address, or one in this network: 10.0.0.1, 192.0.2.0/24
    #[arg(long = "ip", value_name = "CIDR", value_parser = arguments::network)]
    blocks: Vec<IpBlock>,

    /// Destination port: 80 or tcp/80; udp or icmp for all of that
    #[arg(long = "port", value_name = "PORT", value_parser = arguments::port)]
    ports: Vec<PortFilter>,

    /// Whose policies were asked: ingress the destination's, egress the source's
    #[arg(long = "direction", value_name = "DIRECTION", value_parser = arguments::direction)]
    directions: Vec<Direction>,

    /// Dropped, or let through, by this policy: NAMESPACE/NAME, or NAME in any namespace
    #[arg(long = "policy", value_name = "POLICY", value_parser = arguments::object)]
    policies: Vec<ObjectName>,

    /// What became of it
    #[arg(long = "verdict", value_name = "VERDICT", value_enum)]
    verdicts: Vec<Verdict>,

    /// Seen by this node; of a cluster only its agent is asked
    #[arg(long = "node", value_name = "NODE", value_parser = arguments::name)]
    nodes: Vec<Name>,

    /// Not older than this (10m, 2h, 7d), or not before a time (2026-11-21T10:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    since: Option<Moment>,

    /// Older than this, or before a time
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
}

const NO_INPUT: &str = "nothing to read: give the flow log as FILE, unix:PATH or - (standard input), or a cluster with \
     --context NAME or --kubeconfig FILE";

impl Flows {
    /// Writes to standard output as it goes: what is followed has no end.
    pub(super) async fn run(mut self, form: Form) -> Result<(), Failure> {
        let of_agents = self.inputs.is_empty() && (form == Form::Plugin || self.agents.are_given());
        if self.inputs.is_empty() && !of_agents {
            if io::stdin().is_terminal() {
                return Err(Failure::because(NO_INPUT));
            }
            self.inputs.push(Input::Stdin);
        }
        if self.output == Output::Summary && self.wanted.verdicts.is_empty() {
            self.wanted.verdicts = vec![Verdict::Dropped, Verdict::Audit];
        }
        let filter = self.wanted.into_filter(Timestamp::now());
        let logs = if of_agents {
            self.agents.open(&filter, self.follow).await?
        } else {
            Merge::open(&self.inputs, self.follow)?
        };
        let stdout = io::stdout();
        let style = Style::new(self.color, &stdout);
        let mut view: Box<dyn show::View> = match self.output {
            Output::Table => Box::new(table::Table::new(style)),
            Output::Json => Box::new(json::Json {}),
            Output::Summary => Box::new(summary::Summary::new(style, self.top)),
        };
        let show = show::Show {
            filter,
            last: self.last,
            quiet: self.quiet,
            live: self
                .inputs
                .iter()
                .any(|input| !matches!(input, Input::File(_))),
            of_agents,
        };
        show.run(logs, view.as_mut(), stdout.lock()).await
    }
}

impl Wanted {
    fn into_filter(self, now: Timestamp) -> Filter {
        Filter {
            namespaces: self.namespaces,
            pods: self.pods,
            from_pods: self.from_pods,
            to_pods: self.to_pods,
            workloads: self.workloads,
            blocks: self.blocks,
            ports: self.ports,
            directions: self.directions,
            policies: self.policies,
            verdicts: self.verdicts,
            nodes: self.nodes,
            since: self.since.map(|moment| moment.at(now)),
            until: self.until.map(|moment| moment.at(now)),
        }
    }
}
