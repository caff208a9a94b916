//! `netpol agent`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use futures::stream::{BoxStream, StreamExt, pending, unfold};
use kube::Client;
use policy_compiler::compile::Protection;
use policy_compiler::model::{Name, NodeScope};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::connections::ConnectionArguments;
use super::flow_log::FlowLogArguments;
use super::pod_start::PodStartArguments;
use super::source_guard::SourceGuardArguments;
use super::{Failure, chosen, duration, listen, log, stop_signal};
use crate::dataplane::{Dataplane, Disturbance, NetlinkDataplane, Watcher};
use crate::doctor::{Attending, Plugged};
use crate::enforce::{Enforcement, FREQUENT_INSPECTION, RARE_INSPECTION, Timing, enforce};
use crate::flow_log::FlowLog;
use crate::http::Server;
use crate::node_lock;
use crate::source::{self, ClusterConfig, Update};
use crate::telemetry::Telemetry;

const AFTER_HELP: &str = "\
Examples:
  As a pod of a DaemonSet, with NODE_NAME in its environment:
    netpol agent
  As a service of the node:
    netpol agent --node-name node-a --kubeconfig /etc/netpol/kubeconfig
  Without a cluster:
    netpol agent --node-name node-a --manifests /etc/netpol/manifests

Objects come from --manifests if given, else from the cluster of --kubeconfig
or --context, else from the cluster this runs in as a pod, else from the one of
$KUBECONFIG. The agent lists and watches pods, namespaces and networkpolicies in
all namespaces. It must be root or have CAP_NET_ADMIN on the node's network.

Pods are closed until their rules are written (--pod-start) where it is known
which addresses or interfaces are theirs. The container runtime is asked to
start their containers only then (--nri-socket).

A node has one agent: another waits 10 s for it to end, then says which process
it is, and ends. Nothing is written before everything is known. When the agent stops, or cannot
reach the API server, the rules stay as they are; `netpol cleanup` removes them.

/readyz answers 200 when the rules are in the kernel and packets meet them,
else 503 and the reason; `netpol doctor` says what to do.
/healthz answers 200 while the agent works. /metrics is for Prometheus.
The agent is on the node's own network: at the default address only the node
itself can ask (in probes set `host: 127.0.0.1`). To be scraped, give --listen
an address of the node, and all who can reach that can read the metrics.

Every dropped flow is told on standard output (--flow-log), with both pods, the
policies and the reason; `netpol flows` shows that to people. The agent's own
log is on standard error. SIGHUP opens a --flow-log file anew.";

/// Enforce policy on this node
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Agent {
    /// Name of this node, as in spec.nodeName of its pods
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,

    /// Watch the cluster of this kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Watch the *.yaml, *.yml and *.json files of this folder instead of a cluster
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Option<PathBuf>,

    /// Address and port for /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9808", value_parser = listen::parse)]
    listen: SocketAddr,

    /// A change after a quiet time is written at once; of many in a row, when nothing has changed for this long…
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = duration::parse)]
    debounce: Duration,

    /// …but at the latest this long after a change
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = duration::parse)]
    max_delay: Duration,

    /// Show packets on bridges to netfilter, if pods hang on one and they are not: sets
    /// net.bridge.bridge-nf-call-iptables and -ip6tables to 1
    #[arg(long)]
    enable_bridge_netfilter: bool,

    /// How the log on standard error looks
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = log::Format::Text)]
    log_format: log::Format,

    /// error, warn, info, debug or trace; or by module, as in `info,netpol_agent::source=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = log::directives)]
    log_level: String,

    #[command(flatten)]
    source_guard: SourceGuardArguments,

    #[command(flatten)]
    flow_log: FlowLogArguments,

    #[command(flatten)]
    pod_start: PodStartArguments,

    #[command(flatten)]
    connections: ConnectionArguments,
}

/// What the agent's loop works with.
struct Started {
    source: BoxStream<'static, Update>,
    dataplane: NetlinkDataplane,
    disturbances: BoxStream<'static, Disturbance>,
    enforcement: Enforcement,
}

impl Agent {
    pub(super) async fn run(self) -> Result<(), Failure> {
        log::start(self.log_format, &self.log_level);
        // The log is where people look for what an agent has to say, an early end included.
        self.enforce().await.map_err(|failure| match failure {
            Failure::Because(message) => {
                error!("{message}");
                Failure::Logged
            }
            other => other,
        })
    }

    async fn enforce(self) -> Result<(), Failure> {
        let node = self.node()?;
        self.pod_start.check(self.manifests.is_none())?;
        survive_hang_up()?;
        let mut stop = pin!(stop_signal()?);
        let started = tokio::select! {
            biased;
            signal = &mut stop => {
                tell_stop(signal);
                return Ok(());
            }
            started = self.start(&node) => started?,
        };
        let Started {
            source,
            dataplane,
            disturbances,
            enforcement,
        } = started;
        let signal = enforce(source, dataplane, disturbances, enforcement, stop).await?;
        tell_stop(signal);
        Ok(())
    }

