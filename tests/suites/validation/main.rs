//! The decoder against a real API server: what is accepted, what is refused and where, what the defaults are, and what
//! is stored.

mod fixtures;
mod legacy;
mod manifests;
mod mutation;
mod objects;

use netpol_tests::control_plane::{ControlPlane, ControlPlaneError, Options};
use netpol_tests::lab::{Netns, privileged};
use policy_compiler::decode;
use serde_json::Value;

/// A namespace with a loopback only, and a control plane in it.
fn with_control_plane(
    options: impl FnOnce(Options) -> Options,
    test: impl FnOnce(&mut ControlPlane),
) {
    let netns = Netns::new("np-validation").expect("a network namespace");
    netns.ip("link set lo up").expect("loopback");
    let options = options(Options::new(netns.path()));
    let mut control_plane = ControlPlane::start(&options).unwrap_or_else(|error| panic!("{error}"));
    test(&mut control_plane);
}

/// Asks the API server whether it would create a policy.
fn dry_run(control_plane: &ControlPlane, manifest: &Value) -> Result<Value, ControlPlaneError> {
    let namespace = manifest["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    // A namespace that does not fit into a path is refused because it is not that of the path.
    let fits = !namespace.is_empty()
        && namespace
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let namespace = if fits { namespace } else { "default" };
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    control_plane.post(
        &format!("{path}?dryRun=All&fieldValidation=Strict"),
        manifest,
    )
}

/// Whether both accept a manifest; what they do not agree on, in words.
fn compare(control_plane: &ControlPlane, manifest: &Value) -> Result<bool, String> {
    let ours = decode::policy(manifest);
    let errors: Vec<String> = ours.errors.iter().map(ToString::to_string).collect();
    match dry_run(control_plane, manifest) {
        Ok(stored) => {
            if !errors.is_empty() {
                return Err(format!("accepted, but we say {errors:?}"));
            }
            let theirs = decode::policy(&stored);
            if !theirs.errors.is_empty() {
                return Err(format!(
                    "stored as {stored}, of which we say {:?}",
                    theirs.errors
                ));
            }
            if theirs.object != ours.object {
                return Err(format!(
                    "{:#?}\nis stored as\n{:#?}",
                    ours.object, theirs.object
                ));
            }
            Ok(true)
        }
        Err(ControlPlaneError::Refused(status)) => {
            if errors.is_empty() {
                return Err(format!("refused: {} {}", status.code, status.message));
            }
            let paths: Vec<String> = ours
                .errors
                .iter()
                .map(|error| error.path.to_string())
                .collect();
            let mut missed = refused_fields(&status);
            missed.retain(|field| !paths.iter().any(|path| is_at(path, field)));
            if !missed.is_empty() {
                return Err(format!(
                    "refused for {missed:?}, we say {errors:?}\n{}",
                    status.message
                ));
            }
            Ok(false)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The fields a refusal names.
fn refused_fields(status: &kube::core::Status) -> Vec<String> {
    let causes = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.clone());
    let unknown = status
        .message
        .split("unknown field \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    causes
        .chain(unknown.map(str::to_owned))
        .filter(|field| !field.is_empty())
        .collect()
}

/// Whether one of our paths is the API server's, or within it: it names maps as a whole, and lists of `metadata` too.
fn is_at(ours: &str, theirs: &str) -> bool {
    let owner = theirs
        .strip_prefix("metadata.ownerReferences.")
        .map(|rest| format!("metadata.ownerReferences[0].{rest}"));
    let theirs = owner.as_deref().unwrap_or(theirs);
    ours.strip_prefix(theirs)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Compares all manifests, of which a good part must be accepted and a good part refused to mean anything.
fn assert_agreement(control_plane: &ControlPlane, manifests: &[Value]) {
    let mut disagreements = Vec::new();
    let mut accepted = 0;
    for manifest in manifests {
        match compare(control_plane, manifest) {
            Ok(by_both) => accepted += usize::from(by_both),
            Err(problem) => disagreements.push(format!("{manifest}\n    {problem}")),
        }
    }
    let all = manifests.len();
    assert!(
        disagreements.is_empty(),
        "{} of {all} manifests:\n{}",
        disagreements.len(),
        disagreements.join("\n")
    );
    println!("{accepted} of {all} manifests accepted by both");
    assert!(
        accepted > all / 10 && accepted < all * 9 / 10,
        "{accepted} of {all}"
    );
}

/// Namespaces need not exist for a question.
fn without_namespaces(options: Options) -> Options {
    options.with("--disable-admission-plugins=NamespaceLifecycle")
}

/// Semantics rules A7, A14, B5, C4, D1, D5, D12, E3, E4 and table K.
#[test]
fn the_decoder_agrees_with_the_api_server() {
    if !privileged("the_decoder_agrees_with_the_api_server") {
        return;
    }
    with_control_plane(without_namespaces, |control_plane| {
        assert_agreement(control_plane, &manifests::all());

        let seed = std::env::var("NETPOL_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("random manifests: NETPOL_SEED={seed}");
        let mut random = mutation::Random::new(seed);
        let mutants: Vec<Value> = (0..400)
            .map(|_| {
                let mut manifest = manifests::full();
                mutation::mutate(&mut manifest, &mut random);
                manifest
            })
            .collect();
        assert_agreement(control_plane, &mutants);
    });
}
