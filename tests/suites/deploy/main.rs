//! The chart and the plain manifest: what they give the agent, and what they refuse. A real helm renders them.

mod chart;
mod rights;

use netpol_tests::helm::render;
use serde_json::Value;

/// A rendered chart's objects.
fn objects(values: &[&str]) -> Vec<Value> {
    let text = render(values).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{values:?}: {error}"));
    objects
        .into_iter()
        .filter(|object| !object.is_null())
        .collect()
}

/// The only object of a kind.
fn one(objects: &[Value], kind: &str) -> Value {
    let found: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect();
    match found[..] {
        [object] => object.clone(),
        _ => panic!("{} objects of kind {kind}", found.len()),
    }
}

/// The specification of the agent's pod.
fn pod(values: &[&str]) -> Value {
    one(&objects(values), "DaemonSet")["spec"]["template"]["spec"].clone()
}

/// All containers of a pod, those before the start included.
fn containers(pod: &Value) -> Vec<Value> {
    let lists = ["initContainers", "containers"].map(|key| pod[key].as_array().cloned());
    lists.into_iter().flatten().flatten().collect()
}
