//! The part of docs/configuration.md that tells of each option.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::form::Form;
use crate::documents::{cell, hold, read};

#[test]
fn the_document_has_each_option() {
    let mut program = Form::Program.command();
    program.build();
    let sections: Vec<String> = commands(&program).map(section).collect();
    hold("configuration.md", &sections.join("\n"));
}

#[test]
fn the_document_has_each_variable() {
    let text = read("configuration.md");
    let program = Form::Program.command();
    for command in commands(&program) {
        for name in command.get_arguments().filter_map(Arg::get_env) {
            let row = format!("| `{}` |", name.display());
            assert!(text.contains(&row), "{row}");
        }
    }
}

/// What people should find in the help of each command.
#[test]
fn each_help_has_examples_and_exit_codes() {
    for form in [Form::Program, Form::Plugin] {
        let command = form.command();
        for command in commands(&command) {
            let (name, text) = (command.get_name(), command.get_after_help());
            let text = text.map(ToString::to_string).unwrap_or_default();
            assert!(command.get_about().is_some(), "{name}");
            for word in ["Examples:\n", "Exit codes: "] {
                assert!(text.contains(word), "{name}: {word}");
            }
            let wide = text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None, "{name}");
            let plain = text.matches("netpol flows").count();
            let plugin = text.matches("kubectl netpol flows").count();
            assert!(form == Form::Program || plain == plugin, "{name}:\n{text}");
        }
    }
}

fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    let commands = program.get_subcommands();
    commands.filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

fn section(command: &Command) -> String {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = format!("### netpol {}\n\n{about}.\n", command.get_name());
    let mut headings: Vec<Option<&str>> = Vec::new();
    let described = |argument: &&Arg| {
        !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    for argument in command.get_arguments().filter(described) {
        if !headings.contains(&argument.get_help_heading()) {
            headings.push(argument.get_help_heading());
        }
    }
    headings.sort();
    for heading in headings {
        let title = heading.unwrap_or("option").to_lowercase();
        let _ = write!(
            text,
            "\n| {title} | default | means |\n| --- | --- | --- |\n"
        );
        let arguments = command.get_arguments().filter(described);
        for argument in arguments.filter(|argument| argument.get_help_heading() == heading) {
            text += &row(argument);
        }
    }
    text
}

fn row(argument: &Arg) -> String {
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (mut help, mut default) = match help.split_once(" [default: ") {
        Some((before, rest)) => {
            let (default, after) = rest.split_once(']').unwrap_or((rest, ""));
            (format!("{before}{after}"), default.to_owned())
        }
        None => (help, String::new()),
    };
    let values = argument.get_default_values().iter();
    if let Some(value) = values.map(|value| value.to_string_lossy()).next()
        && argument.get_action().takes_values()
    {
        default = format!("`{value}`");
    }
    if let Some(variable) = argument.get_env() {
        default = format!("`${}`", variable.display());
    }
    let is_option = !argument.is_positional();
    if is_option && matches!(argument.get_action(), ArgAction::Append) {
        help += " (repeatable)";
    }
    let values = argument.get_possible_values();
    let values: Vec<String> = values
        .iter()
        .filter(|value| !value.is_hide_set() && argument.get_action().takes_values())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {help}", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        help = format!("{help}. {}", values.join("; "));
    }
    let names = cell(&names(argument));
    format!("| {names} | {} | {} |\n", cell(&default), cell(&help))
}

/// As one writes it: `-f, --follow`, `--tail N`, `FILE…`.
fn names(argument: &Arg) -> String {
    let many = matches!(argument.get_action(), ArgAction::Append);
    let value = argument.get_value_names().unwrap_or_default().first();
    let value = value.filter(|_| argument.get_action().takes_values());
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|name| format!("--{name}"));
    let options: Vec<String> = short.into_iter().chain(long).collect();
    match (options.is_empty(), value) {
        (true, Some(value)) if many => format!("`{value}…`"),
        (true, Some(value)) => format!("`{value}`"),
        (_, Some(value)) => format!("`{} {value}`", options.join(", ")),
        (_, None) => format!("`{}`", options.join(", ")),
    }
}
