//! The sidecar on stdin and stdout, from the first line to the exit.
//!
//! It ends, with exit code 0 and within five seconds, when stdin ends, when stdout breaks, when the parent is gone, on
//! `shutdown`, and on SIGTERM, SIGINT or SIGHUP.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::Common;
use crate::events::{Event, Events};
use crate::inbound::WINDOW;
use crate::process;
use crate::rpc::{End, Outgoing, Server, stdout_writer};
use crate::service::{Host, VERSION, module};

/// How long requests under way may take to answer after the gateway closed stdin.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_millis(300);
/// When the process ends whatever is still going on.
const HARD_END: Duration = Duration::from_millis(4_800);
/// The same where the gateway is gone: nobody is left to be polite to but the server.
const HARD_END_ALONE: Duration = Duration::from_millis(1_500);

/// Serves one gateway.
pub async fn run(common: Common) -> ExitCode {
    // First of all: a parent that dies before it is looked at has never been there.
    let parent_gone = process::parent_gone();
    process::remember_ancestors();
    process::raise_open_files();
    let stop = CancellationToken::new();
    end_on_signals(&stop);
    let of_parent = stop.clone();
    tokio::spawn(async move {
        parent_gone.await;
        tracing::info!("the gateway is gone; ending");
        end_alone(&of_parent);
    });
    let (outgoing, written) = match stdout_writer(std::io::stdout(), WINDOW, stop.clone()) {
        Ok(writer) => writer,
        Err(error) => return failed("stdout cannot be written", &error),
    };
    let of_events = stop.clone();
    let host = Arc::new(Host::new(common.state_dir, events(outgoing.clone()), move || end_alone(&of_events)));
    let methods = match module(host.clone()) {
        Ok(methods) => methods,
        Err(error) => return failed("the methods could not be registered", &error),
    };
    let ready = host.clone();
    let server = Arc::new(Server::new(methods, outgoing.clone(), move || ready.sidecar().is_some()));
    tracing::info!(version = VERSION, pid = std::process::id(), "serving");
    let end = server.serve(std::io::BufReader::with_capacity(64 * 1024, std::io::stdin()), &stop).await;
    tracing::info!(?end, "ending");
    // `shutdown` has taken most of its time already.
    end_within(if end == End::Shutdown { HARD_END_ALONE } else { HARD_END });
    if let Some(sidecar) = host.sidecar() {
        if end == End::Closed {
            // Nobody can cancel or confirm them any more, and they would be waited for.
            sidecar.logins.cancel_all();
            server.tasks().close();
            let _ = tokio::time::timeout(LAST_ANSWERS, server.tasks().wait()).await;
        }
        sidecar.close().await;
    }
    server.tasks().close();
    let _ = tokio::time::timeout(LAST_LINES, server.tasks().wait()).await;
    outgoing.finish();
    let _ = tokio::time::timeout(LAST_LINES, written).await;
    ExitCode::SUCCESS
}

/// Events as notifications on stdout.
fn events(outgoing: Outgoing) -> Events {
    Events::new(move |event| match event {
        Event::Message(message) => outgoing.deliver("inbound.message", message),
        Event::Status(status) => outgoing.notify_latest(status.account_id.clone(), "account.status", status),
        Event::Login(progress) => outgoing.notify("login.progress", &progress),
        Event::SendEnded(update) => outgoing.notify("outbound.update", &update),
    })
}

/// Ends a process whose gateway is gone.
fn end_alone(stop: &CancellationToken) {
    end_within(HARD_END_ALONE);
    stop.cancel();
}

fn end_within(time: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(time);
        std::process::exit(0);
    });
}

fn failed(what: &str, error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(%error, "{what}");
    ExitCode::FAILURE
}

/// The process is asked to end.
#[cfg(unix)]
pub fn end_on_signals(stop: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        match signal(kind) {
            Ok(mut received) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    received.recv().await;
                    stop.cancel();
                });
            }
            Err(error) => tracing::warn!(%error, "a signal is not handled"),
        }
    }
}

#[cfg(not(unix))]
pub fn end_on_signals(stop: &CancellationToken) {
    let stop = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
}
