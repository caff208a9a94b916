//! Which cluster an agent of these arguments watches.

use std::path::Path;

use crate::source::ClusterConfig;

/// That of the arguments, else the one this runs in as a pod, else that of `$KUBECONFIG`.
pub(super) fn cluster(kubeconfig: Option<&Path>, context: Option<&str>) -> Option<ClusterConfig> {
    let has = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let by_kubeconfig = ClusterConfig::Kubeconfig {
        file: kubeconfig.map(Path::to_owned),
        context: context.map(str::to_owned),
    };
    if kubeconfig.is_some() || context.is_some() {
        Some(by_kubeconfig)
    } else if has("KUBERNETES_SERVICE_HOST") {
        Some(ClusterConfig::InCluster)
    } else {
        has("KUBECONFIG").then_some(by_kubeconfig)
    }
}
