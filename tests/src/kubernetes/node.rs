//! A node: namespaces of its own for processes, mounts and network, with containerd, kubelet and kube-proxy in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command::{self, POLL};
use super::{ClusterError, Options, config, leftovers};
use crate::control_plane::program::{Program, Recipe};
use crate::control_plane::worker::Worker;
use crate::lab::{Netns, NodeSpec};

const FURNISHED_WITHIN: Duration = Duration::from_secs(180);
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// The command that makes images known to a node, but for the archive they are in.
pub const IMPORT: [&str; 7] = [
    "ctr",
    "--address",
    config::CONTAINERD,
    "--namespace",
    "k8s.io",
    "images",
    "import",
];

/// What a node needs to join: files of its own.
pub(super) struct Credentials {
    pub(super) kubelet: PathBuf,
    pub(super) proxy: PathBuf,
    pub(super) authority: PathBuf,
    /// Certificate and key of the kubelet's own server.
    pub(super) serving: [PathBuf; 2],
}

/// A running node. All of its processes are descendants of one, in a process namespace: they end with it, and the kernel
/// sees to that however the test ends.
pub struct Node {
    spec: NodeSpec,
    programs: Vec<Program>,
    /// The first process, as the node calls it 1, and as the machine does.
    first: Program,
    pid: u32,
    worker: Worker,
    netns: Netns,
    binaries: PathBuf,
    folder: PathBuf,
    cgroup: String,
}

