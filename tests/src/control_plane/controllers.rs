//! The controller manager and the scheduler, for a cluster whose nodes run pods.

use std::path::Path;

use super::program::Recipe;

/// Who turns records of pods, Deployments and so on into each other, and pods onto nodes.
pub(super) fn recipes(binaries: &Path, folder: &Path, kubeconfigs: [&Path; 2]) -> [Recipe; 2] {
    let recipe = |name: &'static str, kubeconfig: &Path, further: &[String]| {
        let mut arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            // One of each, and nobody asks them anything.
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ];
        arguments.extend_from_slice(further);
        Recipe {
            name,
            binary: binaries.join(name),
            arguments,
            log: folder.join(format!("{name}.log")),
        }
    };
    let file = |name: &str| folder.join(name).display().to_string();
    let [manager, scheduler] = kubeconfigs;
    let further = [
        format!("--root-ca-file={}", file("ca.crt")),
        format!(
            "--service-account-private-key-file={}",
            file("accounts.key")
        ),
        // Each controller has the rights of its own account, and the manager but those to become them.
        "--use-service-account-credentials=true".to_owned(),
        // Nodes bring their pod ranges along.
        "--controllers=*,-node-ipam-controller".to_owned(),
    ];
    [
        recipe("kube-controller-manager", manager, &further),
        recipe("kube-scheduler", scheduler, &[]),
    ]
}
