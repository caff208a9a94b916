//! What a pod belongs to. Nothing here is policy's business, so nothing here is reported as wrong.

use serde_json::Value;

use super::cursor::Fields;
use crate::model::{Labels, Workload};

/// The label by which a `ReplicaSet` names the template it stands for.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The controller of a pod, or what that stands for.
pub(super) fn of_pod(metadata: &Fields<'_>, labels: &Labels) -> Option<Workload> {
    let owners = metadata.get("ownerReferences")?;
    let is_controller = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    let controller = owners.value().as_array()?.iter().find(is_controller)?;
    let text = |field| controller.get(field).and_then(Value::as_str);
    let (kind, name) = (text("kind")?, text("name")?);
    let (kind, name) = match kind {
        "ReplicaSet" => deployment(name, labels).map_or((kind, name), |name| ("Deployment", name)),
        "Job" => cron_job(name).map_or((kind, name), |name| ("CronJob", name)),
        _ => (kind, name),
    };
    Some(Workload::new(kind, name))
}

/// A Deployment calls its `ReplicaSets` by its own name and the hash of the template.
fn deployment<'a>(replica_set: &'a str, labels: &Labels) -> Option<&'a str> {
    let hash = labels.get(TEMPLATE_HASH)?;
    replica_set.strip_suffix(hash)?.strip_suffix('-')
}

/// A `CronJob` calls its Jobs by its own name and the minute they were due, in minutes since 1970.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute = minute.len() == 8 && minute.bytes().all(|b| b.is_ascii_digit());
    is_minute.then_some(name)
}
