//! Where this node's pods are: as flags say, or the Node object.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, Error};
use policy_compiler::compile::PodPlaces;
use policy_compiler::model::Name;
use tokio::time::{sleep, timeout};

use crate::source::in_words;

/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// So often it is asked before nobody knows. What an earlier run has closed would be opened otherwise, because of one
/// request that failed.
const TRIES: u32 = 3;

/// A node that is made anew by the same name may get other ranges.
const ASKED_AGAIN: Duration = Duration::from_secs(300);

/// Where pods are, or why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// They are there, and nowhere else.
    Known(PodPlaces),
    /// In words for people.
    Unknown(String),
}

/// What flags say.
pub fn fixed(places: PodPlaces) -> impl Stream<Item = Ranges> + Send {
    let known = Ranges::Known(places);
    stream::iter([known]).chain(stream::pending())
}

/// What the Node object says, which is asked for until it says something.
pub fn of_node(client: Client, node: Name) -> impl Stream<Item = Ranges> + Send {
    news(asked(move || {
        let (client, node) = (client.clone(), node.clone());
        async move { ask(&client, &node).await }
    }))
}

/// The answers, as often as it is asked; `Err` says why there is none.
fn asked<F>(ask: impl FnMut() -> F + Send) -> impl Stream<Item = Ranges> + Send
where
    F: Future<Output = Result<Ranges, String>> + Send,
{
    let start = (ask, Duration::ZERO, FIRST_RETRY);
    stream::unfold(start, async |(mut ask, mut pause, retry)| {
        let mut tries = 0;
        let ranges = loop {
            sleep(pause).await;
            tries += 1;
            match ask().await {
                Ok(ranges) => break ranges,
                Err(why) if tries == TRIES => break Ranges::Unknown(why),
                Err(_) => pause = FIRST_RETRY,
            }
        };
        let (pause, next) = match ranges {
            Ranges::Known(_) => (ASKED_AGAIN, FIRST_RETRY),
            Ranges::Unknown(_) => (retry, (retry * 2).min(LAST_RETRY)),
        };
        Some((ranges, (ask, pause, next)))
    })
}

/// The answers that tell something else than the one before. What was known once stays known.
fn news(answers: impl Stream<Item = Ranges> + Send) -> impl Stream<Item = Ranges> + Send {
    let mut told: Option<Ranges> = None;
    answers.filter_map(move |ranges| {
        let is_loss = matches!(
            (&told, &ranges),
            (Some(Ranges::Known(_)), Ranges::Unknown(_))
        );
        let is_news = !is_loss && told.as_ref() != Some(&ranges);
        if is_news {
            told = Some(ranges.clone());
        }
        std::future::ready(is_news.then_some(ranges))
    })
}

