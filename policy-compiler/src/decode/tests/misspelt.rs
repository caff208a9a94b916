//! Which fields of pods and namespaces are taken for misspelt ones.

use serde_json::{Map, Value, json};

use super::super::{FieldError, Kind, misspelt};

fn told(kind: Kind, object: &Value) -> Vec<String> {
    let errors = misspelt(kind, object);
    errors.iter().map(FieldError::to_string).collect()
}

#[test]
fn what_is_nearly_a_field_that_is_read_is_told() {
    let rows = [
        (
            Kind::Namespace,
            json!({"metadata": {"labls": {}}}),
            "metadata.labls",
            "labels",
        ),
        (
            Kind::Namespace,
            json!({"metdata": {}}),
            "metdata",
            "metadata",
        ),
        (
            Kind::Pod,
            json!({"metadata": {"label": {}}}),
            "metadata.label",
            "labels",
        ),
        (
            Kind::Pod,
            json!({"metadata": {"namespce": "x"}}),
            "metadata.namespce",
            "namespace",
        ),
        (Kind::Pod, json!({"sepc": {}}), "sepc", "spec"),
        (
            Kind::Pod,
            json!({"spec": {"nodename": "a"}}),
            "spec.nodename",
            "nodeName",
        ),
        (
            Kind::Pod,
            json!({"spec": {"hostnetwork": true}}),
            "spec.hostnetwork",
            "hostNetwork",
        ),
        (
            Kind::Pod,
            json!({"spec": {"containers": [{}, {"prots": []}]}}),
            "spec.containers[1].prots",
            "ports",
        ),
        (
            Kind::Pod,
            json!({"status": {"podIp": "10.0.0.1"}}),
            "status.podIp",
            "podIP",
        ),
    ];
    for (kind, object, path, meant) in rows {
        let name = path.rsplit('.').next().unwrap_or_default();
        let wanted = format!("{path}: unknown field {name:?}, did you mean {meant:?}?");
        assert_eq!(told(kind, &object), [wanted], "{object}");
    }
}

/// The API's other fields, as of 1.36: none is told, and neither are fields to come that are like none of those.
#[test]
fn what_is_a_field_of_its_own_is_not_told() {
    const METADATA: &str = "name generateName namespace selfLink uid resourceVersion generation creationTimestamp deletionTimestamp \
        deletionGracePeriodSeconds labels annotations ownerReferences finalizers managedFields";
    const SPEC: &str = "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds \
        activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName \
        hostNetwork hostPID hostIPC shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity \
        schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates runtimeClassName \
        enableServiceLinks preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates \
        resourceClaims resources hostnameOverride workloadRef schedulingGroup";
    const CONTAINER: &str = "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy \
        restartPolicyRules volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle \
        terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty";
    const STATUS: &str = "observedGeneration phase conditions message reason nominatedNodeName hostIP hostIPs podIP podIPs \
        startTime initContainerStatuses containerStatuses qosClass ephemeralContainerStatuses resize resourceClaimStatuses \
        extendedResourceClaimStatus allocatedResources resources";
    let object = |names: &str| -> Value {
        let fields = names.split_whitespace();
        let fields: Map<String, Value> =
            fields.map(|name| (name.to_owned(), Value::Null)).collect();
        fields.into()
    };
    let mut spec = object(SPEC);
    spec["containers"] = json!([object(CONTAINER)]);
    spec["initContainers"] = json!([object(CONTAINER)]);
    let mut pod = object("apiVersion kind");
    pod["metadata"] = object(METADATA);
    pod["spec"] = spec;
    pod["status"] = object(STATUS);
    assert_eq!(told(Kind::Pod, &pod), [""; 0]);
    let mut namespace = object("apiVersion kind spec status");
    namespace["metadata"] = object(METADATA);
    assert_eq!(told(Kind::Namespace, &namespace), [""; 0]);
}

#[test]
fn odd_shapes_are_passed_over() {
    let objects = [
        json!(null),
        json!([]),
        json!({"metadata": "x", "spec": {"containers": {"prots": 1}}, "status": [{"podIp": 1}]}),
    ];
    for object in objects {
        for kind in Kind::ALL {
            assert_eq!(told(kind, &object), [""; 0], "{object}");
        }
    }
    let policy = json!({"sepc": {}});
    assert_eq!(
        told(Kind::NetworkPolicy, &policy),
        [""; 0],
        "its reader says so"
    );
}
