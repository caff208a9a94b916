//! A network namespace that lives as long as the thread inside it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::LabError;
use crate::command::output;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace and the thread that works in it.
///
/// The namespace has no name under `/run/netns`: it is held by its thread and by one file descriptor of this process,
/// so the kernel removes it with all its devices whenever the process ends, even by SIGKILL. There is nothing to sweep.
///
/// Jobs run one after the other on the thread, inside a tokio runtime: a job may open sockets, spawn local futures
/// that outlive it, and start programs. All of these are in the namespace.
#[derive(Debug)]
pub struct Netns {
    name: String,
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
    handle: File,
}

impl Netns {
    /// Makes an empty namespace. `name` is for messages and for the thread.
    pub fn new(name: &str) -> Result<Self, LabError> {
        if !is_root() {
            return Err(LabError::Privilege);
        }
        let (jobs, mut queue) = unbounded_channel::<Job>();
        let (ready, entered) = mpsc::channel();
        let enter = || -> std::io::Result<_> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok((File::open("/proc/thread-self/ns/net")?, runtime))
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match enter() {
                Ok((handle, runtime)) => {
                    let _ = ready.send(Ok(handle));
                    tokio::task::LocalSet::new().block_on(&runtime, async {
                        while let Some(job) = queue.recv().await {
                            job();
                        }
                    });
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(LabError::io(format!("thread of {name}")))?;
        let handle = entered
            .recv()
            .map_err(|_| LabError::Ended(name.to_owned()))?
            .map_err(LabError::io(format!("network namespace of {name}")))?;
        Ok(Self {
            name: name.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
            handle,
        })
    }

    /// The name given at creation.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path by which other programs find the namespace while this process lives, e.g. `nsenter --net=PATH`.
    pub fn path(&self) -> PathBuf {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.handle.as_raw_fd()
        )
        .into()
    }

    /// Runs `job` in the namespace; the answer comes through the channel.
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (reply, answer) = mpsc::channel();
        if let Some(jobs) = &self.jobs {
            // If the thread has ended the job is dropped, and with it `reply`: the caller sees a closed channel.
            let _ = jobs.send(Box::new(move || {
                let _ = reply.send(job());
            }));
        }
        answer
    }

    /// Runs `job` in the namespace and waits for its answer.
    pub fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LabError> {
        self.submit(job)
            .recv()
            .map_err(|_| LabError::Ended(self.name.clone()))
    }

    /// Runs a program in the namespace to its end and returns what it printed.
    pub fn run(&self, command: &[&str], input: &str) -> Result<String, LabError> {
        self.run_later(command, input)
            .recv()
            .map_err(|_| LabError::Ended(self.name.clone()))?
    }

    /// As [`Netns::run`], without waiting.
    pub fn run_later(
        &self,
        command: &[&str],
        input: &str,
    ) -> mpsc::Receiver<Result<String, LabError>> {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let (place, input) = (self.name.clone(), input.to_owned());
        self.submit(move || run(&place, &command, &input))
    }

    /// Runs lines of `ip` commands in one process.
    pub fn ip(&self, lines: &str) -> Result<(), LabError> {
        self.run(&["ip", "-batch", "-"], lines).map(drop)
    }

    /// Loads an nft script as one transaction.
    pub fn nft(&self, script: &str) -> Result<(), LabError> {
        self.run(&["nft", "-f", "-"], script).map(drop)
    }

    /// Writes kernel settings by their path under `/proc/sys`, in order.
    pub fn sysctl(&self, settings: &[(&'static str, &'static str)]) -> Result<(), LabError> {
        let settings = settings.to_vec();
        let place = self.name.clone();
        // `/proc/sys/net` shows the namespace of the thread that opens it.
        self.call(move || {
            settings.iter().try_for_each(|(key, value)| {
                std::fs::write(format!("/proc/sys/{key}"), value)
                    .map_err(LabError::io(format!("in {place}: sysctl {key}={value}")))
            })
        })?
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A job that panicked has already told its caller by closing the channel.
            let _ = thread.join();
        }
    }
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn run(place: &str, command: &[String], input: &str) -> Result<String, LabError> {
    let failed = |stderr: String| LabError::Command {
        place: place.to_owned(),
        command: command.join(" "),
        stderr,
        input: input.to_owned(),
    };
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| failed("no program named".to_owned()))?;
    let output = output(Command::new(program).args(arguments), input)
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
