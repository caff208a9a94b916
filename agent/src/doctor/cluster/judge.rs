//! What the cluster's answers amount to.

use jiff::SignedDuration;
use policy_compiler::model::Name;

use super::{CHECK, RIGHTS_OF_EVENTS, Right};
use crate::doctor::Finding;
use crate::source::ClientError;

/// Seconds that clocks may differ by.
const AGREEMENT: i64 = 30;

impl Finding {
    /// No cluster was named.
    #[must_use]
    pub fn no_cluster() -> Self {
        Self::ok(
            CHECK,
            "no cluster was asked: this is no pod of one; --kubeconfig names one",
        )
    }

    /// The settings for the cluster are of no use.
    #[must_use]
    pub fn unusable_cluster(error: &ClientError) -> Self {
        Self::error(
            CHECK,
            error.to_string(),
            "give the agent's own --kubeconfig, or --no-cluster",
        )
    }
}

pub(super) fn clock(difference: Option<SignedDuration>) -> Finding {
    let Some(seconds) = difference.map(|difference| difference.as_secs()) else {
        return Finding::ok(CHECK, "the API server answers, and does not tell the time");
    };
    if seconds.abs() <= AGREEMENT {
        return Finding::ok(CHECK, "the API server answers, and its clock agrees");
    }
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    Finding::warning(
        CHECK,
        format!(
            "this node's clock is {} s {direction} the API server's: certificates may pass for invalid, and the flow \
             log's time stamps are off",
            seconds.abs()
        ),
        "set the clock by NTP on both",
    )
    .about("clock")
}

/// `untold` is why the rest of the rights is not known, should it not be.
pub(super) fn rights(denied: &[Right], untold: Option<&str>) -> Vec<Finding> {
    if denied.is_empty() && untold.is_none() {
        return vec![Finding::ok(
            CHECK,
            "this identity has the rights that the agent needs",
        )];
    }
    let untold = untold.map(|error| {
        let found = format!("the API server does not say what this identity may do: {error}");
        let advice = "see that it may create selfsubjectaccessreviews of authorization.k8s.io";
        Finding::warning(CHECK, found, advice).about("rights")
    });
    let told = |(group, resource, verb): &Right| {
        let subject = format!("{verb} {resource}");
        if RIGHTS_OF_EVENTS.contains(&(group, resource, verb)) {
            let found =
                format!("this identity may not {verb} events: --kubernetes-events writes none");
            let advice =
                "set agent.kubernetesEvents in the chart; without it apply deploy/rbac-events.yaml";
            return Finding::warning(CHECK, found, advice).about(&subject);
        }
        let found = format!(
            "this identity may not {verb} {resource} in all namespaces: an agent never learns all it must know, and \
             writes no rules"
        );
        let advice = "install the chart anew, with rbac.create; agents in kube-system without it need deploy/rbac.yaml; or is this \
            the wrong kubeconfig?";
        Finding::error(CHECK, found, advice).about(&subject)
    };
    denied.iter().map(told).chain(untold).collect()
}

pub(super) fn node(node: &Name, nodes: &[String]) -> Finding {
    let is_it = |name: &String| name == node.as_str();
    match nodes {
        nodes if nodes.iter().any(is_it) => {
            Finding::ok(CHECK, format!("pods run on node {node}"))
        }
        [] => Finding::ok(CHECK, "no pod runs on any node yet"),
        [other, ..] => Finding::warning(
            CHECK,
            format!(
                "no pod runs on node {node}; others run on {other}. Until one does, an agent of that name writes no rules"
            ),
            "see that --node-name or NODE_NAME is the node's name as in spec.nodeName of its pods (`kubectl get nodes`)",
        )
        .about("node"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Level;
    use super::super::RIGHTS;
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let level = |seconds: Option<i64>| clock(seconds.map(SignedDuration::from_secs));
        for (seconds, expected, words) in [
            (None, Level::Ok, "does not tell"),
            (Some(0), Level::Ok, "agrees"),
            (Some(-30), Level::Ok, "agrees"),
            (Some(31), Level::Warning, "31 s ahead of"),
            (Some(-3600), Level::Warning, "3600 s behind"),
        ] {
            let finding = level(seconds);
            assert_eq!(finding.level, expected, "{finding}");
            assert!(finding.found.contains(words), "{finding}");
        }
    }

    #[test]
    fn what_is_denied_is_named() {
        assert_eq!(rights(&[], None)[0].level, Level::Ok);
        let findings = rights(&[RIGHTS[5], RIGHTS_OF_EVENTS[0]], None);
        let [policies, events] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(policies.level, Level::Error);
        assert!(
            policies.found.contains("watch networkpolicies"),
            "{policies}"
        );
        assert_eq!(events.level, Level::Warning);
        assert!(events.to_string().contains("rbac-events"), "{events}");
    }

    #[test]
    fn what_is_not_known_is_not_called_well() {
        let findings = rights(&[], Some("forbidden"));
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Warning], "{findings:?}");
        let findings = rights(&[RIGHTS[0]], Some("no answer"));
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Error, Level::Warning], "{findings:?}");
    }

    #[test]
    fn a_node_without_pods_may_be_mistyped() {
        let name = Name::parse("node-a").expect("a name");
        for (nodes, level) in [
            (&["node-a"][..], Level::Ok),
            (&[], Level::Ok),
            (&["node-b"], Level::Warning),
        ] {
            let nodes: Vec<String> = nodes.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(node(&name, &nodes).level, level, "{nodes:?}");
        }
    }
}
