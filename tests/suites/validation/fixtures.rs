//! The fixtures are real Kubernetes objects: a real API server takes them all, and they mean the same when read back.

use std::path::{Path, PathBuf};

use netpol_tests::control_plane::{ControlPlane, ControlPlaneError, namespace, pod, policy};
use netpol_tests::lab::privileged;
use policy_compiler::decode::{self, Decoded};
use policy_compiler::model::{ObjectKey, Pod, Snapshot};
use serde_json::Value;
use similar_asserts::SimpleDiff;

use super::with_control_plane;

#[test]
fn fixtures_mean_the_same_from_the_api_server() {
    if !privileged("fixtures_mean_the_same_from_the_api_server") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let entries = std::fs::read_dir(&folder).expect("the folder of fixtures");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path().join("manifests.yaml"))
        .collect();
    cases.retain(|manifests| manifests.is_file());
    cases.sort();
    assert!(!cases.is_empty(), "no fixtures in {}", folder.display());
    with_control_plane(
        |options| options,
        |control_plane| {
            let problems: Vec<String> = cases
                .iter()
                .filter_map(|case| {
                    check(control_plane, case)
                        .err()
                        .map(|problem| format!("{}: {problem}", case.display()))
                })
                .collect();
            assert!(problems.is_empty(), "{}", problems.join("\n"));
        },
    );
}

fn check(control_plane: &ControlPlane, case: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(case).map_err(|error| error.to_string())?;
    let mut objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| error.to_string())?;
    objects.retain(|object| !object.is_null());
    objects.sort_by_key(|object| object["kind"] != "Namespace");
    let expected =
        netpol_agent::manifests::load(&[case.to_owned()]).map_err(|errors| errors.to_string())?;
    for name in &expected.implicit_namespaces {
        control_plane
            .add_namespace(name.as_str(), &[])
            .map_err(|error| format!("namespace {name}: {error}"))?;
    }
    for object in &objects {
        control_plane
            .apply(object)
            .map_err(|error| format!("{object}: {error}"))?;
    }
    let mut stored = Snapshot::default();
    for name in expected.snapshot.namespaces.keys() {
        stored.add_namespace(read(
            control_plane,
            &namespace(name.as_str()),
            decode::namespace,
        )?);
    }
    for ObjectKey { namespace, name } in expected.snapshot.pods.keys() {
        let found = read(
            control_plane,
            &pod(namespace.as_str(), name.as_str()),
            decode::pod,
        )?;
        // Manifests have no uid.
        stored.add_pod(Pod {
            uid: Box::default(),
            ..found
        });
    }
    for ObjectKey { namespace, name } in expected.snapshot.policies.keys() {
        stored.add_policy(read(
            control_plane,
            &policy(namespace.as_str(), name.as_str(), Value::Null),
            decode::policy,
        )?);
    }
    clear(control_plane, &objects, &expected.snapshot)
        .map_err(|error| format!("clearing up: {error}"))?;
    if expected.snapshot == stored {
        return Ok(());
    }
    Err(SimpleDiff::from_str(
        &format!("{:#?}", expected.snapshot),
        &format!("{stored:#?}"),
        "manifest",
        "API server",
    )
    .to_string())
}

/// Makes room for the next case, which may use the same names and addresses.
fn clear(
    control_plane: &ControlPlane,
    objects: &[Value],
    snapshot: &Snapshot,
) -> Result<(), ControlPlaneError> {
    for object in objects
        .iter()
        .filter(|object| object["kind"] != "Namespace")
    {
        control_plane.delete(object)?;
    }
    // The API server's own namespaces may not be deleted.
    let own = |name: &str| name == "default" || name.starts_with("kube-");
    for name in snapshot
        .namespaces
        .keys()
        .filter(|name| !own(name.as_str()))
    {
        control_plane.delete(&namespace(name.as_str()))?;
    }
    Ok(())
}

fn read<T>(
    control_plane: &ControlPlane,
    object: &Value,
    decode: impl Fn(&Value) -> Decoded<T>,
) -> Result<T, String> {
    let stored = control_plane
        .get(object)
        .map_err(|error| format!("{object}: {error}"))?;
    let Decoded { object, errors } = decode(&stored);
    if !errors.is_empty() {
        return Err(format!("{stored}: {errors:?}"));
    }
    object.ok_or_else(|| format!("{stored}: no object"))
}