/// `Err` if another answer may come at any time, as while the API server is busy or away.
async fn ask(client: &Client, node: &Name) -> Result<Ranges, String> {
    let nodes: Api<Node> = Api::all(client.clone());
    let not_shown = |why: &str| format!("the API server does not show node {node}: {why}");
    match timeout(PATIENCE, nodes.get(node.as_str())).await {
        Ok(Ok(object)) => Ok(of_object(node, object)),
        Ok(Err(Error::Api(status))) if status.code == 403 => Ok(Ranges::Unknown(format!(
            "{}; the chart and deploy/rbac.yaml give the right",
            not_shown(&status.message)
        ))),
        Ok(Err(Error::Api(status))) if status.code == 404 => {
            Ok(Ranges::Unknown(not_shown(&status.message)))
        }
        Ok(Err(Error::Api(status))) => Err(not_shown(&status.message)),
        Ok(Err(error)) => Err(format!(
            "node {node} cannot be asked for: {}",
            in_words(&error)
        )),
        Err(_) => Err(format!(
            "node {node} cannot be asked for: no answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

/// What the Node object says now, if anything.
pub(crate) async fn places_of(client: &Client, node: &Name) -> Option<PodPlaces> {
    match ask(client, node).await {
        Ok(Ranges::Known(places)) => Some(places),
        Ok(Ranges::Unknown(_)) | Err(_) => None,
    }
}

/// What a Node object says.
pub(crate) fn of_object(node: &Name, object: Node) -> Ranges {
    let spec = object.spec.unwrap_or_default();
    let texts = match spec.pod_cidrs {
        Some(texts) if !texts.is_empty() => texts,
        _ => spec.pod_cidr.into_iter().collect(),
    };
    let networks: Result<BTreeSet<IpNet>, _> = texts
        .iter()
        .map(|text| text.parse::<IpNet>().map(|network| network.trunc()))
        .collect();
    match networks {
        Ok(networks) if networks.is_empty() => Ranges::Unknown(format!(
            "node {node} has no spec.podCIDRs, which some network plugins do not use"
        )),
        Ok(networks) => Ranges::Known(PodPlaces {
            networks,
            ..PodPlaces::default()
        }),
        Err(_) => Ranges::Unknown(format!(
            "spec.podCIDRs of node {node} are no networks: {texts:?}"
        )),
    }
}

/// `10.244.1.0/24, cali*`
pub(super) fn words(places: &PodPlaces) -> String {
    let networks = places.networks.iter().map(ToString::to_string);
    let interfaces = places.interfaces.iter().map(ToString::to_string);
    networks.chain(interfaces).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use serde_json::json;

    use super::*;

    fn told(spec: &serde_json::Value) -> Result<String, String> {
        let node = json!({"metadata": {"name": "node-a"}, "spec": spec});
        let object = serde_json::from_value(node).expect("a node");
        match of_object(&Name::parse("node-a").expect("valid"), object) {
            Ranges::Known(places) => Ok(words(&places)),
            Ranges::Unknown(why) => Err(why),
        }
    }

    #[test]
    fn the_node_says_where_its_pods_are() {
        let both =
            json!({"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:1::7/64"]});
        assert_eq!(
            told(&both).as_deref(),
            Ok("10.244.1.0/24, fd00:1::/64"),
            "as networks, without what is of one address"
        );
        let older = json!({"podCIDR": "10.244.1.0/24"});
        assert_eq!(told(&older).as_deref(), Ok("10.244.1.0/24"));
        for (spec, word) in [
            (json!({}), "no spec.podCIDRs"),
            (json!({"podCIDRs": []}), "no spec.podCIDRs"),
            (json!({"podCIDRs": ["10.244.1.0"]}), "no networks"),
        ] {
            let why = told(&spec).expect_err("nothing of use");
            assert!(why.contains(word) && why.contains("node-a"), "{why}");
        }
    }

    fn known(network: &str) -> Ranges {
        let networks = BTreeSet::from([network.parse().expect("a network")]);
        Ranges::Known(PodPlaces {
            networks,
            ..PodPlaces::default()
        })
    }

    fn unknown(why: &str) -> Ranges {
        Ranges::Unknown(why.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_that_fails_says_nothing() {
        let away = || Err("away".to_owned());
        let first = known("10.0.0.0/24");
        for (answers, expected) in [
            (vec![away(), away(), Ok(first.clone())], first.clone()),
            (vec![away(), away(), away()], unknown("away")),
            (vec![Ok(unknown("no spec"))], unknown("no spec")),
        ] {
            let mut answers = answers.into_iter();
            let told = asked(move || {
                let answer = answers.next().expect("not asked that often");
                std::future::ready(answer)
            });
            assert_eq!(pin!(told).next().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn only_news_are_told_and_nothing_is_lost() {
        let (first, second) = (known("10.0.0.0/24"), known("10.0.1.0/24"));
        let answers = [
            unknown("a"),
            unknown("a"),
            unknown("b"),
            first.clone(),
            unknown("a"),
            first.clone(),
            second.clone(),
        ];
        let told: Vec<Ranges> = news(stream::iter(answers)).collect().await;
        assert_eq!(told, [unknown("a"), unknown("b"), first, second]);
    }
}
