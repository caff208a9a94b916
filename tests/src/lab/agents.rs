//! Agents on the nodes of a lab.

use std::path::Path;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use super::agent::{AGENT_LISTEN, Agent, manifests};
use super::spec::{NODES, Place};
use super::{Lab, LabError};

impl Lab {
    /// Starts an agent on every node, fed from a folder of manifests, and waits until they are ready.
    pub fn start_agents(&mut self, folder: &Path) -> Result<(), LabError> {
        for node in &NODES {
            self.start_agent(node.name, &manifests(folder))?;
        }
        for node in &NODES {
            self.wait_ready(node.name)?;
        }
        Ok(())
    }

    /// Starts the agent of a node with further arguments, and does not wait. An agent that runs already is killed.
    pub fn start_agent(&mut self, node: &str, arguments: &[String]) -> Result<(), LabError> {
        self.agents.remove(node);
        let log = self.directory.path().join(format!("agent-{node}.log"));
        let netns = &self.host(&Place::node(node))?.netns;
        let agent = Agent::start(node, netns, AGENT_LISTEN, arguments, log)?;
        self.agents.insert(node.to_owned(), agent);
        Ok(())
    }

    /// Starts one more agent on a node, beside the one that runs there, and does not wait. It is the caller's, and has to end
    /// before the lab. `name` is for its files.
    pub fn start_another_agent(
        &self,
        node: &str,
        name: &str,
        arguments: &[String],
    ) -> Result<Agent, LabError> {
        let log = self.directory.path().join(format!("{name}.log"));
        let netns = &self.host(&Place::node(node))?.netns;
        Agent::start(node, netns, AGENT_LISTEN, arguments, log)
    }

    /// Waits until the agent of a node is ready.
    pub fn wait_ready(&mut self, node: &str) -> Result<(), LabError> {
        let place = Place::node(node);
        let (Some(agent), Some(host)) = (self.agents.get_mut(node), self.hosts.get(&place)) else {
            return Err(LabError::NoSuchPlace(format!("agent on {node}")));
        };
        agent.wait_ready(&host.netns)
    }

    /// Ends the agent of a node by a signal and returns how it ended.
    pub fn stop_agent(&mut self, node: &str, signal: Signal) -> Result<ExitStatus, LabError> {
        self.stop_agent_with_flows(node, signal)
            .map(|(status, _)| status)
    }

    /// Ends the agent of a node by a signal; returns how it ended and all that it told of drops.
    pub fn stop_agent_with_flows(
        &mut self,
        node: &str,
        signal: Signal,
    ) -> Result<(ExitStatus, String), LabError> {
        let mut agent = self
            .agents
            .remove(node)
            .ok_or_else(|| LabError::NoSuchPlace(format!("agent on {node}")))?;
        let status = agent.stop(signal)?;
        Ok((status, agent.flow_lines()))
    }

    /// The agent of a node.
    pub fn agent(&self, node: &str) -> Option<&Agent> {
        self.agents.get(node)
    }

    /// Waits until the agent of a node has written `words` to its log.
    pub fn await_log(&self, node: &str, words: &str) -> Result<(), LabError> {
        let agent = self
            .agents
            .get(node)
            .ok_or_else(|| LabError::NoSuchPlace(format!("agent on {node}")))?;
        agent.await_log(words)
    }

    /// `GET path` from the agent of a node: status and body.
    pub fn agent_get(&self, node: &str, path: &str) -> Result<(u16, String), LabError> {
        let agent = self
            .agents
            .get(node)
            .ok_or_else(|| LabError::NoSuchPlace(format!("agent on {node}")))?;
        agent.get(&self.host(&Place::node(node))?.netns, path)
    }
}
