//! The logs of all agents' pods, as the API server hands them on.
//!
//! What was there when reading began comes by time, what comes later as it arrives. A connection that ends is made anew where the
//! log was left: nothing is told twice, and nothing is missing that the node still has.

mod pod;
mod position;
mod stream;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use policy_compiler::model::Name;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use super::Merge;
use super::source::Message;
use crate::source::explain;
use pod::AgentPod;
use stream::Log;

/// How often agents are looked for that have come since.
const LOOK: Duration = Duration::from_secs(5);
/// How many logs are asked for at a time.
const REQUESTS: usize = 32;

/// What the identity in use has to be allowed.
const RIGHTS: &str =
    "the verb `list` on pods and `get` on pods/log in the agents' namespace (a Role)";

/// Which logs, and how much of them.
#[derive(Clone, Debug)]
pub struct Agents {
    /// Where the pods are.
    pub namespace: Name,
    /// Which pods they are, by their labels, as the API server takes it.
    pub selector: String,
    /// Only those on these nodes; all if empty.
    pub nodes: Vec<Name>,
    /// Nothing that was written before.
    pub since: Option<Timestamp>,
    /// So many lines of each log that is there, the last ones.
    pub tail: Option<u32>,
    /// Go on when the end is reached, with agents that come then, too.
    pub follow: bool,
}

/// Why no agent's log can be read.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// The API server does not tell which pods there are.
    #[error("cannot list the agents' pods in namespace {namespace}: {problem}")]
    List {
        /// The namespace asked for.
        namespace: Name,
        /// What went wrong, and what to do about it.
        problem: String,
    },
    /// There are no such pods.
    #[error(
        "no agent found: namespace {namespace} has no pod with labels {selector}; where they are, and which, is said by \
         --agents-namespace and --agents-selector"
    )]
    None {
        /// The namespace asked for.
        namespace: Name,
        /// The labels asked for.
        selector: String,
    },
    /// There are, but not on the nodes that are wanted.
    #[error("no agent runs on {}; there are agents on {}", wanted.join(", "), there.join(", "))]
    NotOn {
        /// The nodes asked for.
        wanted: Vec<String>,
        /// The nodes that have an agent.
        there: Vec<String>,
    },
}

impl Agents {
    /// Begins to read. One log that cannot be read is told, and does not keep the others from being read.
    pub async fn open(self, client: Client) -> Result<Merge, AgentsError> {
        let reading = Reading {
            api: Api::namespaced(client, self.namespace.as_str()),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            agents: Arc::new(self),
        };
        let pods = reading.list().await?;
        let wanted: Vec<AgentPod> = pods
            .iter()
            .filter(|pod| reading.wants(pod))
            .cloned()
            .collect();
        if wanted.is_empty() {
            return Err(reading.agents.nothing(&pods));
        }
        let known = wanted.iter().map(|pod| pod.uid().to_owned()).collect();
        let logs = wanted.into_iter().map(|pod| reading.start(pod)).collect();
        let newcomers = reading.agents.follow.then(|| {
            let (sender, newcomers) = mpsc::channel(1);
            tokio::spawn(reading.look_for_newcomers(known, sender));
            newcomers
        });
        Ok(Merge::of(logs, newcomers))
    }

    fn nothing(&self, pods: &[AgentPod]) -> AgentsError {
        if pods.is_empty() {
            return AgentsError::None {
                namespace: self.namespace.clone(),
                selector: self.selector.clone(),
            };
        }
        let mut there: Vec<String> = pods.iter().map(|pod| pod.node().to_owned()).collect();
        there.sort();
        AgentsError::NotOn {
            wanted: self.nodes.iter().map(ToString::to_string).collect(),
            there,
        }
    }
}

/// What is the same for all logs.
struct Reading {
    api: Api<AgentPod>,
    agents: Arc<Agents>,
    requests: Arc<Semaphore>,
}

impl Reading {
    async fn list(&self) -> Result<Vec<AgentPod>, AgentsError> {
        let refused = |error| AgentsError::List {
            namespace: self.agents.namespace.clone(),
            problem: explain(&error, RIGHTS),
        };
        let mut params = ListParams::default()
            .labels(&self.agents.selector)
            .limit(500);
        let mut pods = Vec::new();
        loop {
            let page = self.api.list(&params).await.map_err(refused)?;
            pods.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(pods),
            }
        }
    }

    fn wants(&self, pod: &AgentPod) -> bool {
        let nodes = &self.agents.nodes;
        nodes.is_empty() || nodes.iter().any(|node| node.as_str() == pod.node())
    }

    fn start(&self, pod: AgentPod) -> mpsc::Receiver<Message> {
        // The task stays only a little ahead of who shows the lines.
        let (sender, messages) = mpsc::channel(1);
        let log = Log {
            pod,
            api: self.api.clone(),
            agents: self.agents.clone(),
            requests: self.requests.clone(),
            sender,
        };
        tokio::spawn(log.read());
        messages
    }

    /// A look that fails is followed by another; what is wrong then, those tell that read the logs.
    async fn look_for_newcomers(
        self,
        mut known: HashSet<String>,
        sender: mpsc::Sender<mpsc::Receiver<Message>>,
    ) {
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = sleep(LOOK) => {}
            }
            let Ok(pods) = self.list().await else {
                continue;
            };
            known.retain(|uid| pods.iter().any(|pod| pod.uid() == uid));
            for pod in pods {
                // Until it is on a node it has no log, and nobody knows whether it is wanted.
                let is_placed = !pod.node().is_empty();
                if is_placed && self.wants(&pod) && known.insert(pod.uid().to_owned()) {
                    // Its first line is not to be missed, however long ago the others were begun with.
                    let messages = self.start(pod);
                    if sender.send(messages).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
