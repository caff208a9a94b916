//! By which name the program was called.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::Cli;

/// Said of all commands that do not say otherwise.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (standard error says why), 2 wrong usage.";

const PLUGIN_HELP: &str = "\
Examples:
  What is isolated in the cluster that kubectl talks to, by which policies:
    netpol compile -o summary
  Whether a connection is allowed, and by which rule:
    netpol explain -n shop --from web --to db --port tcp/5432
  Who is dropped at this moment, by which policies, and which rule came nearest:
    netpol flows -f --last 0
  Who was blocked by what in the last hour:
    netpol flows --since 1h -o summary

Reads only. compile and explain take the rights to list pods, namespaces and
networkpolicies in all namespaces; flows takes those to list pods and to get
pods/log in the agents' namespace.";

/// What these do, they do on a node, or for its shell.
const OF_NODES: [&str; 6] = [
    "agent",
    "cleanup",
    "verify",
    "plan",
    "doctor",
    "completions",
];

/// As what the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `netpol`
    Program,
    /// `kubectl netpol`: kubectl calls the program of the name `kubectl-netpol`. The cluster is that of kubectl's context.
    Plugin,
    /// kubectl asks what may follow on the command line, and calls the program of the name `kubectl_complete-netpol`.
    Completion,
}

impl Form {
    /// The form that goes with a name, the first of a process's arguments.
    pub(super) fn of(program: Option<&OsStr>) -> Self {
        let name = program.and_then(|program| Path::new(program).file_name());
        match name.and_then(OsStr::to_str) {
            Some("kubectl-netpol") => Self::Plugin,
            Some("kubectl_complete-netpol") => Self::Completion,
            _ => Self::Program,
        }
    }

    /// What the command line may be, with help texts that call the program as it was called.
    pub(super) fn command(self) -> Command {
        let command = Cli::command();
        let names: Vec<String> = command
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        let mut command = command.mut_subcommands(|command| {
            let text = command.get_after_help().map(ToString::to_string);
            let text = complete(&command, text.unwrap_or_default());
            // What is called on nodes is called by its own name there.
            let of_node = OF_NODES.contains(&command.get_name());
            let form = if of_node { Self::Program } else { self };
            command.after_help(form.words(&text, &names))
        });
        if self != Self::Program {
            command = command
                .bin_name("kubectl netpol")
                .after_help(self.words(PLUGIN_HELP, &names))
                .mut_subcommands(|command| {
                    let hide = OF_NODES.contains(&command.get_name());
                    command.hide(hide)
                });
        }
        command
    }

    /// A text in which the program has the name by which it was called.
    fn words(self, text: &str, commands: &[String]) -> String {
        let mut text = text.to_owned();
        if self != Self::Program {
            for command in commands {
                text = text.replace(
                    &format!("netpol {command}"),
                    &format!("kubectl netpol {command}"),
                );
            }
        }
        text
    }
}

/// Adds what is the same in many commands.
fn complete(command: &Command, mut text: String) -> String {
    let reads_cluster = command
        .get_arguments()
        .any(|argument| argument.get_id() == "kubeconfig");
    if reads_cluster && !text.contains("KUBECONFIG") {
        text += "\n\nEnvironment: KUBECONFIG, the kubeconfig files; else ~/.kube/config is read;\n\
                 else, in a pod, the cluster that it runs in, by its service account.";
    }
    if !text.contains("Exit codes:") {
        text += "\n\n";
        text += EXIT_CODES;
    }
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("netpol", Form::Program),
            ("/usr/bin/kubectl-netpol", Form::Plugin),
            ("kubectl-netpol", Form::Plugin),
            ("./kubectl_complete-netpol", Form::Completion),
            ("/kubectl-netpol/netpol", Form::Program),
            ("", Form::Program),
        ] {
            assert_eq!(Form::of(Some(OsStr::new(name))), expected, "{name}");
        }
        assert_eq!(Form::of(None), Form::Program);
    }

    #[test]
    fn the_arguments_fit_together() {
        for form in [Form::Program, Form::Plugin] {
            form.command().debug_assert();
        }
    }
}
