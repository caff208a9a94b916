//! The client for an API server, and what its errors mean.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tracing::info;

use super::Kind;

/// How long an answer, or the next part of one, may take: longer than any watch is silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);

/// Which API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterConfig {
    /// The cluster this process runs in as a pod.
    InCluster,
    /// As kubectl finds it: a file, else `$KUBECONFIG`, else `~/.kube/config`.
    Kubeconfig {
        /// The file, if not the usual one.
        file: Option<PathBuf>,
        /// The context, if not the file's current one.
        context: Option<String>,
    },
}

/// Why there is no client for an API server.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig is not usable.
    #[error("kubeconfig{}: {problem}", file.as_ref().map(|f| format!(" {}", f.display())).unwrap_or_default())]
    Kubeconfig {
        /// The file, if it is known which.
        file: Option<PathBuf>,
        /// What is wrong with it.
        problem: String,
    },
    /// The pod's environment lacks what a pod gets.
    #[error("not usable as a pod of a cluster: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The TLS or authentication settings are not usable.
    #[error("cannot set up the connection to the API server: {0}")]
    Client(String),
    /// The API server did not answer, or refused.
    #[error("cannot list {}: {problem}", .kind.plural())]
    List {
        /// The kind asked for.
        kind: Kind,
        /// What went wrong.
        problem: String,
    },
}

/// Whether this process runs in a pod.
pub fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|value| !value.is_empty())
}

/// Makes a client. Nothing is sent yet: an API server that is away is no error here.
pub async fn connect(cluster: &ClusterConfig) -> Result<Client, ClientError> {
    let mut config = match cluster {
        ClusterConfig::InCluster => Config::incluster()?,
        ClusterConfig::Kubeconfig { file, context } => {
            let refused = |error: KubeconfigError| match error {
                KubeconfigError::ReadConfig(error, path) => ClientError::Kubeconfig {
                    file: Some(path),
                    problem: format!("cannot be read: {error}"),
                },
                // In full this shows the lines around the mistake, and they may hold a token.
                KubeconfigError::Parse(error) => ClientError::Kubeconfig {
                    file: file.clone(),
                    problem: format!("not valid YAML: {}", error.without_snippet()),
                },
                error => ClientError::Kubeconfig {
                    file: file.clone(),
                    problem: in_full(&error),
                },
            };
            let kubeconfig = match file {
                Some(file) => Kubeconfig::read_from(file).map_err(refused)?,
                None => Kubeconfig::read().map_err(refused)?,
            };
            let known = contexts(&kubeconfig);
            if let Some(unknown) = context.as_ref().filter(|context| !known.contains(*context)) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let problem = format!(
                    "there is no context {unknown:?}; there are: {}",
                    known.join(", ")
                );
                return Err(ClientError::Kubeconfig {
                    file: file.clone(),
                    problem,
                });
            }
            let options = KubeConfigOptions {
                context: context.clone(),
                ..KubeConfigOptions::default()
            };
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(refused)?
        }
    };
    info!(api_server = %config.cluster_url, "watching the cluster");
    // A list must not wait for ever on a machine that has gone without a word.
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| ClientError::Client(in_full(&error)))
}

fn contexts(kubeconfig: &Kubeconfig) -> BTreeSet<String> {
    kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect()
}

/// What an error of a request for `kind` means, and what to do about it.
pub(super) fn describe(kind: Kind, error: &kube::Error) -> String {
    let rights = format!(
        "the verbs `list` and `watch` on {} in all namespaces (a ClusterRole)",
        kind.plural()
    );
    explain(error, &rights)
}

/// What an error of a request means that takes these rights.
pub(crate) fn explain(error: &kube::Error, rights: &str) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!("{}: the identity in use needs {rights}", status.message)
        }
        kube::Error::Api(status) if status.code == 401 => {
            format!(
                "{}: the API server does not accept the credentials",
                status.message
            )
        }
        kube::Error::Service(_) => format!("cannot reach the API server: {}", in_words(error)),
        other => in_words(other),
    }
}

/// What a request failed by, the API server's own words where it has some.
pub(crate) fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        // The outermost error only says that there was one in connecting.
        kube::Error::Service(error) => in_full(error.source().unwrap_or(error.as_ref())),
        other => in_full(other),
    }
}

/// An error with its causes, each said once: outer ones often quote inner ones.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
