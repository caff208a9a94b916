//! `netpol plan`

mod change;
mod found;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use policy_compiler::model::{Name, NodeScope, Pod, Snapshot};

use super::form::Form;
use super::input::{Cluster, Loaded};
use super::{Failure, remark};
use crate::conntrack::judge::objection;
use crate::conntrack::{Connection, Conntrack, Which, own_addresses};
use crate::manifests;
use change::Deleted;
use found::Found;

const AFTER_HELP: &str = "\
Examples:
  In the agent's pod, which connections of its node a changed policy would cut:
    kubectl -n kube-system exec -i POD -- netpol plan -f - < policy.yaml
  On a node, as root, against the cluster of a kubeconfig:
    netpol plan -f policy.yaml --node-name node-a --kubeconfig /etc/netpol/kubeconfig
  What the deletion of a policy would cut (it may be what allows):
    netpol plan --delete networkpolicy/shop/allow-web
  In another network namespace, with manifests in place of the cluster:
    nsenter --net=/run/netns/lab netpol plan -f policy.yaml --manifests lab/

Nothing is changed. Each connection of this node's pods is judged by the
policies as they are and as they would be: those that are allowed now and would
not be are listed. Only this node's connections are seen: run it on each node.
Needs root or CAP_NET_ADMIN, in the node's own network namespace.

Exit codes: 0 none would be cut, 1 some would, 2 that cannot be told, or wrong
usage.";

/// Say which open connections of this node's pods a change would cut, without making it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new("change").args(["filenames", "deleted"]).required(true).multiple(true))]
pub(super) struct Plan {
    /// Manifest file, or folder, or - for standard input, with what would be created or replaced: policies, and pods and
    /// namespaces for their labels
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    filenames: Vec<PathBuf>,

    /// What would be deleted: networkpolicy/NAMESPACE/NAME, pod/NAMESPACE/NAME or namespace/NAME
    #[arg(long = "delete", value_name = "KIND/NAMESPACE/NAME", value_parser = Deleted::parse)]
    deleted: Vec<Deleted>,

    /// Name of this node, as in spec.nodeName of its pods [default: all pods are taken for this node's]
    #[arg(long, env = "NODE_NAME", value_name = "NAME", value_parser = Name::parse)]
    node_name: Option<Name>,

    /// What there is now, in place of a cluster: manifest file or folder
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    manifests: Vec<PathBuf>,

    #[command(flatten)]
    cluster: Cluster,

    /// What to print
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// A line for all connections between the same ends
    Table,
    /// One document
    Json,
}

impl Plan {
    pub(super) async fn run(self, form: Form) -> Result<String, Failure> {
        match self.find(form).await {
            Ok(found) => {
                let output = match self.output {
                    Output::Table => found.table(),
                    Output::Json => found.json(),
                };
                if found.is_empty() {
                    Ok(output)
                } else {
                    Err(Failure::Found(output))
                }
            }
            Err(Failure::Because(problem)) => Err(Failure::Trouble(problem)),
            Err(other) => Err(other),
        }
    }

    async fn find(&self, form: Form) -> Result<Found, Failure> {
        // Before the cluster is asked for everything it has.
        let mut conntrack = Conntrack::open()?;
        let own = own_addresses()?;
        let wanted = manifests::load(&self.filenames)?;
        let before = self.load(form).await?;
        let after = change::apply(&before, wanted, &self.deleted)?;
        let scope = match &self.node_name {
            Some(node) => NodeScope::Node(node.clone()),
            None => NodeScope::AllNodes,
        };
        let plan = Judges {
            before: Judge::new(&before),
            after: Judge::new(&after),
            scope,
            own,
        };
        let mut found = Found::default();
        let which = Which::Of(plan.local_addresses());
        conntrack.each(&which, |connection| plan.judge(&connection, &mut found))?;
        Ok(found)
    }

    async fn load(&self, form: Form) -> Result<Snapshot, Failure> {
        const NO_INPUT: &str =
            "nothing to compare with: give a cluster with --kubeconfig FILE, or --manifests FILE";
        if self.manifests.is_empty() {
            let Loaded { manifests, .. } = self.cluster.load(form, NO_INPUT).await?;
            Ok(manifests.snapshot)
        } else {
            Ok(manifests::load(&self.manifests)?.snapshot)
        }
    }
}

/// What policies say of connections now, and what they would say.
struct Judges<'a> {
    before: Judge<'a>,
    after: Judge<'a>,
    scope: NodeScope,
    own: BTreeSet<IpAddr>,
}

struct Judge<'a> {
    snapshot: &'a Snapshot,
    claimants: HashMap<IpAddr, Vec<&'a Pod>>,
}

impl<'a> Judge<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut claimants: HashMap<IpAddr, Vec<&Pod>> = HashMap::new();
        for pod in snapshot.pods.values() {
            for address in pod.network_addresses().iter() {
                claimants.entry(address).or_default().push(pod);
            }
        }
        Self {
            snapshot,
            claimants,
        }
    }

    fn claimants(&self, address: IpAddr) -> Vec<&'a Pod> {
        self.claimants.get(&address).cloned().unwrap_or_default()
    }
}

impl Judges<'_> {
    /// Those of the pods that are on this node now.
    fn local_addresses(&self) -> BTreeSet<IpAddr> {
        let pods = self.before.snapshot.pods.values();
        let local = pods.filter(|pod| self.scope.is_local(pod));
        local
            .flat_map(|pod| pod.network_addresses().iter())
            .collect()
    }

    /// Notes a connection, and whether it would be cut.
    fn judge(&self, connection: &Connection, found: &mut Found) {
        let objection = |judge: &Judge<'_>| {
            let claimants = |address| judge.claimants(address);
            objection(
                judge.snapshot,
                claimants,
                &self.scope,
                &self.own,
                connection,
            )
        };
        // It has ended of itself.
        if connection.is_over {
            return;
        }
        found.examined(connection);
        if objection(&self.before).is_none()
            && let Some(objection) = objection(&self.after)
        {
            let ends = [connection.source(), connection.destination()];
            let names = ends.map(|address| {
                let claimants = self.before.claimants(address);
                claimants.iter().map(|pod| pod.key.clone()).collect()
            });
            found.cut(connection, names, objection);
        }
    }
}
