//! A real Kubernetes API server with its etcd, in a network namespace of the caller's choice.
//!
//! By default there is no scheduler, kubelet or controller: a test is all of these. It creates a pod with `spec.nodeName`, writes
//! its status, deletes it with grace period 0, finishes the deletion of a namespace. The programs are built from their
//! Go modules the first time (`tests/control-plane/build.sh`) and kept in a cache folder:
//! `$NETPOL_TEST_CACHE`, else `$XDG_CACHE_HOME/netpol`, else `$HOME/.cache/netpol`.
//!
//! ```text
//!  test thread ── ControlPlane::apply(…) ──→ thread inside the netns ── TLS ──→ kube-apiserver ──→ etcd
//!                                              (blocking for the test)         address:6443       127.0.0.1:2379
//! ```
//!
//! Everything ends with the [`ControlPlane`]: on drop, on panic, and if the test program is killed.

mod certificates;
mod client;
mod controllers;
mod error;
mod objects;
pub(crate) mod program;
mod store;
pub(crate) mod worker;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use certificates::Authority;
pub use error::ControlPlaneError;
pub use objects::{namespace, pod, policy};
use program::Program;
use worker::Worker;

const READY_WITHIN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);

/// Where and how the API server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network namespace, by a path that can be opened. Its loopback must be up.
    pub netns: PathBuf,
    /// Where the API server listens; one of the namespace's addresses.
    pub address: SocketAddr,
    /// Further names and addresses for its certificate.
    pub names: Vec<String>,
    /// Further arguments for the API server.
    pub arguments: Vec<String>,
    /// Whether kubelets will run what is created: controllers, a scheduler and tokens for service accounts then.
    pub runs_pods: bool,
    /// Where the folder of certificates, logs and data is made, if not among the temporary files.
    pub parent: Option<PathBuf>,
}

impl Options {
    /// An API server on `127.0.0.1:6443` of a namespace.
    pub fn new(netns: impl Into<PathBuf>) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6443);
        Self {
            netns: netns.into(),
            address,
            names: Vec::new(),
            arguments: Vec::new(),
            runs_pods: false,
            parent: None,
        }
    }

    /// Another address to listen on.
    #[must_use]
    pub fn listening_on(mut self, address: IpAddr) -> Self {
        self.address.set_ip(address);
        self
    }

    /// One more argument for the API server.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// A running API server and etcd.
pub struct ControlPlane {
    client: Client,
    kubeconfig: PathBuf,
    authority: Authority,
    controllers: Vec<Program>,
    api_server: Program,
    // Dropped in this order: etcd outlives its client, the folder outlives both.
    etcd: Program,
    worker: Worker,
    directory: tempfile::TempDir,
}

impl ControlPlane {
    /// Builds the programs if need be, starts them, and waits until the API server is ready.
    pub fn start(options: &Options) -> Result<Self, ControlPlaneError> {
        let binaries = program::build(options.runs_pods.then_some("cluster"))?;
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let directory = tempfile::Builder::new()
            .prefix("netpol-")
            .tempdir_in(parent)
            .map_err(ControlPlaneError::io("temporary folder"))?;
        let folder = directory.path();
        let authority = Authority::new(folder, options)?;
        let worker = Worker::enter(&options.netns)?;
        let etcd = program::etcd(&binaries, folder);
        let etcd = Program::start(etcd, &worker)?;
        let api_server = Program::start(program::api_server(&binaries, folder, options), &worker)?;
        let kubeconfig = authority.kubeconfig("admin", &["system:masters"])?;
        let client = client_on(&worker, &kubeconfig)?;
        let mut started = Self {
            client,
            kubeconfig,
            authority,
            controllers: Vec::new(),
            api_server,
            etcd,
            worker,
            directory,
        };
        started.wait_ready()?;
        if options.runs_pods {
            started.start_controllers(&binaries)?;
        }
        Ok(started)
    }

    /// The folder that holds certificates, logs and etcd's data; gone with the control plane.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A kubeconfig file of an administrator, good inside the network namespace and wherever the address is reachable.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig file of another user, whose rights are what RBAC grants it.
    /// A service account is the user `system:serviceaccount:NAMESPACE:NAME`.
    pub fn kubeconfig_of(&self, user: &str, groups: &[&str]) -> Result<PathBuf, ControlPlaneError> {
        self.authority.kubeconfig(user, groups)
    }

    /// Writes the certificate of a server with these names and addresses, and its key. Returns their paths.
    pub fn serving_certificate(
        &self,
        server: &str,
        names: Vec<String>,
    ) -> Result<[PathBuf; 2], ControlPlaneError> {
        self.authority.serving(server, server, names)?;
        Ok(["crt", "key"].map(|kind| self.directory().join(format!("{server}.{kind}"))))
    }

    fn start_controllers(&mut self, binaries: &Path) -> Result<(), ControlPlaneError> {
        let manager = self.kubeconfig_of("system:kube-controller-manager", &[])?;
        let scheduler = self.kubeconfig_of("system:kube-scheduler", &[])?;
        let recipes = controllers::recipes(binaries, self.directory(), [&manager, &scheduler]);
        for recipe in recipes {
            let program = Program::start(recipe, &self.worker)?;
            self.controllers.push(program);
        }
        Ok(())
    }

    /// Runs a future that uses an administrator's client, on the thread inside the network namespace, and waits.
    pub fn run<T, F>(
        &self,
        task: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, ControlPlaneError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let client = self.client.clone();
        self.worker.run(move || task(client))
    }

    /// What the API server's metrics say.
    pub fn metrics(&self) -> Result<String, ControlPlaneError> {
        self.text("/metrics")
    }

    /// What is at a path that is no object: metrics, say, those of kubelets included.
    pub fn text(&self, path: &str) -> Result<String, ControlPlaneError> {
        let path = path.to_owned();
        self.run(|client: Client| async move { client::text(&client, &path).await })?
    }

    /// Kills the API server, as a crash would. Clients lose their connections and watches; etcd keeps its data.
    pub fn kill_api_server(&mut self) {
        self.api_server.kill();
    }

    /// Kills the API server, starts it again on the same data and waits until it is ready.
    pub fn restart_api_server(&mut self) -> Result<(), ControlPlaneError> {
        self.api_server.restart(&self.worker)?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<(), ControlPlaneError> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if self.run(|client| async move { client::is_ready(&client).await })? {
                return Ok(());
            }
            for program in [&mut self.etcd, &mut self.api_server] {
                if program.has_ended() {
                    return Err(program.failure("ended before the API server was ready"));
                }
            }
            std::thread::sleep(POLL);
        }
        Err(self.api_server.failure("is not ready"))
    }
}

fn client_on(worker: &Worker, kubeconfig: &Path) -> Result<Client, ControlPlaneError> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)
        .map_err(|error| ControlPlaneError::Request(error.to_string()))?;
    worker.run(move || async move {
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .map_err(|error| ControlPlaneError::Request(error.to_string()))?;
        Client::try_from(config).map_err(ControlPlaneError::from)
    })?
}
