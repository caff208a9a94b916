//! `make cluster`: a real Kubernetes cluster of two nodes on this machine, for a person to try things in.
//!
//! ```text
//! cluster up [--cni bridge|ptp] [--proxy nftables|iptables]    starts it in the background, and says what to type
//! cluster down                                                 ends it; says what is left of it, which is nothing
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use netpol_tests::kubernetes::{AGNHOST, Cluster, Cni, IMPORT, Options, Proxy, leftovers};
use netpol_tests::lab::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const UP_WITHIN: Duration = Duration::from_secs(1800);
const DOWN_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"up", options)) => up(options),
        Some((&"run", options)) => run(options),
        Some((&"down", [])) => down(),
        _ => {
            Err("cluster up [--cni bridge|ptp] [--proxy nftables|iptables], or cluster down".into())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of what `up` and `down` know of each other: `$NETPOL_CLUSTER`, else beside what cargo builds.
fn state() -> PathBuf {
    let chosen = std::env::var_os("NETPOL_CLUSTER").map(PathBuf::from);
    chosen.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cluster"))
}

fn options(words: &[&str]) -> Outcome<Options> {
    let mut options = Options {
        cni: Cni::Bridge,
        proxy: Proxy::Nftables,
    };
    for pair in words.chunks(2) {
        match pair {
            ["--cni", "bridge"] => options.cni = Cni::Bridge,
            ["--cni", "ptp"] => options.cni = Cni::Ptp,
            ["--proxy", "nftables"] => options.proxy = Proxy::Nftables,
            ["--proxy", "iptables"] => options.proxy = Proxy::Iptables,
            _ => return Err(format!("no such option: {}", pair.join(" ")).into()),
        }
    }
    Ok(options)
}

/// The process that has a cluster up, if there is one.
fn running() -> Option<Pid> {
    let pid: i32 = std::fs::read_to_string(state().join("pid"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    // The number may have been given to another program since.
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let is_this = executable
        .to_string_lossy()
        .trim_end_matches(" (deleted)")
        .ends_with("/cluster");
    is_this.then(|| Pid::from_raw(pid))
}

fn up(words: &[&str]) -> Outcome {
    options(words)?;
    if let Some(pid) = running() {
        return Err(format!(
            "a cluster is up already, by process {pid}; `make cluster-down` ends it"
        )
        .into());
    }
    let state = state();
    // What a cluster that was killed has left here.
    let _ = std::fs::remove_dir_all(&state);
    std::fs::create_dir_all(&state)?;
    let log = File::create(state.join("log"))?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("run")
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Interrupting the terminal's programs must not reach it.
        .process_group(0)
        .spawn()?;
    let start = Instant::now();
    while !state.join("ready").exists() {
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(state.join("log")).unwrap_or_default();
            return Err(format!("the cluster did not come up ({status}): {log}").into());
        }
        if start.elapsed() > UP_WITHIN {
            child.kill()?;
            return Err("the cluster did not come up in time".into());
        }
        std::thread::sleep(POLL);
    }
    print!("{}", std::fs::read_to_string(state.join("ready"))?);
    Ok(())
}

/// Has the cluster up until it is told to end.
fn run(words: &[&str]) -> Outcome {
    let state = state();
    std::fs::write(state.join("pid"), std::process::id().to_string())?;
    let start = Instant::now();
    let options = options(words)?;
    let cluster = Cluster::start(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Until here a signal ends this process as it is, and the kernel everything it has started.
    let mut told_to_end = {
        let _context = runtime.enter();
        signal(SignalKind::terminate())?
    };
    write_wrappers(&cluster, &state)?;
    std::os::unix::fs::symlink(cluster.directory(), state.join("logs"))?;
    let text = told(options, start.elapsed(), &state)?;
    std::fs::write(state.join(".ready"), text)?;
    std::fs::rename(state.join(".ready"), state.join("ready"))?;
    runtime.block_on(told_to_end.recv());
    drop(cluster);
    Ok(())
}

/// Writes the commands that a person has: `kubectl`, one for each node, and `import` of images into all of them.
fn write_wrappers(cluster: &Cluster, state: &Path) -> Outcome {
    let script = |name: &str, lines: &str| -> Outcome {
        let path = state.join(name);
        std::fs::write(&path, format!("#!/bin/sh\nset -eu\n{lines}"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    };
    let quoted = |words: &[String]| format!("'{}' ", words.join("' '"));
    let kubectl = quoted(&cluster.kubectl_prefix());
    script("kubectl", &format!("exec {kubectl}\"$@\"\n"))?;
    let mut imports = String::new();
    for (node, enter) in cluster.node_prefixes() {
        let enter = quoted(&enter);
        script(
            node,
            &format!("[ $# -gt 0 ] || set -- bash\nexec {enter}\"$@\"\n"),
        )?;
        let import = quoted(&IMPORT.map(str::to_owned));
        writeln!(imports, "{enter}{import}\"$(realpath \"$1\")\"")?;
    }
    script("import", &imports)
}

fn told(options: Options, took: Duration, state: &Path) -> Outcome<String> {
    let mut text = String::new();
    let folder = state.canonicalize()?;
    let folder = folder.display();
    writeln!(
        text,
        "A cluster of two nodes is up: {} CNI, kube-proxy with {}, {:.0} s.\n",
        options.cni,
        options.proxy,
        took.as_secs_f64()
    )?;
    for (command, what) in [
        (
            "kubectl get nodes",
            "what you do with any cluster; `alias kubectl=…` saves typing",
        ),
        (
            "import IMAGES.tar",
            "makes the images in an archive known to both nodes",
        ),
        (
            "node-a nft list ruleset",
            "any program on a node; a shell without one",
        ),
        (
            "logs/",
            "of etcd, API server, controllers; of each node's programs",
        ),
    ] {
        writeln!(text, "  {folder}/{command}\n      {what}")?;
    }
    writeln!(
        text,
        "  make cluster-down\n      ends it, and leaves no trace"
    )?;
    writeln!(text, "\nImage of pods that serve and ask: {AGNHOST}")?;
    Ok(text)
}

fn down() -> Outcome {
    let Some(pid) = running() else {
        leftovers::sweep();
        println!("No cluster is up.");
        return Ok(());
    };
    kill(pid, Signal::SIGTERM)?;
    let deadline = Instant::now() + DOWN_WITHIN;
    while !leftovers::has_ended(pid.as_raw().unsigned_abs()) {
        if Instant::now() > deadline {
            return Err(format!(
                "process {pid} does not end; see {}",
                state().join("log").display()
            )
            .into());
        }
        std::thread::sleep(POLL);
    }
    leftovers::sweep();
    std::fs::remove_dir_all(state())?;
    println!("The cluster is gone.");
    Ok(())
}