impl Node {
    /// A node with containerd, whose files are in `folder`; no pod can run before [`Node::join`].
    pub(super) fn start(
        spec: NodeSpec,
        netns: Netns,
        binaries: &Path,
        folder: PathBuf,
        options: Options,
    ) -> Result<Self, ClusterError> {
        std::fs::create_dir_all(&folder)
            .map_err(ClusterError::io(format!("create {}", folder.display())))?;
        write(&folder, "containerd.toml", &config::containerd(binaries))?;
        let network = config::cni(options.cni, &spec).to_string();
        write(&folder, "10-pods.conflist", &network)?;
        let worker = Worker::enter(&netns.path())?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubernetes/node.sh");
        let cgroup = leftovers::cgroup(spec.name);
        let first = Recipe {
            name: "unshare",
            binary: "unshare".into(),
            arguments: [
                "--mount",
                "--uts",
                "--ipc",
                "--pid",
                "--fork",
                "--kill-child",
                "--",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([script.display().to_string(), spec.name.to_owned()])
            .chain([folder.display().to_string(), cgroup.clone()])
            .collect(),
            log: folder.join("node.log"),
        };
        let first = Program::start(first, &worker)?;
        let mut node = Self {
            spec,
            programs: Vec::new(),
            first,
            pid: 0,
            worker,
            netns,
            binaries: binaries.to_owned(),
            folder,
            cgroup,
        };
        node.pid = node.furnished()?;
        node.run_containerd()?;
        Ok(node)
    }

    fn run_containerd(&mut self) -> Result<(), ClusterError> {
        let configuration = self.folder.join("containerd.toml");
        let argument = format!("--config={}", configuration.display());
        self.run_on("containerd", &[argument])
    }

    /// Kills containerd and starts it again.
    pub(super) fn restart_containerd(&mut self) -> Result<(), ClusterError> {
        self.programs
            .retain(|program| program.name() != "containerd");
        self.run_containerd()
    }

    /// Starts a kubelet that belongs to no cluster.
    pub(super) fn run_kubelet(&mut self, configuration: &Value) -> Result<(), ClusterError> {
        let kubelet = write(&self.folder, "kubelet.json", &configuration.to_string())?;
        self.run_on(
            "kubelet",
            &[
                format!("--config={}", kubelet.display()),
                format!("--hostname-override={}", self.spec.name),
            ],
        )
    }

    /// Waits for the first process to say that everything is in its place.
    fn furnished(&mut self) -> Result<u32, ClusterError> {
        let told = self.folder.join("init");
        let deadline = Instant::now() + FURNISHED_WITHIN;
        loop {
            let pid = std::fs::read_to_string(&told).ok();
            if let Some(pid) = pid.and_then(|pid| pid.parse().ok()) {
                return Ok(pid);
            }
            if self.first.has_ended() || Instant::now() > deadline {
                return Err(self.first.failure("did not furnish the node").into());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Starts kubelet and kube-proxy.
    pub(super) fn join(
        &mut self,
        credentials: &Credentials,
        options: Options,
    ) -> Result<(), ClusterError> {
        let serving = credentials
            .serving
            .each_ref()
            .map(|path| path.display().to_string());
        let kubelet = config::kubelet(&credentials.authority, &serving);
        let kubelet = write(&self.folder, "kubelet.json", &kubelet.to_string())?;
        let proxy = config::kube_proxy(options.proxy, &self.spec, &credentials.proxy);
        let proxy = write(&self.folder, "kube-proxy.json", &proxy.to_string())?;
        self.run_on(
            "kubelet",
            &[
                format!("--config={}", kubelet.display()),
                format!("--kubeconfig={}", credentials.kubelet.display()),
                format!("--hostname-override={}", self.spec.name),
                format!("--node-ip={},{}", self.spec.v4, self.spec.v6),
            ],
        )?;
        self.run_on("kube-proxy", &[format!("--config={}", proxy.display())])
    }

    /// Starts a program of the node that runs until the node ends.
    fn run_on(&mut self, name: &'static str, arguments: &[String]) -> Result<(), ClusterError> {
        // It ends with nsenter, which is the one that can be killed from here.
        let program = ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned);
        let binary = self.binaries.join(name).display().to_string();
        let recipe = Recipe {
            name,
            binary: "nsenter".into(),
            arguments: self
                .entrance()
                .into_iter()
                .chain(program)
                .chain([binary])
                .chain(arguments.iter().cloned())
                .collect(),
            log: self.folder.join(format!("{name}.log")),
        };
        self.programs.push(Program::start(recipe, &self.worker)?);
        Ok(())
    }

    /// The arguments of `nsenter` that lead into the node.
    pub(super) fn entrance(&self) -> Vec<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        [
            "--target".to_owned(),
            self.pid.to_string(),
            "--mount".to_owned(),
            "--uts".to_owned(),
            "--ipc".to_owned(),
            "--net".to_owned(),
            "--pid".to_owned(),
            "--".to_owned(),
            "env".to_owned(),
            // The shim is found by it; programs for nftables and mounts too, wherever the machine keeps them.
            format!("PATH={}:{path}:/usr/sbin:/sbin", self.binaries.display()),
            "TMPDIR=/run/tmp".to_owned(),
        ]
        .into()
    }

    /// Runs a program on the node to its end and returns what it printed.
    pub fn run(&self, program: &[&str]) -> Result<String, ClusterError> {
        let mut command = Command::new("nsenter");
        command.args(self.entrance()).args(program);
        command::run(self.spec.name, &mut command, "")
    }

    /// Makes the images in an archive, OCI or docker, known to the node under the names in it.
    pub fn import(&self, archive: &Path) -> Result<(), ClusterError> {
        let archive = archive.display().to_string();
        let mut words = IMPORT.to_vec();
        words.push(&archive);
        self.run(&words).map(drop)
    }

    /// Waits for containerd to listen.
    pub(super) fn wait_for_containerd(&mut self) -> Result<(), ClusterError> {
        let socket = self.file(config::CONTAINERD);
        let deadline = Instant::now() + FURNISHED_WITHIN;
        while !socket.exists() {
            let Some(containerd) = self.programs.first_mut() else {
                break;
            };
            if containerd.has_ended() || Instant::now() > deadline {
                return Err(containerd.failure("does not listen").into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// A program of the node that has ended, as an error with the end of its log.
    pub(super) fn casualty(&mut self) -> Option<ClusterError> {
        self.programs.iter_mut().find_map(|program| {
            let ended = program.has_ended();
            ended.then(|| program.failure("has ended").into())
        })
    }

    /// Its name and addresses.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// Its network.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The number of its first process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The folder of its logs: containerd's, the kubelet's, kube-proxy's.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the node, by a path that leads to it from outside.
    pub fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.first.kill();
        self.programs.clear();
        // The first process has ended when the kernel has ended all others.
        let deadline = Instant::now() + GONE_WITHIN;
        while self.pid != 0 && !leftovers::has_ended(self.pid) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        leftovers::remove_cgroup(&self.cgroup);
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, ClusterError> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(ClusterError::io(format!("write {}", path.display())))?;
    Ok(path)
}
