//! Where `compile` and `explain` take objects from.

use std::path::PathBuf;

use clap::Args;
use kube::Client;
use policy_compiler::decode::spelling::distance;
use policy_compiler::model::{Name, NameError, ObjectKey, Pod, Snapshot};

use super::form::Form;
use super::{Failure, remark};
use crate::manifests::{self, Manifests};
use crate::source::{self, ClientError, ClusterConfig};

/// Manifests, or else a cluster.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Manifest file, or folder with *.yaml, *.yml and *.json files, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    filenames: Vec<PathBuf>,

    /// The same as -f PATH
    #[arg(value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    cluster: Cluster,
}

/// A cluster, by kubeconfig.
#[derive(Debug, Args)]
pub(super) struct Cluster {
    /// Read from the cluster of this kubeconfig [default: $KUBECONFIG, then ~/.kube/config, then the pod's own cluster]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
}

const NO_INPUT: &str = "nothing to read: give manifests with -f FILE, -f FOLDER or -f - (standard input), or a cluster \
     with --kubeconfig FILE";

/// What was read.
pub(super) struct Loaded {
    pub(super) manifests: Manifests,
    /// Where pods are that are named without a namespace, unless it is said.
    pub(super) namespace: Name,
}

impl Cluster {
    /// Whether it was asked for.
    pub(super) fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// Lists all objects it has. Without any cluster to ask, a program says `no_input`.
    pub(super) async fn load(&self, form: Form, no_input: &str) -> Result<Loaded, Failure> {
        let client = match self.connect().await {
            Ok(client) => client,
            Err(error) if form == Form::Program && !self.is_given() => {
                return Err(Failure::because(format!(
                    "{no_input}\n(no cluster by default: {error})"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        // A kubeconfig may say anything.
        let namespace = Name::parse(client.default_namespace());
        let namespace = namespace.or_else(|_| default_namespace())?;
        let (snapshot, problems) = source::list(&client).await?;
        for problem in problems {
            remark(&format!("warning: {problem}"));
        }
        let manifests = Manifests {
            snapshot,
            ..Manifests::default()
        };
        Ok(Loaded {
            manifests,
            namespace,
        })
    }

    /// A client for it. As kubectl does, a pod takes its own cluster if there is no kubeconfig.
    pub(super) async fn connect(&self) -> Result<Client, ClientError> {
        let kubeconfig = ClusterConfig::Kubeconfig {
            file: self.kubeconfig.clone(),
            context: self.context.clone(),
        };
        match source::connect(&kubeconfig).await {
            Err(_) if !self.is_given() && source::is_in_cluster() => {
                source::connect(&ClusterConfig::InCluster).await
            }
            client => client,
        }
    }
}

impl Input {
    /// A client, if objects come from a cluster.
    pub(super) async fn connect(&self) -> Option<Client> {
        let has_files = !self.filenames.is_empty() || !self.paths.is_empty();
        if has_files {
            return None;
        }
        self.cluster.connect().await.ok()
    }

    /// Reads all objects.
    pub(super) async fn load(&self, form: Form) -> Result<Loaded, Failure> {
        if !self.filenames.is_empty() || !self.paths.is_empty() {
            let paths: Vec<PathBuf> = self.filenames.iter().chain(&self.paths).cloned().collect();
            return Ok(Loaded {
                manifests: manifests::load(&paths)?,
                namespace: default_namespace()?,
            });
        }
        self.cluster.load(form, NO_INPUT).await
    }
}

fn default_namespace() -> Result<Name, NameError> {
    Name::parse("default")
}

/// The pod `namespace/name` of a snapshot; a mistyped name is answered with the nearest one.
pub(super) fn find_pod<'a>(snapshot: &'a Snapshot, key: &ObjectKey) -> Result<&'a Pod, Failure> {
    snapshot.pod(key).ok_or_else(|| {
        let wanted = key.to_string();
        let names = snapshot.pods.keys().map(ToString::to_string);
        let nearest = names.map(|name| (distance(&name, &wanted), name)).min();
        let hint = match nearest {
            Some((distance, name)) if distance <= 3 => format!("; did you mean {name}?"),
            Some(_)
                if snapshot
                    .pods
                    .keys()
                    .all(|pod| pod.namespace != key.namespace) =>
            {
                format!("; no pod is in namespace {}", key.namespace)
            }
            Some(_) => format!("; there are {} other pods", snapshot.pods.len()),
            None => ": there are no pods at all".to_owned(),
        };
        Failure::because(format!("there is no pod {key}{hint}"))
    })
}
