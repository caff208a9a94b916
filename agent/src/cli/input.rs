//! Where `compile` and `explain` take objects from.

use std::path::PathBuf;

use clap::Args;
use policy_compiler::decode::spelling::distance;
use policy_compiler::model::{ObjectKey, Pod, Snapshot};

use super::{Failure, remark};
use crate::manifests::{self, Manifests};
use crate::source::{self, ClusterConfig};

/// Manifests, or else a cluster.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Manifest file, or folder with *.yaml, *.yml and *.json files, or - for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    filenames: Vec<PathBuf>,

    /// The same as -f PATH
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    cluster: Cluster,
}

/// A cluster, by kubeconfig.
#[derive(Debug, Args)]
pub(super) struct Cluster {
    /// Read the objects from the cluster of this kubeconfig [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filenames", "paths"])]
    pub(super) kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["filenames", "paths"])]
    pub(super) context: Option<String>,
}

const NO_INPUT: &str = "nothing to read: give manifests with -f FILE, -f FOLDER or -f - (standard input), or a cluster \
     with --kubeconfig FILE";

impl Input {
    /// Reads all objects.
    pub(super) async fn load(&self) -> Result<Manifests, Failure> {
        if !self.filenames.is_empty() || !self.paths.is_empty() {
            let paths: Vec<PathBuf> = self.filenames.iter().chain(&self.paths).cloned().collect();
            return Ok(manifests::load(&paths)?);
        }
        let Cluster {
            kubeconfig,
            context,
        } = &self.cluster;
        let config = ClusterConfig::Kubeconfig {
            file: kubeconfig.clone(),
            context: context.clone(),
        };
        let client = match source::connect(&config).await {
            Ok(client) => client,
            Err(error) if kubeconfig.is_none() && context.is_none() => {
                return Err(Failure::because(format!(
                    "{NO_INPUT}\n(no cluster by default: {error})"
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let (snapshot, problems) = source::list(&client).await?;
        for problem in problems {
            remark(&format!("warning: {problem}"));
        }
        Ok(Manifests {
            snapshot,
            ..Manifests::default()
        })
    }
}

/// The pod `namespace/name` of a snapshot; a mistyped name is answered with the nearest one.
pub(super) fn find_pod<'a>(snapshot: &'a Snapshot, key: &ObjectKey) -> Result<&'a Pod, Failure> {
    snapshot.pod(key).ok_or_else(|| {
        let wanted = key.to_string();
        let names = snapshot.pods.keys().map(ToString::to_string);
        let nearest = names.map(|name| (distance(&name, &wanted), name)).min();
        let hint = match nearest {
            Some((distance, name)) if distance <= 3 => format!("; did you mean {name}?"),
            Some(_) => format!("; there are {} other pods", snapshot.pods.len()),
            None => ": there are no pods at all".to_owned(),
        };
        Failure::because(format!("there is no pod {key}{hint}"))
    })
}
