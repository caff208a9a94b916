//! The way out: every node is as if netpol had never been there.

use netpol_tests::helm::render;

use crate::Scenario;
use crate::agents::CLIENTS;
use crate::enforcement::{Enforced, await_rollout};
use crate::stage::{Outcome, Stage, text};

/// The last of all.
pub(crate) const SCENARIOS: &[Scenario] = &[("netpol is uninstalled", uninstalled)];

fn uninstalled(stage: &mut Stage) -> Outcome {
    if matches!(stage.enforced, Enforced::Process(..)) {
        println!("  nothing to uninstall: agents are processes");
        return Ok(());
    }
    let rows = |closed: bool| {
        [
            ("shop/client-a", "shop/web-b", true),
            ("guests/guest-a", "shop/web-a", !closed),
            ("guests/guest-b", "shop/web-a", !closed),
        ]
    };
    stage.cluster.apply(CLIENTS).map_err(text)?;
    stage.expect(&rows(true))?;
    // As `helm upgrade --set cleanup=true` does.
    let cleaning = render(&["cleanup=true"])?;
    stage.cluster.apply(&cleaning).map_err(text)?;
    await_rollout(&stage.cluster).map_err(text)?;
    for node in stage.cluster.nodes() {
        let tables = node.run(&["nft", "list", "tables"]).map_err(text)?;
        if tables.contains("table inet netpol\n") {
            return Err(format!("{}: {tables}", node.spec().name));
        }
    }
    stage.expect(&rows(false))?;
    let delete = ["delete", "--wait=true", "-f", "-"];
    stage
        .cluster
        .kubectl_with(&delete, &cleaning)
        .map_err(text)?;
    stage.without(CLIENTS)
}