    async fn start(&self, node: &Name) -> Result<Started, Failure> {
        // Before anything else is opened, and so closed after it.
        node_lock::claim().await?;
        let mut dataplane = NetlinkDataplane::open()?;
        // Whether this process may change nftables at all.
        dataplane.has_table().await?;
        let telemetry = Telemetry::default();
        let server = Server::bind(self.listen, telemetry.clone()).await?;
        info!(version = env!("CARGO_PKG_VERSION"), %node, listen = %server.address()?, "netpol agent starts");
        tokio::spawn(server.run());
        let plugged = Plugged::listen();
        let enables_bridges = self.enable_bridge_netfilter;
        let attending = Attending::start(telemetry.clone(), enables_bridges, plugged.clone());
        tokio::spawn(attending.await.run());
        let client = match &self.manifests {
            Some(_) => None,
            None => Some(source::connect(&self.cluster()?).await?),
        };
        let flow_log = match self.flow_log.check(&dataplane).await {
            Ok(()) => self.flow_log.start(node, client.as_ref(), &telemetry)?,
            Err(error) => {
                error!(%error, "the kernel takes no rules that log, so drops cannot be; policies are enforced without");
                FlowLog::off()
            }
        };
        let (disturbances, inspection) = watch(&dataplane);
        let source = self.source(client.as_ref(), &telemetry);
        let drop_log = flow_log.drop_log();
        let port_guard = self.source_guard.start(drop_log, &telemetry, &plugged);
        let pod_start = self.pod_start.start(node, client.as_ref(), &telemetry);
        let enforcement = Enforcement {
            revocation: self.connections.start(node, &telemetry),
            scope: NodeScope::Node(node.clone()),
            timing: Timing {
                debounce: self.debounce,
                max_delay: self.max_delay,
            },
            inspection,
            telemetry,
            flow_log,
            uplinks: self.source_guard.uplinks(&plugged),
            protection: Protection {
                source_guard: self.source_guard.is_on(),
                ..Protection::default()
            },
            port_guard,
            pod_start,
        };
        Ok(Started {
            source,
            dataplane,
            disturbances,
            enforcement,
        })
    }

    fn node(&self) -> Result<Name, Failure> {
        let Some(name) = self.node_name.as_deref().filter(|name| !name.is_empty()) else {
            return Err(Failure::because(
                "which node is this? Give --node-name NAME or set NODE_NAME (in a DaemonSet by valueFrom: fieldRef: \
                 fieldPath: spec.nodeName)"
                    .to_owned(),
            ));
        };
        Name::parse(name)
            .map_err(|error| Failure::because(format!("--node-name {name:?}: {error}")))
    }

    fn source(&self, client: Option<&Client>, telemetry: &Telemetry) -> BoxStream<'static, Update> {
        if let Some(client) = client {
            return source::watch(client, telemetry).boxed();
        }
        let folder = self.manifests.clone().unwrap_or_default();
        info!(?folder, "watching manifests");
        source::watch_folder(folder, telemetry.clone()).boxed()
    }

    fn cluster(&self) -> Result<ClusterConfig, Failure> {
        let chosen = chosen::cluster(self.kubeconfig.as_deref(), self.context.as_deref());
        chosen.ok_or_else(|| {
            Failure::because(
                "no cluster to watch: this is not a pod of a cluster; give --kubeconfig FILE or --manifests FOLDER",
            )
        })
    }
}

/// What other programs do to the table, and how often it is asked for besides.
fn watch(dataplane: &NetlinkDataplane) -> (BoxStream<'static, Disturbance>, Duration) {
    match Watcher::open(dataplane) {
        Ok(watcher) => {
            let disturbances = unfold(watcher, async |mut watcher| {
                Some((watcher.next().await, watcher))
            });
            (disturbances.boxed(), RARE_INSPECTION)
        }
        Err(error) => {
            error!(%error, "other programs' edits of table inet netpol are not told, and will be noticed late");
            (pending().boxed(), FREQUENT_INSPECTION)
        }
    }
}

fn tell_stop(signal: &'static str) {
    info!(
        signal,
        "stopped; the rules stay in the kernel (`netpol cleanup` removes them)"
    );
}

/// SIGHUP asks for new files. Without a handler it would end the process, also where no file is open: before the flow log is
/// started, or with none. Once installed, the handler stays as long as the process does.
fn survive_hang_up() -> Result<(), Failure> {
    signal(SignalKind::hangup()).map(drop)?;
    Ok(())
}
