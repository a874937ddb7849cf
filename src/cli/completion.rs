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

/// Prints the manual page of everything, or of one command: `["accounts", "export"]`.
pub fn man(of: &[String]) -> ExitCode {
    let mut all = Cli::command();
    all.build();
    let found =
        of.iter().try_fold(&all, |command, name| command.find_subcommand(name).filter(|found| !found.is_hide_set()));
    let page = match found {
        Some(command) => render(command.clone()),
        None => all.error(ErrorKind::InvalidSubcommand, format!("there is no command {}", of.join(" "))).exit(),
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
    let mut stdout = std::io::stdout();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: it could not be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
