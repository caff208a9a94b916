//! The chart's values, its versions and its manifest.

use std::path::{Path, PathBuf};
use std::process::Command;

use netpol_agent::telemetry::Telemetry;
use netpol_tests::helm::{lint, render};
use netpol_tests::lab::netpol_binary;
use policy_compiler::model::Direction;

use crate::{objects, one, pod};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(file)
}

/// `NETPOL_UPDATE_GOLDENS=1` writes it instead.
#[test]
fn the_manifest_is_the_chart_at_its_defaults() {
    let file = deploy("netpol.yaml");
    let rendered = render(&[]).unwrap_or_else(|error| panic!("{error}"));
    let wanted = format!(
        "# helm template netpol deploy/chart --namespace kube-system, and nothing else: `make goldens` writes it.\n{rendered}"
    );
    if std::env::var_os("NETPOL_UPDATE_GOLDENS").is_some() {
        std::fs::write(&file, wanted).expect("the manifest");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    similar_asserts::assert_eq!(found, wanted, "run `make goldens`");
}

#[test]
fn the_chart_is_well_made() {
    lint().unwrap_or_else(|error| panic!("{error}"));
}

/// One release: the crates, the image and the chart.
#[test]
fn versions_are_one() {
    let version = env!("CARGO_PKG_VERSION");
    let image = &pod(&[])["containers"][0]["image"];
    assert_eq!(image, &format!("netpol:{version}"));
    let chart = std::fs::read_to_string(deploy("chart/Chart.yaml")).expect("Chart.yaml");
    assert!(
        chart.contains(&format!("\nversion: {version}\n")),
        "{chart}"
    );
}

#[test]
fn wrong_values_are_refused_by_name() {
    let rows: [(&[&str], &str); 18] = [
        (&["existingConnections=close"], "/existingConnections"),
        (&["agent.logFormat=xml"], "/agent/logFormat"),
        (&["agent.loglevel=debug"], "loglevel"),
        (&["image.pullPolicy=Sometimes"], "/image/pullPolicy"),
        (&["metrics.port=70000"], "/metrics/port"),
        (&["metrics.port=443"], "/metrics/port"),
        (&["cleanup=yes"], "/cleanup"),
        (&["podStart=ajar"], "/podStart"),
        (&["sourceGuard=maybe"], "/sourceGuard"),
        (&["podCIDRs={10.0.0.0}"], "/podCIDRs/0"),
        (&["podInterfaces={*}"], "/podInterfaces/0"),
        (&["podInterfaces={a*b}"], "/podInterfaces/0"),
        (&["nri.socket=nri.sock"], "/nri/socket"),
        (
            &["agent.extraArgs={--pod-start=open}"],
            "/agent/extraArgs/0",
        ),
        (&["agent.extraArgs={flow-log}"], "/agent/extraArgs/0"),
        (
            &["agent.extraArgs={--listen=0.0.0.0:1}"],
            "/agent/extraArgs/0",
        ),
        (&[r"podLabels.app\.kubernetes\.io/name=other"], "/podLabels"),
        (&["metrics.serviceMonitor.enabled=true"], "metrics.enabled"),
    ];
    for (values, named) in rows {
        match render(values) {
            Ok(_) => panic!("{values:?} was taken"),
            Err(error) => assert!(error.contains(named), "{values:?}: {error}"),
        }
    }
}

/// The agent is not told anything it does not understand: usage errors have exit code 2.
#[test]
fn the_agent_takes_its_arguments() {
    let ways: [&[&str]; 6] = [
        &[],
        &[
            "podStart=closed",
            "podCIDRs={10.244.0.0/16,fd00:10:244::/48}",
            "podInterfaces={cali*,veth0}",
        ],
        &["podStart=open", "nri.socket=off"],
        &[
            "agent.kubernetesEvents=true",
            "agent.logFormat=json",
            "agent.logLevel=warn",
        ],
        &["metrics.enabled=true"],
        &["agent.extraArgs={--flow-log-format=logfmt}"],
    ];
    for way in ways {
        let pod = pod(way);
        let arguments = pod["containers"][0]["args"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        // As the kubelet puts it in; an IPv6 address has no brackets.
        let arguments: Vec<String> = arguments
            .iter()
            .filter_map(|argument| Some(argument.as_str()?.replace("$(NODE_ADDRESS)", "fd00::1")))
            .collect();
        // Without a node's name it goes no further than its arguments.
        let program = netpol_binary().unwrap_or_else(|error| panic!("{error}"));
        let output = Command::new(program).args(&arguments).env_clear().output();
        let output = output.unwrap_or_else(|error| panic!("{error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("which node is this?"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn probes_ask_where_the_agent_listens() {
    let rows: [(&[&str], Option<&str>); 2] =
        [(&[], Some("127.0.0.1")), (&["metrics.enabled=true"], None)];
    for (way, host) in rows {
        let pod = pod(way);
        for (probe, path) in [
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ] {
            let get = &pod["containers"][0][probe]["httpGet"];
            assert_eq!(get["path"], path, "{way:?}: {probe}");
            assert_eq!(get["host"].as_str(), host, "{way:?}: {probe}");
        }
    }
}

/// A dashboard that asks for what nobody tells would be empty in silence.
#[test]
fn the_dashboard_asks_for_metrics_that_exist() {
    let objects = objects(&["metrics.dashboard.enabled=true"]);
    let dashboard = one(&objects, "ConfigMap")["data"]["netpol.json"].clone();
    let dashboard = dashboard.as_str().expect("a dashboard");
    serde_json::from_str::<serde_json::Value>(dashboard).expect("JSON");
    let telemetry = Telemetry::default();
    // Told from the first time on.
    telemetry.dropped("shop", "web", Direction::Ingress, 1);
    telemetry.source_failed("pods");
    let metrics = telemetry.render();
    let exist: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let asked: Vec<&str> = dashboard
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("netpol_"))
        .collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        let base = ["_total", "_bucket", "_info"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        assert!(exist.contains(&base), "{name} is not among {exist:?}");
    }
}
