//! `kubectl netpol`, and completions.

use similar_asserts::assert_eq;
use tempfile::TempDir;

use crate::{Ran, folder, netpol, run_as};

fn kubectl_netpol(folder: &TempDir, arguments: &str) -> Ran {
    run_as("/opt/bin/kubectl-netpol", folder, arguments, "")
}

/// A kubeconfig of a cluster that does not answer.
const NOWHERE: &str = "\
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: nobody, user: {}}]
";

#[test]
fn help_has_the_name_it_was_called_by() {
    let folder = folder();
    let help = kubectl_netpol(&folder, "--help").stdout;
    assert!(help.contains("Usage: kubectl netpol <COMMAND>"), "{help}");
    assert!(help.contains("    kubectl netpol flows -f"), "{help}");
    // What is of use on nodes only is not offered, but there.
    assert!(!help.contains("cleanup"), "{help}");
    assert_eq!(kubectl_netpol(&folder, "cleanup --help").code, Some(0));
    for command in ["compile", "explain", "flows"] {
        let help = kubectl_netpol(&folder, &format!("{command} --help")).stdout;
        let usage = format!("Usage: kubectl netpol {command} ");
        assert!(help.contains(&usage), "{help}");
        let plain = help.matches(&format!("netpol {command}")).count();
        let named = help.matches(&format!("kubectl netpol {command}")).count();
        assert_eq!(plain, named, "{help}");
    }
    let wrong = kubectl_netpol(&folder, "flows --agents");
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("kubectl netpol flows"),
        "{}",
        wrong.stderr
    );
    let help = netpol(&folder, "flows --help").stdout;
    assert!(!help.contains("kubectl netpol"), "{help}");
}

#[test]
fn without_a_cluster_it_says_which_one_it_looked_for() {
    let folder = folder();
    let config = folder.path().join(".kube/config");
    let expected = format!(
        "error: kubeconfig {}: cannot be read: No such file or directory (os error 2)\n",
        config.display()
    );
    // Standard input, which is no terminal here, is not taken for the log.
    for arguments in ["flows", "compile", "explain --from a --to b --port 80"] {
        let ran = kubectl_netpol(&folder, arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{arguments}"
        );
        assert_eq!(ran.stderr, expected, "{arguments}");
    }
    std::fs::create_dir(folder.path().join(".kube")).expect("a folder");
    std::fs::write(&config, NOWHERE).expect("written");
    for (arguments, what) in [
        (
            "flows",
            "cannot list the agents' pods in namespace kube-system",
        ),
        (
            "flows --agents-namespace net",
            "cannot list the agents' pods in namespace net",
        ),
        ("compile", "cannot list namespaces"),
    ] {
        let ran = kubectl_netpol(&folder, arguments);
        assert_eq!(ran.code, Some(1));
        let expected = format!("error: {what}: cannot reach the API server: ");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
    let ran = kubectl_netpol(&folder, "flows --context nowhre");
    assert_eq!(
        ran.stderr,
        "error: kubeconfig: there is no context \"nowhre\"; there are: nowhere\n"
    );
}

#[test]
fn the_log_of_agents_or_of_files() {
    let folder = folder();
    std::fs::write(folder.path().join("nowhere.conf"), NOWHERE).expect("written");
    // By its own name it reads a cluster only if one is given.
    assert_eq!(netpol(&folder, "flows").stderr, "no flow matched\n");
    for option in [
        "--context nowhere",
        "--agents-selector app=netpol",
        "--tail 10",
    ] {
        let ran = netpol(
            &folder,
            &format!("flows --kubeconfig nowhere.conf {option}"),
        );
        assert!(
            ran.stderr.contains("cannot list the agents' pods"),
            "{}",
            ran.stderr
        );
        let ran = netpol(&folder, &format!("flows flows.log {option}"));
        assert_eq!(ran.code, Some(2), "{option}: {}", ran.stderr);
    }
    // As a plugin it reads files, too.
    std::fs::write(folder.path().join("flows.log"), "{\"flow\":{}}\n").expect("written");
    let ran = kubectl_netpol(&folder, "flows -o json flows.log");
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "{\"flow\":{}}\n")
    );
}

#[test]
fn pods_are_named_with_and_without_their_namespace() {
    let folder = folder();
    let said = |arguments: &str| {
        let arguments = format!("explain -f shop.yaml --port tcp/5432 {arguments}");
        kubectl_netpol(&folder, &arguments)
    };
    let answer = said("--from shop/web --to shop/db").stdout;
    assert!(
        answer.starts_with("shop/web -> shop/db TCP 5432: ALLOWED"),
        "{answer}"
    );
    assert_eq!(said("-n shop --from web --to db").stdout, answer);
    assert_eq!(said("-n other --from shop/web --to shop/db").stdout, answer);
    for (arguments, expected) in [
        (
            "--from web --to db",
            "there is no pod default/web; no pod is in namespace default",
        ),
        (
            "-n shp --from web --to db",
            "there is no pod shp/web; did you mean shop/web?",
        ),
        (
            "-n warehouse --from web --to db",
            "there is no pod warehouse/web; no pod is in namespace warehouse",
        ),
        (
            "-n shop --from trolley --to db",
            "there is no pod shop/trolley; there are 2 other pods",
        ),
    ] {
        let ran = said(arguments);
        assert_eq!(ran.stderr, format!("error: {expected}\n"));
        assert_eq!(ran.code, Some(1));
    }
    assert_eq!(said("-n Shop --from web --to db").code, Some(2));
    let one = kubectl_netpol(&folder, "compile -f shop.yaml -n shop --pod db -o summary");
    assert!(one.stdout.contains("shop/db"), "{}", one.stdout);
}

#[test]
fn kubectl_gets_its_completions() {
    let folder = folder();
    let ran = run_as("kubectl_complete-netpol", &folder, "flows --output", "");
    assert_eq!(ran.stdout, "--output\tHow it is shown\n:4\n");
    let ran = run_as(
        "kubectl_complete-netpol",
        &folder,
        "flows --kubeconfig f",
        "",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ":0\n"));
    let ran = netpol(&folder, "completions bash");
    assert!(ran.stdout.contains("complete -F _netpol"), "{}", ran.stdout);
    assert_eq!(netpol(&folder, "completions tcsh").code, Some(2));
}
