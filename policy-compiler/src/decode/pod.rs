//! Pods: the few fields that policy can see.

use std::net::IpAddr;

use super::cursor::{Cursor, Fields};
use super::{Kind, address, metadata, port, workload};
use crate::model::{Name, NamedPort, Phase, Pod, PodAddresses};

pub(super) fn pod(object: &Cursor<'_>) -> Option<Pod> {
    let fields = object.some_fields()?;
    metadata::check_kind(&fields, Kind::Pod);
    let metadata = fields.get_or_null("metadata");
    let metadata = metadata.some_fields()?;
    let key = metadata::identity(&metadata);
    let uid = metadata
        .get("uid")
        .and_then(|uid| uid.string())
        .unwrap_or_default()
        .into();
    let labels = metadata::labels(&metadata);
    let workload = workload::of_pod(&metadata, &labels);
    let (node, host_network, ports) = fields.get("spec").as_ref().map(spec).unwrap_or_default();
    let (phase, addresses) = fields
        .get("status")
        .as_ref()
        .map(status)
        .unwrap_or_default();
    Some(Pod {
        key: key?,
        uid,
        labels,
        addresses,
        node,
        ports: ports.into(),
        phase,
        host_network,
        workload,
    })
}

fn spec(spec: &Cursor<'_>) -> (Option<Name>, bool, Vec<NamedPort>) {
    let Some(fields) = spec.some_fields() else {
        return Default::default();
    };
    let node = fields
        .get("nodeName")
        .and_then(|field| match field.string()? {
            "" => None,
            text => Name::parse(text)
                .map_err(|error| field.invalid::<()>(error))
                .ok(),
        });
    let host_network = fields
        .get("hostNetwork")
        .and_then(|field| field.boolean())
        .unwrap_or(false);
    let mut ports = Vec::new();
    for container in fields
        .get("containers")
        .as_ref()
        .and_then(Cursor::items)
        .into_iter()
        .flatten()
    {
        if let Some(container) = container.some_fields() {
            container_ports(&container, &mut ports);
        }
    }
    for container in fields
        .get("initContainers")
        .as_ref()
        .and_then(Cursor::items)
        .into_iter()
        .flatten()
    {
        // Native sidecars keep running beside the containers; other init containers are gone by then (rules D11, L7).
        if let Some(container) = container.some_fields()
            && container
                .get("restartPolicy")
                .and_then(|field| field.string())
                == Some("Always")
        {
            container_ports(&container, &mut ports);
        }
    }
    ports.sort_unstable();
    ports.dedup();
    (node, host_network, ports)
}

fn container_ports(container: &Fields<'_>, ports: &mut Vec<NamedPort>) {
    for item in container
        .get("ports")
        .as_ref()
        .and_then(Cursor::items)
        .into_iter()
        .flatten()
    {
        ports.extend(named_port(&item));
    }
}

/// A container port, `None` if it has no name.
fn named_port(item: &Cursor<'_>) -> Option<NamedPort> {
    let fields = item.some_fields()?;
    let name = fields.get("name")?;
    if name.value().as_str() == Some("") {
        return None;
    }
    let name = port::port_name(&name);
    let protocol = port::protocol(&fields);
    let number = match fields.get("containerPort") {
        Some(number) => port::number(&number),
        None => fields.required("containerPort", ""),
    };
    Some(NamedPort {
        name: name?,
        protocol: protocol?,
        number: number?,
    })
}

fn status(status: &Cursor<'_>) -> (Phase, PodAddresses) {
    let Some(fields) = status.some_fields() else {
        return Default::default();
    };
    let phase = fields
        .get("phase")
        .and_then(|field| phase(&field))
        .unwrap_or_default();
    let listed: Vec<Option<IpAddr>> = fields
        .get("podIPs")
        .as_ref()
        .and_then(Cursor::items)
        .into_iter()
        .flatten()
        .map(|item| pod_ip(&item))
        .collect();
    let single = fields.get("podIP").and_then(|field| address(&field));
    let addresses = if listed.is_empty() {
        vec![single]
    } else {
        listed
    };
    (phase, PodAddresses::new(addresses.into_iter().flatten()))
}

fn phase(field: &Cursor<'_>) -> Option<Phase> {
    match field.string()? {
        "" | "Pending" => Some(Phase::Pending),
        "Running" => Some(Phase::Running),
        "Succeeded" => Some(Phase::Succeeded),
        "Failed" => Some(Phase::Failed),
        "Unknown" => Some(Phase::Unknown),
        _ => field.not_supported(&["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    }
}

fn pod_ip(item: &Cursor<'_>) -> Option<IpAddr> {
    address(&item.some_fields()?.get("ip")?)
}

fn address(field: &Cursor<'_>) -> Option<IpAddr> {
    match field.string()? {
        "" => None,
        _ => address::ip(field),
    }
}
