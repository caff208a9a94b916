//! The API server as a source.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config};
use policy_compiler::model::{Namespace, Pod, Policy, Snapshot};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::object::{Object, Watched};
use super::relist::{Relist, Step};
use super::{Kind, Update};
use crate::telemetry::Telemetry;

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
    #[error("cannot list {kind}: {problem}")]
    List {
        /// The kind asked for.
        kind: Kind,
        /// What went wrong.
        problem: String,
    },
}

/// Makes a client. Nothing is sent yet: an API server that is away is no error here.
pub async fn connect(cluster: &ClusterConfig) -> Result<Client, ClientError> {
    let mut config = match cluster {
        ClusterConfig::InCluster => Config::incluster()?,
        ClusterConfig::Kubeconfig { file, context } => {
            let refused = |error: KubeconfigError| match error {
                KubeconfigError::ReadConfig(error, path) => {
                    ClientError::Kubeconfig { file: Some(path), problem: format!("cannot be read: {error}") }
                }
                error => ClientError::Kubeconfig { file: file.clone(), problem: in_full(&error) },
            };
            let kubeconfig = match file {
                Some(file) => Kubeconfig::read_from(file).map_err(refused)?,
                None => Kubeconfig::read().map_err(refused)?,
            };
            let known = contexts(&kubeconfig);
            if let Some(unknown) = context.as_ref().filter(|context| !known.contains(*context)) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let problem = format!("there is no context {unknown:?}; there are: {}", known.join(", "));
                return Err(ClientError::Kubeconfig { file: file.clone(), problem });
            }
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(refused)?
        }
    };
    info!(api_server = %config.cluster_url, "watching the cluster");
    // A list must not wait for ever on a machine that has gone without a word.
    config.read_timeout = Some(WATCH_TIMEOUT + Duration::from_secs(30));
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| ClientError::Client(in_full(&error)))
}

fn contexts(kubeconfig: &Kubeconfig) -> BTreeSet<String> {
    kubeconfig.contexts.iter().map(|context| context.name.clone()).collect()
}

/// How long a watch may be silent before it is asked for anew: bounds how long a dead connection goes unnoticed.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// An error that stays the same is told again after this.
const REMINDER: Duration = Duration::from_secs(60);

/// Watches the three kinds. Never ends: what fails is tried again, with growing pauses.
pub fn watch(client: &Client, telemetry: &Telemetry) -> impl Stream<Item = Update> + use<> {
    let kinds = [
        watch_kind::<Namespace>(client, telemetry),
        watch_kind::<Pod>(client, telemetry),
        watch_kind::<Policy>(client, telemetry),
    ];
    merge(stream::select_all(kinds), telemetry.clone())
}

/// Joins the kinds' steps, and says when all of them have been listed.
fn merge(steps: impl Stream<Item = (Kind, Step)>, telemetry: Telemetry) -> impl Stream<Item = Update> {
    let mut awaited = BTreeSet::from(Kind::ALL);
    for kind in Kind::ALL {
        telemetry.waiting_for(kind.plural(), None);
    }
    steps.flat_map(move |(kind, step)| {
        let mut updates: Vec<Update> = step.changes.into_iter().map(Update::Change).collect();
        if step.list_complete && awaited.remove(&kind) {
            telemetry.has_arrived(kind.plural());
            info!(kind = kind.plural(), "listed");
            updates.extend(awaited.is_empty().then_some(Update::Synced));
        }
        stream::iter(updates)
    })
}

fn watch_kind<T: Watched>(client: &Client, telemetry: &Telemetry) -> BoxStream<'static, (Kind, Step)>
where
    Object<T>: kube::Resource<DynamicType = ()>,
{
    let api: Api<Object<T>> = Api::all(client.clone());
    let seconds = u32::try_from(WATCH_TIMEOUT.as_secs()).unwrap_or(u32::MAX);
    let config = watcher::Config::default().timeout(seconds);
    let mut relist = Relist::<T>::new(telemetry.clone());
    let mut trouble = Trouble { kind: T::KIND, telemetry: telemetry.clone(), told: None, listed: false };
    watcher(api, config)
        .default_backoff()
        .map(move |result| match result {
            Ok(event) => {
                // `Init` only says that a list is about to be asked for.
                if !matches!(event, watcher::Event::Init) {
                    trouble.over();
                }
                let step = relist.step(event);
                trouble.listed |= step.list_complete;
                (T::KIND, step)
            }
            Err(error) => {
                trouble.with(&error);
                (T::KIND, Step::default())
            }
        })
        .boxed()
}

/// Tells of errors in proportion: a new one at once, the same one now and then, and when it is over.
struct Trouble {
    kind: Kind,
    telemetry: Telemetry,
    told: Option<(String, Instant)>,
    listed: bool,
}

impl Trouble {
    fn with(&mut self, error: &watcher::Error) {
        self.telemetry.source_failed(self.kind.plural());
        let problem = self.problem(error);
        if !self.listed {
            self.telemetry.waiting_for(self.kind.plural(), Some(problem.clone()));
        }
        if self.told.as_ref().is_some_and(|(told, when)| *told == problem && when.elapsed() < REMINDER) {
            debug!(kind = self.kind.plural(), error = problem, "still out of reach");
            return;
        }
        let meanwhile = if self.listed { "the rules stay as they are" } else { "no rules are written yet" };
        warn!(kind = self.kind.plural(), error = problem, meanwhile, "cannot watch; trying again");
        self.told = Some((problem, Instant::now()));
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            info!(kind = self.kind.plural(), "can watch again");
        }
    }

    fn problem(&self, error: &watcher::Error) -> String {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => describe(self.kind, error),
            watcher::Error::WatchError(status) => status.message.clone(),
            watcher::Error::NoResourceVersion => "the answer has no resourceVersion".to_owned(),
        }
    }
}

/// Lists the three kinds once. Objects with errors are in the snapshot as far as they were understood; the second part
/// of the answer tells what is wrong with them.
pub async fn list(client: &Client) -> Result<(Snapshot, Vec<String>), ClientError> {
    let mut snapshot = Snapshot::default();
    let mut problems = Vec::new();
    list_kind(client, &mut problems, |namespace| snapshot.add_namespace(namespace)).await?;
    list_kind(client, &mut problems, |pod| snapshot.add_pod(pod)).await?;
    list_kind(client, &mut problems, |policy| snapshot.add_policy(policy)).await?;
    Ok((snapshot, problems))
}

async fn list_kind<T: Watched>(
    client: &Client,
    problems: &mut Vec<String>,
    mut add: impl FnMut(T),
) -> Result<(), ClientError>
where
    Object<T>: kube::Resource<DynamicType = ()>,
{
    let api: Api<Object<T>> = Api::all(client.clone());
    let mut params = ListParams::default().limit(500);
    loop {
        let page = api
            .list(&params)
            .await
            .map_err(|error| ClientError::List { kind: T::KIND, problem: describe(T::KIND, &error) })?;
        for object in page.items {
            let name = format!("{} {}", T::NAME.to_lowercase(), object.display_name());
            problems.extend(object.decoded.errors.iter().map(|error| format!("{name}: {error}")));
            object.decoded.object.into_iter().for_each(&mut add);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn describe(kind: Kind, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "{}: the identity in use needs the verbs `list` and `watch` on {kind} in all namespaces (a ClusterRole)",
            status.message
        ),
        kube::Error::Api(status) if status.code == 401 => {
            format!("{}: the API server does not accept the credentials", status.message)
        }
        kube::Error::Api(status) => status.message.clone(),
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
