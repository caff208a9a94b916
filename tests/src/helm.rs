//! The chart, rendered by a real helm, which is built the first time (`tests/control-plane/build.sh helm`).

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::control_plane::program;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/chart");

/// The chart's objects as text, with `--set` of each of `values`; or what helm says against it.
pub fn render(values: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["template", "netpol", CHART, "--namespace", "kube-system"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments)
}

/// What `helm lint --strict` says against the chart.
pub fn lint() -> Result<(), String> {
    helm(&["lint", "--strict", CHART]).map(drop)
}

fn helm(arguments: &[&str]) -> Result<String, String> {
    static HELM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let helm = HELM.get_or_init(build).clone()?;
    run(Command::new(helm).args(arguments))
}

fn build() -> Result<PathBuf, String> {
    let folder = program::build(Some("helm")).map_err(|error| error.to_string())?;
    Ok(folder.join("helm"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stdout) + &text(&output.stderr))
    }
}
