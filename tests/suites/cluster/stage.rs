//! A cluster with the pods of the scenarios, and how a scenario asks who reaches whom.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netpol_tests::control_plane;
use netpol_tests::kubernetes::{Cluster, ClusterError, Reply, Transport, request, wait_for};
use serde_json::{Value, json};

use crate::enforcement::Enforced;
use crate::pods::{self, OTHER_PORT, PORT};

/// How soon pods are up and changes are obeyed. Ordinarily it takes seconds and tenths of them; the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const OBEYED_WITHIN: Duration = Duration::from_secs(20);

/// A question and the answer that policy gives: from, to, whether it passes.
///
/// `from` is a pod, `outside`, or a node. `to` is one of:
///
/// * `NAMESPACE/POD`, its addresses; `NAMESPACE/POD:9090` on the other port
/// * `service/NAMESPACE/NAME`, the addresses of a Service
/// * `headless/NAMESPACE/NAME`, the addresses that a name server would give for it
/// * `NODE:PORT`, the addresses of a node
///
/// All addresses are asked, of both families, over TCP and (but for the other port and headless Services) UDP.
/// `to tcp` and `to udp` ask over one alone.
pub(crate) type Row<'a> = (&'a str, &'a str, bool);

/// What a scenario says at its end.
pub(crate) type Outcome = Result<(), String>;

pub(crate) struct Stage {
    pub(crate) enforced: Enforced,
    pub(crate) cluster: Cluster,
}

struct Question {
    text: String,
    from: File,
    to: SocketAddr,
    transport: Transport,
    passes: bool,
}

impl Stage {
    /// Creates the pods and Services that all scenarios share, and waits for them.
    pub(crate) fn set(&self) -> Result<(), ClusterError> {
        for namespace in ["shop", "guests"] {
            self.cluster
                .create_namespace(namespace, &json!({"team": namespace}))?;
        }
        self.cluster.apply(include_str!("stage.yaml"))?;
        let mut names = Vec::new();
        for (node, letter) in [("node-a", 'a'), ("node-b", 'b')] {
            let pods = [
                pods::server_with_host_port("shop", &format!("web-{letter}"), "web", node),
                pods::server("shop", &format!("client-{letter}"), "client", node),
                pods::server("guests", &format!("guest-{letter}"), "guest", node),
            ];
            for pod in &pods {
                self.cluster.control_plane().create(pod)?;
                names.push(key(pod));
            }
        }
        names
            .iter()
            .try_for_each(|name| self.wait_running(name).map(drop))
    }

    /// Waits for a pod, `NAMESPACE/NAME`, to be ready. Returns it.
    pub(crate) fn wait_running(&self, pod: &str) -> Result<Value, ClusterError> {
        wait_for(&format!("{pod} ready"), SOON, || {
            let found = self.object(pod)?;
            match is_ready(&found) {
                true => Ok(found),
                false => Err(found["status"].to_string()),
            }
        })
    }

    /// A pod as the API server has it.
    pub(crate) fn object(&self, pod: &str) -> Result<Value, String> {
        let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
        let object = control_plane::pod(namespace, name);
        let found = self.cluster.control_plane().get(&object);
        found.map_err(|error| error.to_string())
    }

