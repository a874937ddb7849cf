//! `completion` and `man`: what shells and manuals want to know of the command line, made from it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::args::Cli;
use crate::service::NAME;

/// Prints what makes a shell complete the commands and options.
pub fn run(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    print(&script)
}

/// Prints the manual page of everything, or of one command.
pub fn man(of: Option<&str>) -> ExitCode {
    let mut all = Cli::command();
    all.build();
    let page = match of {
        None => render(all),
        Some(name) => match all.find_subcommand(name).filter(|command| !command.is_hide_set()) {
            Some(command) => render(command.clone()),
            None => all.error(ErrorKind::InvalidSubcommand, format!("there is no command {name}")).exit(),
        },
    };
    match page {
        Ok(page) => print(&page),
        Err(error) => {
            eprintln!("error: the manual page could not be made: {error}");
            ExitCode::FAILURE
        }
    }
}

fn render(command: Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

fn print(text: &[u8]) -> ExitCode {
    // A reader that has seen enough is no failure.
    let _ = std::io::stdout().write_all(text);
    ExitCode::SUCCESS
}
