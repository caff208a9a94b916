//! What the rest of a cluster would do to objects: creating, labelling, reporting status, deleting.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::client::{Method, send};
use super::{ControlPlane, ControlPlaneError};

/// Server-side apply needs a name for who applies.
const MANAGER: &str = "fieldManager=netpol-tests&force=true";

impl ControlPlane {
    /// Creates an object, with the API server refusing unknown fields as `kubectl` would have it.
    pub fn create(&self, object: &Value) -> Result<Value, ControlPlaneError> {
        let target = format!("{}?fieldValidation=Strict", collection(object)?);
        self.send(Method::Create, target, Some(object.clone()))
    }

    /// Sends any body to any path, with query.
    pub fn post(&self, target: &str, body: &Value) -> Result<Value, ControlPlaneError> {
        self.send(Method::Create, target.to_owned(), Some(body.clone()))
    }

    /// Creates an object or makes an existing one the same. A pod's `status` is written too, and containers are made
    /// up for a pod that has none; a pod that changes in what cannot be changed must be deleted first.
    pub fn apply(&self, object: &Value) -> Result<(), ControlPlaneError> {
        let path = format!("{}/{}", collection(object)?, name(object)?);
        let mut applied = object.clone();
        if object["kind"] == "Pod" {
            complete_pod(&mut applied);
        }
        self.send(Method::Apply, format!("{path}?{MANAGER}"), Some(applied))?;
        if object["kind"] == "Pod" && object["status"].is_object() {
            self.send(
                Method::Merge,
                format!("{path}/status"),
                Some(json!({"status": object["status"]})),
            )?;
        }
        Ok(())
    }

    /// Reads an object as it is stored.
    pub fn get(&self, object: &Value) -> Result<Value, ControlPlaneError> {
        self.send(
            Method::Get,
            format!("{}/{}", collection(object)?, name(object)?),
            None,
        )
    }

    /// Reads whatever is at a path, with query: a list, say.
    pub fn read(&self, target: &str) -> Result<Value, ControlPlaneError> {
        self.send(Method::Get, target.to_owned(), None)
    }

    /// Replaces an object whole.
    pub fn replace(&self, object: &Value) -> Result<Value, ControlPlaneError> {
        self.send(
            Method::Replace,
            format!("{}/{}", collection(object)?, name(object)?),
            Some(object.clone()),
        )
    }

    /// Merges `patch` into an object; `null` removes a field.
    pub fn merge(&self, object: &Value, patch: &Value) -> Result<Value, ControlPlaneError> {
        self.send(
            Method::Merge,
            format!("{}/{}", collection(object)?, name(object)?),
            Some(patch.clone()),
        )
    }

    /// Deletes an object at once: pods without grace period, namespaces with all that is in them.
    pub fn delete(&self, object: &Value) -> Result<(), ControlPlaneError> {
        let path = format!("{}/{}", collection(object)?, name(object)?);
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        if object["kind"] != "Namespace" {
            self.send(Method::Delete, path, Some(options))?;
            return Ok(());
        }
        // What the namespace controller does.
        for resource in ["pods", "services"] {
            self.send(
                Method::Delete,
                format!("{path}/{resource}"),
                Some(options.clone()),
            )?;
        }
        let policies = format!(
            "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
            name(object)?
        );
        self.send(Method::Delete, policies, Some(options.clone()))?;
        let mut namespace = self.send(Method::Delete, path.clone(), Some(options))?;
        namespace["spec"]["finalizers"] = json!([]);
        self.send(Method::Replace, format!("{path}/finalize"), Some(namespace))?;
        Ok(())
    }

