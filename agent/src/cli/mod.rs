//! The command line.

mod agent;
mod chosen;
mod cleanup;
mod compile;
mod completions;
mod connections;
mod doctor;
mod duration;
mod endpoint;
mod explain;
mod flow_log;
mod flows;
mod form;
mod input;
mod listen;
mod log;
mod plan;
mod pod_name;
mod pod_start;
#[cfg(test)]
mod reference;
mod source_guard;
mod summary;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::dataplane::Process;
use crate::manifests::printable;
use form::Form;

const AFTER_HELP: &str = "\
Examples:
  The nftables rules for all pods in a file:
    netpol compile -f shop.yaml
  What is isolated on a node of the cluster that kubectl talks to:
    netpol compile --node node-a -o summary
  Whether a connection is allowed, and by which rule:
    netpol explain -f shop.yaml --from shop/web --to shop/db --port tcp/5432
  Enforce on this node (as root), and undo it:
    netpol agent --node-name node-a --kubeconfig /etc/netpol/kubeconfig
    netpol cleanup
  Whether this node's kernel holds what it should (as root):
    netpol verify --node node-a --kubeconfig /etc/netpol/kubeconfig
  Which open connections a changed policy would cut on this node (as root):
    netpol plan -f policy.yaml --node-name node-a --kubeconfig /etc/netpol/kubeconfig
  Whether policies can be enforced on this node, and what to do if not (as root):
    netpol doctor
  Who was dropped, by which policies, and which rule came nearest:
    netpol flows -f /var/log/netpol/flows.log";

/// Kubernetes NetworkPolicy by nftables: enforces it on a node, shows the rules, explains verdicts.
#[derive(Debug, Parser)]
#[command(name = "netpol", version, after_help = AFTER_HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compile(compile::Compile),
    Explain(explain::Explain),
    Flows(flows::Flows),
    Agent(agent::Agent),
    Doctor(doctor::Doctor),
    Cleanup(cleanup::Cleanup),
    Verify(verify::Verify),
    Plan(plan::Plan),
    Completions(completions::Completions),
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// In words for people; `error: ` is put before them unless they have that already.
    Because(String),
    /// The log has it.
    Logged,
    /// It was to be found out, and is the output.
    Found(String),
    /// As [`Failure::Because`], of a command that says something else by failing.
    Trouble(String),
}

impl Failure {
    fn because(message: impl Into<String>) -> Self {
        Self::Because(message.into())
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Because(error.to_string())
    }
}

/// Runs the program with the arguments it was started with. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let form = Form::of(std::env::args_os().next().as_deref());
    if form == Form::Completion {
        let words = std::env::args_os().skip(1);
        let words: Vec<String> = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        return print(&completions::answer(&words));
    }
    let mut arguments = form.command();
    let parsed = Cli::from_arg_matches(&arguments.get_matches_mut());
    let command = match parsed {
        Ok(cli) => cli.command,
        Err(error) => error.format(&mut arguments).exit(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // By this name other programs know who changes nftables.
        .thread_name(Process::AGENT)
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(command.run(form));
            // A look at a folder on a disk that hangs is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::because(format!("cannot start: {error}"))),
    };
    match result {
        Ok(output) => print(&output),
        Err(Failure::Logged) => ExitCode::FAILURE,
        Err(Failure::Found(output)) => {
            print(&output);
            ExitCode::FAILURE
        }
        Err(Failure::Because(message)) => {
            remark_error(&message);
            ExitCode::FAILURE
        }
        Err(Failure::Trouble(message)) => {
            remark_error(&message);
            ExitCode::from(2)
        }
    }
}

impl Command {
    /// What goes to standard output. Nothing is printed before it is complete, except flows, which may have no end.
    async fn run(self, form: Form) -> Result<String, Failure> {
        match self {
            Self::Compile(compile) => compile.run(form).await,
            Self::Explain(explain) => explain.run(form).await,
            Self::Flows(flows) => flows.run(form).await.map(|()| String::new()),
            Self::Agent(agent) => agent.run().await.map(|()| String::new()),
            Self::Doctor(doctor) => doctor.run().await,
            Self::Cleanup(cleanup) => cleanup.run().await,
            Self::Verify(verify) => verify.run(form).await,
            Self::Plan(plan) => plan.run(form).await,
            Self::Completions(completions) => Ok(completions.run()),
        }
    }
}

fn print(output: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(output.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        // `netpol compile | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            remark(&format!("error: cannot write the output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Completes on SIGTERM or SIGINT, and says which.
fn stop_signal() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

fn remark_error(message: &str) {
    let prefix = if message.starts_with("error: ") {
        ""
    } else {
        "error: "
    };
    remark(&format!("{prefix}{message}"));
}

/// Words for people that are not part of the output. What they quote may be of any shape.
fn remark(text: &str) {
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    // There is nowhere left to tell of a closed standard error.
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}
