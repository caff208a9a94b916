//! `netpol completions`, and what kubectl asks of its plugin.

use clap::builder::PossibleValue;
use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::aot;

use super::form::Form;

const AFTER_HELP: &str = "\
Examples:
  In bash, where bash-completion is installed:
    netpol completions bash > /etc/bash_completion.d/netpol
  In zsh:
    netpol completions zsh > \"${fpath[1]}/_netpol\"
  In fish:
    netpol completions fish > ~/.config/fish/completions/netpol.fish
  For `kubectl netpol`, where kubectl's own completions are set up: two more
  names for this program, in a folder of $PATH:
    ln -s netpol kubectl-netpol
    ln -s netpol kubectl_complete-netpol";

/// Print a script that completes netpol's command line in a shell
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(super) fn run(&self) -> String {
        let shell = match self.shell {
            Shell::Bash => aot::Shell::Bash,
            Shell::Zsh => aot::Shell::Zsh,
            Shell::Fish => aot::Shell::Fish,
        };
        let mut script = Vec::new();
        aot::generate(shell, &mut Form::Program.command(), "netpol", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

/// How kubectl goes on with an answer; the numbers are those of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    /// With names of files, if nothing was proposed.
    Files = 0,
    NoFiles = 4,
}

/// What may stand in place of the last of the words that follow `kubectl netpol`: a line each, with a tab before what it
/// means, and a last one that says whether it may be a file, too.
pub(super) fn answer(words: &[String]) -> String {
    let mut command = Form::Plugin.command();
    command.build();
    let (proposals, directive) = propose(&command, words);
    let last = format!(":{}\n", directive as u8);
    [proposals, vec![last]].concat().join("\n")
}

fn propose(command: &Command, words: &[String]) -> (Vec<String>, Directive) {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let Place {
        command,
        awaits,
        only_arguments,
    } = place(command, before);
    if let Some(argument) = awaits {
        return values(argument, "", last);
    }
    if let Some((name, value)) = last.split_once('=')
        && let Some(argument) = long(command, name)
    {
        return values(argument, &format!("{name}="), value);
    }
    if last.starts_with('-') && !only_arguments {
        let visible = command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set());
        let names = visible.filter_map(|argument| {
            let name = format!("--{}", argument.get_long()?);
            let help = argument.get_help().map(ToString::to_string);
            name.starts_with(last).then(|| proposal(&name, help))
        });
        return (names.collect(), Directive::NoFiles);
    }
    if command.has_subcommands() {
        let visible = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let fitting = visible.filter(|command| command.get_name().starts_with(last));
        let names = fitting.map(|command| {
            let about = command.get_about().map(ToString::to_string);
            proposal(command.get_name(), about)
        });
        return (names.collect(), Directive::NoFiles);
    }
    match command.get_positionals().next() {
        Some(argument) => values(argument, "", last),
        None => (Vec::new(), Directive::NoFiles),
    }
}

/// Where on the command line something is to follow.
struct Place<'a> {
    command: &'a Command,
    /// The option whose value it is.
    awaits: Option<&'a Arg>,
    /// After `--` nothing is an option.
    only_arguments: bool,
}

fn place<'a>(command: &'a Command, words: &[String]) -> Place<'a> {
    let mut place = Place {
        command,
        awaits: None,
        only_arguments: false,
    };
    for word in words {
        if place.awaits.take().is_some() {
            continue;
        }
        if word == "--" {
            place.only_arguments = true;
        } else if place.only_arguments {
        } else if word.starts_with("--") {
            // With `=` the value is here already.
            place.awaits = long(place.command, word);
        } else if let Some(letters) = word.strip_prefix('-') {
            place.awaits = short(place.command, letters);
        } else if let Some(command) = place.command.find_subcommand(word) {
            place.command = command;
        }
    }
    place
}

/// The option `--name`, if it takes a value.
fn long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let name = name.strip_prefix("--")?;
    let mut all = command.get_arguments();
    all.find(|argument| argument.get_long() == Some(name) && takes_value(argument))
}

/// The last of some options of one letter, if the word ends with it and its value is the next.
fn short<'a>(command: &'a Command, letters: &str) -> Option<&'a Arg> {
    for (at, letter) in letters.char_indices() {
        let mut all = command.get_arguments();
        let argument = all.find(|argument| argument.get_short() == Some(letter))?;
        if takes_value(argument) {
            let is_last = at + letter.len_utf8() == letters.len();
            return is_last.then_some(argument);
        }
    }
    None
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

/// What an argument can be, where there is a list.
fn values(argument: &Arg, before: &str, begun: &str) -> (Vec<String>, Directive) {
    let is_fitting =
        |value: &PossibleValue| !value.is_hide_set() && value.get_name().starts_with(begun);
    let fitting = argument
        .get_possible_values()
        .into_iter()
        .filter(is_fitting);
    let proposals = fitting.map(|value| {
        let help = value.get_help().map(ToString::to_string);
        proposal(&format!("{before}{}", value.get_name()), help)
    });
    let names = argument.get_value_names().unwrap_or_default();
    let is_path = names
        .iter()
        .any(|name| matches!(name.as_str(), "FILE" | "PATH" | "FOLDER"));
    let directive = if is_path {
        Directive::Files
    } else {
        Directive::NoFiles
    };
    (proposals.collect(), directive)
}

fn proposal(word: &str, meaning: Option<String>) -> String {
    match meaning {
        // A line is all there is room for.
        Some(meaning) => format!("{word}\t{}", meaning.replace(['\n', '\t'], " ")),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests;
