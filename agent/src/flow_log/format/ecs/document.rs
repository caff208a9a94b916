//! The documents: what is empty is not written.

use std::net::IpAddr;

use serde::Serialize;

use crate::flow_log::format::hubble::{EndExtension, HintExtension};

#[derive(Serialize)]
pub(in super::super) struct FlowDocument {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: String,
    pub(super) message: String,
    pub(super) ecs: Version,
    pub(super) event: Event,
    pub(super) source: Peer,
    pub(super) destination: Peer,
    pub(super) network: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<Rule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) orchestrator: Option<Orchestrator>,
    pub(super) host: Named,
    pub(super) observer: Observer,
    pub(super) related: Related,
    pub(super) netpol: Netpol,
}

#[derive(Serialize)]
pub(in super::super) struct LostDocument {
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: String,
    pub(super) message: String,
    pub(super) ecs: Version,
    pub(super) event: Event,
    pub(super) host: Named,
    pub(super) observer: Observer,
    pub(super) netpol: NetpolLost,
}

#[derive(Serialize)]
pub(super) struct Version {
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) category: [&'static str; 1],
    pub(super) r#type: &'static [&'static str],
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) module: &'static str,
    pub(super) dataset: &'static str,
}

#[derive(Serialize)]
pub(super) struct Peer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
}

#[derive(Serialize)]
pub(super) struct Network {
    pub(super) direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iana_number: Option<String>,
    pub(super) packets: u64,
}

#[derive(Serialize)]
pub(super) struct Rule {
    pub(super) category: &'static str,
    pub(super) ruleset: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Orchestrator {
    pub(super) r#type: &'static str,
    pub(super) namespace: String,
    pub(super) resource: Resource,
}

#[derive(Serialize)]
pub(super) struct Resource {
    pub(super) r#type: &'static str,
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Parent>,
}

#[derive(Serialize)]
pub(super) struct Parent {
    pub(super) r#type: String,
}

#[derive(Serialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct Observer {
    pub(super) product: &'static str,
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ingress: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) egress: Option<Side>,
}

#[derive(Serialize)]
pub(super) struct Side {
    pub(super) interface: Port,
}

#[derive(Serialize)]
pub(super) struct Port {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Related {
    pub(super) ip: Vec<IpAddr>,
}

#[derive(Serialize)]
pub(super) struct NetpolLost {
    pub(super) lost: Lost,
}

#[derive(Serialize)]
pub(super) struct Lost {
    pub(super) count: u64,
    pub(super) at: &'static str,
}

#[derive(Serialize)]
pub(super) struct Netpol {
    pub(super) reason: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) denied_by_more: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) near_misses: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) near_misses_more: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) verdict: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) causes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hints: Vec<HintExtension>,
    pub(super) extent: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) suppressed: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tcp_flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) icmp: Option<Icmp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) fragment: bool,
    pub(super) source: Whose,
    pub(super) destination: Whose,
}

#[derive(Serialize)]
pub(super) struct Icmp {
    pub(super) r#type: u8,
    pub(super) code: u8,
}

#[derive(Serialize)]
pub(super) struct Whose {
    #[serde(flatten)]
    pub(super) more: EndExtension,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workload: Option<Workload>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Workload {
    pub(super) kind: String,
    pub(super) name: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
