//! Rows of who reaches whom, as requests to every address that is meant.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use netpol_tests::kubernetes::{Reply, Transport, request};
use serde_json::{Value, json};

use crate::pods::{OTHER_PORT, PORT};
use crate::stage::{Stage, text};

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

pub(crate) struct Question {
    text: String,
    from: File,
    to: SocketAddr,
    transport: Transport,
    passes: bool,
}

impl Stage {
    /// What a row asks.
    pub(crate) fn questions(&self, &(from, to, passes): &Row<'_>) -> Result<Vec<Question>, String> {
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

    /// The addresses of a row's `to`.
    pub(crate) fn sockets_of(&self, to: &str) -> Result<Vec<SocketAddr>, String> {
        self.targets(to).map(|(sockets, _)| sockets)
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
            return if found.is_empty() {
                Err(format!("{to} has no endpoints"))
            } else {
                Ok((found, vec![Transport::Tcp]))
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
}

/// Asks all at once; returns what came out otherwise than it should.
pub(crate) fn ask(questions: &[Question]) -> Vec<String> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = questions
            .iter()
            .map(|question| {
                scope.spawn(move || {
                    let Question { from, to, .. } = question;
                    request(from, *to, question.transport, question.passes)
                })
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

/// The addresses in a list, each an item or a field of it.
pub(crate) fn sockets(list: &Value, field: &str, port: u16) -> Vec<SocketAddr> {
    let items = list.as_array().into_iter().flatten();
    let words = items.filter_map(|item| {
        let word = if field.is_empty() { item } else { &item[field] };
        word.as_str()?.parse::<IpAddr>().ok()
    });
    words.map(|address| (address, port).into()).collect()
}