    /// Has policies in force, waits until all rows are so, and takes the policies away.
    pub(crate) fn under(&self, policies: &str, rows: &[Row<'_>]) -> Outcome {
        self.cluster.apply(policies).map_err(text)?;
        let outcome = self.expect(rows);
        self.without(policies)?;
        outcome
    }

    /// Takes policies away.
    pub(crate) fn without(&self, policies: &str) -> Outcome {
        let delete = ["delete", "--wait=false", "-f", "-"];
        self.cluster
            .kubectl_with(&delete, policies)
            .map(drop)
            .map_err(text)
    }

    /// Waits until all rows are so, all at the same time.
    pub(crate) fn expect(&self, rows: &[Row<'_>]) -> Outcome {
        let asked = wait_for("what policies say", OBEYED_WITHIN, || {
            let mut questions = Vec::new();
            for row in rows {
                questions.extend(self.questions(row)?);
            }
            let wrong = ask(&questions);
            match wrong.is_empty() {
                true => Ok(()),
                false => Err(format!(
                    "{} of {} wrong:\n{}",
                    wrong.len(),
                    questions.len(),
                    wrong.join("\n")
                )),
            }
        });
        asked.map_err(text)
    }

    fn questions(&self, &(from, to, passes): &Row<'_>) -> Result<Vec<Question>, String> {
        let (target, only) = to.split_once(' ').unwrap_or((to, ""));
        let (addresses, mut transports) = self.targets(target)?;
        transports.retain(|transport| match only {
            "tcp" => *transport == Transport::Tcp,
            "udp" => *transport == Transport::Udp,
            _ => true,
        });
        let mut questions = Vec::new();
        for to in addresses {
            for &transport in &transports {
                questions.push(Question {
                    text: format!("{from} → {target} ({to} {transport:?})"),
                    from: self.network(from)?,
                    to,
                    transport,
                    passes,
                });
            }
        }
        Ok(questions)
    }

    fn targets(&self, to: &str) -> Result<(Vec<SocketAddr>, Vec<Transport>), String> {
        let both = vec![Transport::Tcp, Transport::Udp];
        let control = self.cluster.control_plane();
        if let Some((namespace, name)) = to
            .strip_prefix("service/")
            .and_then(|to| to.split_once('/'))
        {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}});
            let service = control.get(&service).map_err(|error| error.to_string())?;
            return Ok((sockets(&service["spec"]["clusterIPs"], "", 80), both));
        }
        if let Some((namespace, name)) = to
            .strip_prefix("headless/")
            .and_then(|to| to.split_once('/'))
        {
            let path = format!(
                "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name={name}"
            );
            let slices = control.read(&path).map_err(|error| error.to_string())?;
            let endpoints = slices["items"].as_array().into_iter().flatten();
            let endpoints =
                endpoints.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            let found: Vec<_> = endpoints
                .flat_map(|end| sockets(&end["addresses"], "", PORT))
                .collect();
            return match found.is_empty() {
                true => Err(format!("{to} has no endpoints")),
                false => Ok((found, vec![Transport::Tcp])),
            };
        }
        if let Some((node, port)) = to.split_once(':').filter(|(node, _)| !node.contains('/')) {
            let node = self
                .cluster
                .node(node)
                .map_err(|error| error.to_string())?
                .spec();
            let port = port.parse().map_err(|_| format!("no port in {to}"))?;
            let addresses = [IpAddr::V4(node.v4), IpAddr::V6(node.v6)];
            return Ok((addresses.map(|address| (address, port).into()).into(), both));
        }
        let (pod, port) = to.split_once(':').unwrap_or((to, ""));
        let (port, transports) = match port {
            "" => (PORT, both),
            _ => (OTHER_PORT, vec![Transport::Tcp]),
        };
        Ok((
            sockets(&self.object(pod)?["status"]["podIPs"], "ip", port),
            transports,
        ))
    }

    /// The network of a pod, a node or the outside.
    pub(crate) fn network(&self, from: &str) -> Result<File, String> {
        if from.contains('/') {
            let address = self.address(from)?;
            return self.cluster.pod_network(address).map_err(text);
        }
        let path = match from {
            "outside" => self.cluster.control().path(),
            node => self.cluster.node(node).map_err(text)?.netns().path(),
        };
        File::open(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The first address of a pod.
    pub(crate) fn address(&self, pod: &str) -> Result<IpAddr, String> {
        let pod_object = self.object(pod)?;
        let address = pod_object["status"]["podIP"].as_str().unwrap_or_default();
        address.parse().map_err(|_| format!("{pod} has no address"))
    }
}

/// Asks all at once; returns what came out otherwise than it should.
fn ask(questions: &[Question]) -> Vec<String> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = questions
            .iter()
            .map(|question| {
                scope.spawn(move || request(&question.from, question.to, question.transport))
            })
            .collect();
        let replies = asking
            .into_iter()
            .zip(questions)
            .filter_map(|(thread, question)| {
                let reply = thread.join().unwrap_or(Reply::Fault("panicked".to_owned()));
                let is_right = match reply {
                    Reply::Pod(_) => question.passes,
                    Reply::Silence => !question.passes,
                    Reply::Fault(_) => false,
                };
                let expected = if question.passes {
                    "an answer"
                } else {
                    "silence"
                };
                (!is_right).then(|| format!("  {}: {reply}, not {expected}", question.text))
            });
        replies.collect()
    })
}

/// Whether a pod's status says that it is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// `NAMESPACE/NAME`
pub(crate) fn key(object: &Value) -> String {
    let word = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    format!("{}/{}", word("namespace"), word("name"))
}

/// The addresses in a list, each an item or a field of it.
fn sockets(list: &Value, field: &str, port: u16) -> Vec<SocketAddr> {
    let items = list.as_array().into_iter().flatten();
    let words = items.filter_map(|item| {
        let word = if field.is_empty() { item } else { &item[field] };
        word.as_str()?.parse::<IpAddr>().ok()
    });
    words.map(|address| (address, port).into()).collect()
}

/// An error as scenarios tell it.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
