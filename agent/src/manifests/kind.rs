//! Which objects netpol reads, and which are a slip of the pen.

use policy_compiler::decode::spelling::distance;

/// What an object is to netpol, by its `apiVersion` and `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `v1` Namespace
    Namespace,
    /// `v1` Pod
    Pod,
    /// `networking.k8s.io/v1` NetworkPolicy
    NetworkPolicy,
    /// `v1` List, or a list of one kind, whose items may leave out what the list's own kind says.
    List(Option<(&'static str, &'static str)>),
    /// An object that policy does not depend on.
    Other,
}

const POLICY_VERSION: &str = "networking.k8s.io/v1";

/// The kinds of `v1`, lists aside.
const CORE: [&str; 19] = [
    "Binding",
    "ComponentStatus",
    "ConfigMap",
    "Endpoints",
    "Event",
    "LimitRange",
    "List",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "Secret",
    "Service",
    "ServiceAccount",
    "Status",
];

/// The kinds of `networking.k8s.io/v1`, lists aside.
const NETWORKING: [&str; 5] = [
    "IPAddress",
    "Ingress",
    "IngressClass",
    "NetworkPolicy",
    "ServiceCIDR",
];

/// What is wrong with an `apiVersion` or a `kind`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misnomer {
    /// `apiVersion` or `kind`
    pub(super) field: &'static str,
    pub(super) problem: String,
}

impl Kind {
    /// Tells what an object is. An object that is meant for netpol but would be passed over is a mistake: a policy
    /// that silently does nothing leaves its pods open.
    pub(super) fn of(api_version: &str, kind: &str) -> Result<Self, Misnomer> {
        match (api_version, kind) {
            ("v1", "Namespace") => Ok(Self::Namespace),
            ("v1", "Pod") => Ok(Self::Pod),
            (POLICY_VERSION, "NetworkPolicy") => Ok(Self::NetworkPolicy),
            ("v1", "List") => Ok(Self::List(None)),
            ("v1", "NamespaceList") => Ok(Self::List(Some(("v1", "Namespace")))),
            ("v1", "PodList") => Ok(Self::List(Some(("v1", "Pod")))),
            (POLICY_VERSION, "NetworkPolicyList") => {
                Ok(Self::List(Some((POLICY_VERSION, "NetworkPolicy"))))
            }
            ("v1", _) if !is_one_of(&CORE, kind) => Err(unknown_kind("v1", kind, &CORE)),
            (POLICY_VERSION, _) if !is_one_of(&NETWORKING, kind) => {
                Err(unknown_kind(POLICY_VERSION, kind, &NETWORKING))
            }
            _ => match home(kind) {
                Some(home) if home != api_version && is_kubernetes_own(api_version) => {
                    Err(Misnomer {
                        field: "apiVersion",
                        problem: format!("{kind} is not in {api_version:?}: write {home:?}"),
                    })
                }
                _ => Ok(Self::Other),
            },
        }
    }
}

fn home(kind: &str) -> Option<&'static str> {
    match kind {
        "Namespace" | "Pod" | "NamespaceList" | "PodList" | "List" => Some("v1"),
        "NetworkPolicy" | "NetworkPolicyList" => Some(POLICY_VERSION),
        _ => None,
    }
}

/// Other projects have a NetworkPolicy of their own; Kubernetes' groups are those without a dot or under `k8s.io`.
fn is_kubernetes_own(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn is_one_of(kinds: &[&str], kind: &str) -> bool {
    kinds.contains(
        &kind
            .strip_suffix("List")
            .filter(|singular| !singular.is_empty())
            .unwrap_or(kind),
    )
}

fn unknown_kind(api_version: &str, kind: &str, kinds: &[&str]) -> Misnomer {
    let problem = match home(kind) {
        Some(home) => {
            return Misnomer {
                field: "apiVersion",
                problem: format!("{kind} is in {home:?}"),
            };
        }
        None => format!("there is no {kind:?} in {api_version:?}"),
    };
    let candidates = kinds.iter().chain(&["NetworkPolicy"]);
    let (distance, nearest) = candidates
        .map(|k| (distance(k, kind), *k))
        .min()
        .unwrap_or((usize::MAX, ""));
    let problem = if distance <= 3 {
        format!("{problem}; did you mean {nearest:?}?")
    } else {
        problem
    };
    Misnomer {
        field: "kind",
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: apiVersion, kind, what it is or the complaint.
    #[test]
    fn kinds() {
        let rows: &[(&str, &str, Result<Kind, &str>)] = &[
            ("v1", "Pod", Ok(Kind::Pod)),
            ("v1", "Namespace", Ok(Kind::Namespace)),
            (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                Ok(Kind::NetworkPolicy),
            ),
            ("v1", "List", Ok(Kind::List(None))),
            ("v1", "PodList", Ok(Kind::List(Some(("v1", "Pod"))))),
            ("v1", "Service", Ok(Kind::Other)),
            ("v1", "ServiceList", Ok(Kind::Other)),
            ("apps/v1", "Deployment", Ok(Kind::Other)),
            ("networking.k8s.io/v1", "Ingress", Ok(Kind::Other)),
            ("crd.projectcalico.org/v1", "NetworkPolicy", Ok(Kind::Other)),
            ("metrics.k8s.io/v1beta1", "PodMetrics", Ok(Kind::Other)),
            (
                "extensions/v1beta1",
                "NetworkPolicy",
                Err(
                    "apiVersion: NetworkPolicy is not in \"extensions/v1beta1\": write \"networking.k8s.io/v1\"",
                ),
            ),
            (
                "networking.k8s.io/v1beta1",
                "NetworkPolicy",
                Err(
                    "apiVersion: NetworkPolicy is not in \"networking.k8s.io/v1beta1\": write \"networking.k8s.io/v1\"",
                ),
            ),
            (
                "v1",
                "NetworkPolicy",
                Err("apiVersion: NetworkPolicy is in \"networking.k8s.io/v1\""),
            ),
            (
                "networking.k8s.io/v1",
                "Pod",
                Err("apiVersion: Pod is in \"v1\""),
            ),
            (
                "networking.k8s.io/v1",
                "NetworkPolcy",
                Err(
                    "kind: there is no \"NetworkPolcy\" in \"networking.k8s.io/v1\"; did you mean \"NetworkPolicy\"?",
                ),
            ),
            (
                "networking.k8s.io/v1",
                "networkpolicy",
                Err(
                    "kind: there is no \"networkpolicy\" in \"networking.k8s.io/v1\"; did you mean \"NetworkPolicy\"?",
                ),
            ),
            (
                "v1",
                "Namespce",
                Err("kind: there is no \"Namespce\" in \"v1\"; did you mean \"Namespace\"?"),
            ),
            (
                "v1",
                "Gateway",
                Err("kind: there is no \"Gateway\" in \"v1\""),
            ),
        ];
        for (api_version, kind, expected) in rows {
            let found =
                Kind::of(api_version, kind).map_err(|m| format!("{}: {}", m.field, m.problem));
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{api_version} {kind}"
            );
        }
    }
}
