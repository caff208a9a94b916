//! What an agent needs of the cluster: rights, a clock that agrees, and the node's name.

mod judge;

use std::time::Duration;

use axum::http::{Request, header};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::client::Body;
use kube::{Client, Error};
use policy_compiler::model::Name;
use tokio::time::timeout;

use super::{Finding, PodStartQuestions};
use crate::source::in_words;

const CHECK: &str = "cluster";

/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pods that are asked for to learn the names of nodes.
const SAMPLE: u32 = 50;

/// What to ask the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterQuestions {
    /// The node's name, as its pods bear it.
    pub node: Option<Name>,
    /// Whether Events are to be written.
    pub writes_events: bool,
    /// How pods are to start.
    pub pod_start: PodStartQuestions,
}

/// A right that the agent needs.
type Right = (&'static str, &'static str, &'static str);

const RIGHTS: [Right; 6] = [
    ("", "pods", "list"),
    ("", "pods", "watch"),
    ("", "namespaces", "list"),
    ("", "namespaces", "watch"),
    ("networking.k8s.io", "networkpolicies", "list"),
    ("networking.k8s.io", "networkpolicies", "watch"),
];

const RIGHTS_OF_EVENTS: [Right; 2] = [
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "patch"),
];

/// Asks the cluster all of that.
pub async fn examine_cluster(client: &Client, questions: &ClusterQuestions) -> Vec<Finding> {
    let mut findings = Vec::new();
    match in_time(clock(client)).await {
        Ok(difference) => findings.push(judge::clock(difference)),
        Err(error) => {
            let found = format!("the API server cannot be asked: {error}");
            let advice = "an agent here learns of no policy, and writes no rules; see to its address, certificates and \
                credentials, and to the route there";
            return vec![Finding::error(CHECK, found, advice)];
        }
    }
    let mut rights = RIGHTS.to_vec();
    if questions.writes_events {
        rights.extend(RIGHTS_OF_EVENTS);
    }
    let (mut denied, mut untold) = (Vec::new(), None);
    for right in rights {
        match in_time(may(client, right)).await {
            Ok(true) => {}
            Ok(false) => denied.push(right),
            Err(error) => {
                untold = Some(error);
                break;
            }
        }
    }
    findings.extend(judge::rights(&denied, untold.as_deref()));
    findings.extend(places(client, questions).await);
    if let Some(node) = &questions.node {
        match in_time(nodes(client, node)).await {
            Ok(found) => findings.push(judge::node(node, &found)),
            // That it may not list pods is said already.
            Err(_) if !denied.is_empty() => {}
            Err(error) => {
                let found =
                    format!("the API server does not tell whether node {node} has pods: {error}");
                findings.push(Finding::warning(CHECK, found, "ask again").about("node"));
            }
        }
    }
    findings
}

/// Where the node's pods are, by its object.
async fn places(client: &Client, questions: &ClusterQuestions) -> Option<Finding> {
    let (pod_start, Some(node)) = (&questions.pod_start, &questions.node) else {
        return questions.pod_start.without_node();
    };
    if !pod_start.asks_the_node() {
        return None;
    }
    let nodes: Api<Node> = Api::all(client.clone());
    let object = in_time(nodes.get(node.as_str())).await;
    Some(pod_start.of_node(node, object))
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| in_words(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// How far the node's clock is ahead, if the API server tells the time.
async fn clock(client: &Client) -> Result<Option<SignedDuration>, Error> {
    let request = Request::get("/version").body(Body::empty());
    let request = request.map_err(Error::HttpError)?;
    let before = Timestamp::now();
    let response = client.send(request).await?;
    let took = Timestamp::now().duration_since(before);
    let date = response.headers().get(header::DATE);
    let date = date.and_then(|date| parsed(date.to_str().ok()?));
    // It was written some time in between.
    Ok(date.map(|date| before.duration_since(date) + took / 2))
}

fn parsed(date: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(date.timestamp())
}

async fn may(client: &Client, (group, resource, verb): Right) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The nodes of some pods: that of this name alone if it has any.
async fn nodes(client: &Client, node: &Name) -> Result<Vec<String>, Error> {
    let pods: Api<Pod> = Api::all(client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    if !pods.list(&here.limit(1)).await?.items.is_empty() {
        return Ok(vec![node.to_string()]);
    }
    let some = pods.list(&ListParams::default().limit(SAMPLE)).await?;
    let of_pod = |pod: Pod| pod.spec?.node_name;
    let mut nodes: Vec<String> = some.items.into_iter().filter_map(of_pod).collect();
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_time() {
        let date = parsed("Sat, 21 Nov 2026 16:45:40 GMT").expect("a date");
        assert_eq!(date.as_second(), 1_795_279_540);
        assert_eq!(parsed("yesterday"), None);
    }
}