    /// Creates a namespace with labels, or gives an existing one these labels too.
    pub fn add_namespace(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<(), ControlPlaneError> {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": map(labels)}}))
    }

    /// Creates a pod on a node with addresses, as if scheduler and kubelet had done their work: it is running.
    pub fn add_pod(
        &self,
        (namespace, name): (&str, &str),
        labels: &[(&str, &str)],
        node: &str,
        addresses: &[IpAddr],
    ) -> Result<(), ControlPlaneError> {
        let mut pod = pod(namespace, name);
        pod["metadata"]["labels"] = map(labels);
        pod["spec"] = json!({"nodeName": node});
        pod["status"] = status("Running", addresses);
        self.apply(&pod)
    }

    /// Writes a pod's phase and addresses.
    pub fn set_pod_status(
        &self,
        (namespace, name): (&str, &str),
        phase: &str,
        addresses: &[IpAddr],
    ) -> Result<(), ControlPlaneError> {
        let path = format!("{}/{name}/status", collection(&pod(namespace, name))?);
        self.send(
            Method::Merge,
            path,
            Some(json!({"status": status(phase, addresses)})),
        )?;
        Ok(())
    }

    /// Gives an object exactly these labels in place of any it had.
    pub fn relabel(
        &self,
        object: &Value,
        labels: &[(&str, &str)],
    ) -> Result<(), ControlPlaneError> {
        let mut new = map(labels);
        let held = self.get(object)?;
        for key in held["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
        {
            if new.get(key).is_none() {
                new[key] = Value::Null;
            }
        }
        self.merge(object, &json!({"metadata": {"labels": new}}))?;
        Ok(())
    }

    fn send(
        &self,
        method: Method,
        target: String,
        body: Option<Value>,
    ) -> Result<Value, ControlPlaneError> {
        self.run(move |client| async move { send(&client, method, &target, body.as_ref()).await })?
    }
}

/// A pod to be named in [`ControlPlane::delete`] or [`ControlPlane::relabel`].
pub fn pod(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}})
}

/// A namespace to be named in [`ControlPlane::delete`] or [`ControlPlane::relabel`].
pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A policy with this spec; without one, to be named in [`ControlPlane::delete`].
pub fn policy(namespace: &str, name: &str, spec: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name},
    });
    policy["spec"] = spec;
    policy
}

/// The URL path of the objects of this kind, in this object's namespace.
fn collection(object: &Value) -> Result<String, ControlPlaneError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let root = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let namespace = Some(text(&object["metadata"]["namespace"])).filter(|n| !n.is_empty());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    match kind.as_str() {
        "Namespace" | "Node" | "ClusterRole" | "ClusterRoleBinding" => {
            Ok(format!("{root}/{}s", kind.to_lowercase()))
        }
        "NetworkPolicy" => Ok(format!("{root}/namespaces/{namespace}/networkpolicies")),
        "Pod" | "Service" | "ServiceAccount" | "DaemonSet" | "ConfigMap" | "Role"
        | "RoleBinding" => Ok(format!(
            "{root}/namespaces/{namespace}/{}s",
            kind.to_lowercase()
        )),
        _ => Err(ControlPlaneError::Request(format!(
            "no path known for objects of kind {kind:?}"
        ))),
    }
}

fn name(object: &Value) -> Result<&str, ControlPlaneError> {
    object["metadata"]["name"]
        .as_str()
        .ok_or_else(|| ControlPlaneError::Request(format!("no name in {object}")))
}

fn map(labels: &[(&str, &str)]) -> Value {
    labels
        .iter()
        .map(|&(key, value)| (key.to_owned(), Value::from(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn status(phase: &str, addresses: &[IpAddr]) -> Value {
    let listed: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"ip": address.to_string()}))
        .collect();
    match addresses.first() {
        Some(first) => json!({"phase": phase, "podIP": first.to_string(), "podIPs": listed}),
        None => json!({"phase": phase, "podIP": null, "podIPs": null}),
    }
}

/// Adds what the API server insists on and policy does not care about.
fn complete_pod(pod: &mut Value) {
    if let Value::Object(pod) = pod {
        // Ignored on this path, and in the way of nobody, but applying it would claim it.
        pod.remove("status");
    }
    if !pod["spec"].is_object() {
        pod["spec"] = json!({});
    }
    let spec = &mut pod["spec"];
    for list in ["containers", "initContainers"] {
        for (i, container) in spec[list].as_array_mut().into_iter().flatten().enumerate() {
            if container["name"].is_null() {
                container["name"] = format!("{}{i}", list.to_lowercase()).into();
            }
            if container["image"].is_null() {
                container["image"] = "registry.k8s.io/pause:3.10".into();
            }
        }
    }
    if !spec["containers"].is_array() {
        spec["containers"] = json!([{"name": "main", "image": "registry.k8s.io/pause:3.10"}]);
    }
}
