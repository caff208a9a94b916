//! The programs of the control plane: building, starting, killing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::worker::Worker;
use super::{ControlPlaneError, Options};

/// Where etcd listens.
pub(super) const ETCD_ADDRESS: &str = "127.0.0.1:2379";
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";

/// Builds etcd and the API server, or finds them built; or `what` else `build.sh` knows. Returns their folder.
pub(crate) fn build(what: Option<&str>) -> Result<PathBuf, ControlPlaneError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane/build.sh");
    let output = Command::new(&script)
        .args(what)
        .output()
        .map_err(ControlPlaneError::io(script.display().to_string()))?;
    if output.status.success() {
        let folder = String::from_utf8_lossy(&output.stdout);
        Ok(PathBuf::from(folder.trim_end()))
    } else {
        Err(ControlPlaneError::Build(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

/// How to start a program.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The file of what it prints.
    pub(crate) log: PathBuf,
}

/// etcd, with its data under `folder`.
pub(super) fn etcd(binaries: &Path, folder: &Path) -> Recipe {
    let arguments = [
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={ETCD_PEER}"),
        format!("--initial-advertise-peer-urls={ETCD_PEER}"),
        format!("--initial-cluster=default={ETCD_PEER}"),
        // The data is gone with the test anyway.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Recipe {
        name: "etcd",
        binary: binaries.join("etcd"),
        arguments: arguments.into(),
        log: folder.join("etcd.log"),
    }
}

/// The API server, with the certificates under `folder`.
pub(super) fn api_server(binaries: &Path, folder: &Path, options: &Options) -> Recipe {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers={ETCD}"),
        format!("--bind-address={}", options.address.ip()),
        format!("--secure-port={}", options.address.port()),
        format!("--cert-dir={}", folder.display()),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!(
            "--service-account-signing-key-file={}",
            file("accounts.key")
        ),
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".to_owned(),
    ];
    arguments.extend(if options.runs_pods {
        vec![
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--advertise-address={}", options.address.ip()),
            // Names of nodes mean nothing to the resolver.
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--kubelet-certificate-authority={}", file("ca.crt")),
            format!("--kubelet-client-certificate={}", file("kubelets.crt")),
            format!("--kubelet-client-key={}", file("kubelets.key")),
        ]
    } else {
        vec![
            "--authorization-mode=RBAC".to_owned(),
            // Nothing issues tokens; pods are only records here.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            // Nobody looks for the API server by its Service, and loopback must not be advertised.
            "--endpoint-reconciler-type=none".to_owned(),
            "--advertise-address=192.0.2.1".to_owned(),
        ]
    });
    arguments.extend(options.arguments.iter().cloned());
    let log = folder.join("kube-apiserver.log");
    Recipe {
        name: "kube-apiserver",
        binary: binaries.join("kube-apiserver"),
        arguments,
        log,
    }
}

/// A running program. Killed when dropped.
pub(crate) struct Program {
    recipe: Recipe,
    child: Child,
}

impl Program {
    pub(crate) fn start(recipe: Recipe, worker: &Worker) -> Result<Self, ControlPlaneError> {
        let child = spawn(&recipe, worker)?;
        Ok(Self { recipe, child })
    }

    /// Ends it, if it still runs, and starts it again.
    pub(super) fn restart(&mut self, worker: &Worker) -> Result<(), ControlPlaneError> {
        self.kill();
        self.child = spawn(&self.recipe, worker)?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn name(&self) -> &'static str {
        self.recipe.name
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// An error about the program with the end of its log.
    pub(crate) fn failure(&self, problem: &str) -> ControlPlaneError {
        const LINES: usize = 30;
        let log = std::fs::read_to_string(&self.recipe.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(LINES)..].join("\n");
        ControlPlaneError::Program {
            program: self.recipe.name,
            problem: problem.to_owned(),
            log,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(recipe: &Recipe, worker: &Worker) -> Result<Child, ControlPlaneError> {
    let log = || -> std::io::Result<(File, File)> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&recipe.log)?;
        Ok((output.try_clone()?, output))
    };
    let (stdout, stderr) = log().map_err(ControlPlaneError::io(format!(
        "open {}",
        recipe.log.display()
    )))?;
    // The program ends with the thread that started it, so it cannot outlive the test however that ends.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&recipe.binary)
        .args(&recipe.arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    worker
        .run(move || async move { command.spawn() })?
        .map_err(ControlPlaneError::io(format!("start {}", recipe.name)))
}
