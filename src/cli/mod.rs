//! The command line: what a gateway starts (`serve`) and what a person types (everything else).
//!
//! | file | what is in it |
//! | --- | --- |
//! | `args` | the commands, their options and their help |
//! | `serve` | the sidecar on stdin and stdout, from the first line to the exit |
//! | `hub` | the hub, its tokens and approvals |
//! | `login`, `accounts`, `send`, `outbox`, `status`, `doctor` | one command each |
//! | `report` | what a report to Tencent needs, for `doctor` |
//! | `simulate` | the built-in iLink backend |
//! | `completion` | scripts for shells, and the manual page |
//! | `open` | a sidecar without a gateway, for the commands |
//! | `transfer` | how far a file has come, on a terminal |
//! | `output` | results as text or JSON, and exit codes |
//! | `logging` | logs on stderr, a JSON object a line |

mod accounts;
mod args;
mod completion;
mod doctor;
mod hub;
mod logging;
mod login;
mod open;
mod outbox;
mod output;
mod peers;
mod report;
mod send;
mod serve;
mod simulate;
mod status;
mod transfer;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// Runs what the command line asks for.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Completion { shell }) => return completion::run(*shell),
        Some(Command::Man { command }) => return completion::man(command),
        _ => {}
    }
    let serves = matches!(cli.command, None | Some(Command::Serve | Command::Hub(args::HubArgs { action: None, .. })));
    logging::start(serves);
    if !serves {
        // For QR codes. A console that cannot shows them all the same, with signs in between.
        let _ = crate::process::enable_escapes();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // For files and name look-ups, which take moments: no transfer holds one. A resolver or a disk that hangs may.
        .max_blocking_threads(32)
        .thread_keep_alive(std::time::Duration::from_secs(5))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let common = cli.common;
    // A task like any other: on the thread that blocks, each line from stdin would wake one thread more.
    let task = runtime.spawn(async move {
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(common).await,
            Command::Login(args) => output::finish(&common, login::run(&common, args).await),
            Command::Accounts(args) => output::finish(&common, accounts::run(&common, args).await),
            Command::Send(args) => output::finish(&common, send::run(&common, args).await),
            Command::Outbox(args) => output::finish(&common, outbox::run(&common, args).await),
            Command::Peers(args) => output::finish(&common, peers::run(&common, args).await),
            Command::Status(args) => output::finish(&common, status::run(&common, args).await),
            Command::Doctor(args) => output::finish(&common, doctor::run(&common, args).await),
            Command::Hub(args) => hub::run(common, args).await,
            Command::Simulate(args) => simulate::run(args).await,
            Command::Completion { .. } | Command::Man { .. } => unreachable!("answered above, without a runtime"),
        }
    });
    let code = runtime.block_on(task).unwrap_or(ExitCode::FAILURE);
    // A blocked read of stdin must not keep the process.
    runtime.shutdown_background();
    code
}
