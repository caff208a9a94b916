//! A thread inside a network namespace that somebody else made.

use std::fs::File;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::ControlPlaneError;

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A thread that has entered a network namespace for good, with a tokio runtime. Sockets opened and programs started
/// by its tasks are in the namespace.
pub(crate) struct Worker {
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn enter(netns: &Path) -> Result<Self, ControlPlaneError> {
        let namespace = File::open(netns)
            .map_err(ControlPlaneError::io(format!("open {}", netns.display())))?;
        let (jobs, mut queue) = unbounded_channel::<Job>();
        let (ready, entered) = mpsc::channel();
        let enter = move || -> std::io::Result<_> {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
        };
        let work = move || {
            let runtime = match enter() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, async {
                while let Some(job) = queue.recv().await {
                    spawn_local(job());
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("control-plane".to_owned())
            .spawn(work)
            .map_err(ControlPlaneError::io("thread of the control plane"))?;
        let entered = entered.recv().map_err(|_| ControlPlaneError::Ended)?;
        entered.map_err(ControlPlaneError::io(format!("enter {}", netns.display())))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a task in the namespace and waits for its answer.
    pub(crate) fn run<T, F>(
        &self,
        task: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, ControlPlaneError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (reply, answer) = mpsc::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                let _ = reply.send(task().await);
            })
        });
        // If the thread has ended the job is dropped, and with it `reply`.
        self.jobs.as_ref().map(|jobs| jobs.send(job));
        answer.recv().map_err(|_| ControlPlaneError::Ended)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
