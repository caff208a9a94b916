//! Whether pods can be kept closed until their rules are written, and be made to wait for them.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Node;
use policy_compiler::compile::PodPlaces;
use policy_compiler::model::Name;

use super::Finding;
use crate::pod_start::{Mode, Ranges, of_object};

const CHECK: &str = "pod-start";

/// How the agent is to start pods.
#[derive(Clone, Debug, Default)]
pub struct PodStartQuestions {
    /// What pods may do before their rules are there.
    pub mode: Mode,
    /// Where the container runtime is asked to wait, if it is.
    pub socket: Option<PathBuf>,
    /// Where pods are, if the agent is told.
    pub places: Option<PodPlaces>,
}

impl PodStartQuestions {
    /// What can be seen on the node. The socket is only looked at: a runtime makes pods wait for whoever connects.
    pub fn look(&self) -> Option<Finding> {
        let seen = self.socket.as_deref().map(|path| {
            let metadata = fs::metadata(path);
            metadata.map(|metadata| metadata.file_type().is_socket())
        });
        self.judge(seen)
    }

    fn judge(&self, seen: Option<io::Result<bool>>) -> Option<Finding> {
        let consequence = match self.mode {
            Mode::Open => {
                let found =
                    "pods that start are open until their rules are written, as --pod-start says";
                return Some(Finding::ok(CHECK, found));
            }
            Mode::Closed => {
                "pods are closed until their rules are written, and do not wait for them"
            }
            Mode::Auto => "pods that start are open until their rules are written",
        };
        let path = self.socket.as_deref().unwrap_or(Path::new("")).display();
        let what = match seen {
            Some(Ok(true)) => {
                let found = format!(
                    "the container runtime has an NRI socket, {path}: pods wait for their rules"
                );
                return Some(Finding::ok(CHECK, found));
            }
            None if self.mode == Mode::Closed => {
                return Some(Finding::ok(
                    CHECK,
                    format!("{consequence}: the container runtime is not asked"),
                ));
            }
            None => "the container runtime is not asked to wait".to_owned(),
            Some(Ok(false)) => format!("{path} is no socket"),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                format!("there is no NRI socket at {path}")
            }
            Some(Err(error)) => format!("{path} cannot be looked at: {error}"),
        };
        let advice = "enable NRI in the container runtime (containerd has it on from 2.0, CRI-O by enable_nri) and, in a pod, mount the \
            socket's folder; or give --pod-start closed";
        Some(Finding::warning(CHECK, format!("{consequence}: {what}"), advice).about("gate"))
    }

    /// Whether the Node object has to say where pods are.
    pub(super) fn asks_the_node(&self) -> bool {
        self.mode != Mode::Open && self.places.is_none()
    }

    /// What follows where no Node object can say where pods are.
    pub fn without_node(&self) -> Option<Finding> {
        let found =
            "where this node's pods are was not found out: no node of a cluster was asked for";
        self.asks_the_node()
            .then(|| Finding::ok(CHECK, found).about("ranges"))
    }

    /// What the Node object says, or why it was not shown.
    pub(super) fn of_node(&self, node: &Name, object: Result<Node, String>) -> Finding {
        let advice =
            "give the agent --pod-cidr or --pod-interface (podCIDRs, podInterfaces in the chart)";
        let why = match object {
            Ok(object) => match of_object(node, object) {
                Ranges::Known(_) => {
                    return Finding::ok(CHECK, format!("node {node} says where its pods are"));
                }
                Ranges::Unknown(why) => why,
            },
            Err(error) => format!("the API server does not show node {node}: {error}"),
        };
        if self.mode == Mode::Closed {
            let found = format!(
                "pods cannot be closed until their rules are written, as --pod-start says: {why}"
            );
            return Finding::error(CHECK, found, advice).about("ranges");
        }
        let found = format!("pods that start are open until their rules are written: {why}");
        Finding::warning(CHECK, found, advice).about("ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn questions(mode: Mode, socket: Option<&str>) -> PodStartQuestions {
        PodStartQuestions {
            mode,
            socket: socket.map(PathBuf::from),
            places: None,
        }
    }

    #[test]
    fn a_runtime_that_does_not_wait_is_told() {
        let none = || Err(io::Error::from(io::ErrorKind::NotFound));
        for (mode, seen, level, words) in [
            (Mode::Open, None, Level::Ok, "as --pod-start says"),
            (Mode::Closed, None, Level::Ok, "is not asked"),
            (Mode::Auto, None, Level::Warning, "is not asked"),
            (
                Mode::Auto,
                Some(Ok(true)),
                Level::Ok,
                "wait for their rules",
            ),
            (Mode::Auto, Some(Ok(false)), Level::Warning, "is no socket"),
            (Mode::Auto, Some(none()), Level::Warning, "are open until"),
            (
                Mode::Closed,
                Some(none()),
                Level::Warning,
                "are closed until",
            ),
        ] {
            let socket = seen.is_some().then_some("/x.sock");
            let finding = questions(mode, socket).judge(seen).expect("told");
            assert_eq!(finding.level, level, "{finding}");
            assert!(finding.found.contains(words), "{finding}");
        }
    }

    #[test]
    fn what_is_there_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nri.sock");
        let path = path.to_str().expect("plain");
        let level = || {
            questions(Mode::Auto, Some(path))
                .look()
                .map(|finding| finding.level)
        };
        assert_eq!(level(), Some(Level::Warning));
        let socket = std::os::unix::net::UnixListener::bind(path).expect("a socket");
        assert_eq!(level(), Some(Level::Ok));
        drop(socket);
    }

    #[test]
    fn without_ranges_nothing_can_be_closed() {
        let name = Name::parse("node-a").expect("a name");
        let mut node = Node::default();
        let auto = questions(Mode::Auto, None);
        assert_eq!(auto.of_node(&name, Ok(node.clone())).level, Level::Warning);
        let closed = questions(Mode::Closed, None);
        assert_eq!(closed.of_node(&name, Ok(node.clone())).level, Level::Error);
        let refused = closed.of_node(&name, Err("forbidden".to_owned()));
        assert!(refused.found.contains("forbidden"), "{refused}");
        node.spec.get_or_insert_default().pod_cidrs = Some(vec!["10.0.0.0/24".to_owned()]);
        assert_eq!(closed.of_node(&name, Ok(node)).level, Level::Ok);
        assert!(auto.without_node().is_some());
        assert!(questions(Mode::Open, None).without_node().is_none());
    }
}
