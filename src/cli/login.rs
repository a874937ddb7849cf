//! `login`: a QR login at a terminal.

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::args::{Common, LoginArgs};
use super::open::open;
use super::output::Outcome;
use crate::contract::{ContractError, ErrorKind, Locale, LoginProgress, LoginStartParams, LoginState};
use crate::events::{Event, Events};
use crate::plain::lines;
use crate::service::Sidecar;

pub async fn run(common: &Common, args: LoginArgs) -> Result<Outcome, ContractError> {
    let (progress, mut steps) = mpsc::unbounded_channel::<LoginProgress>();
    let events = Events::new(move |event| match event {
        Event::Login(step) => progress.send(step).is_ok(),
        _ => false,
    });
    let sidecar = open(common, events).await?;
    let params = LoginStartParams { account_id: args.account, force: Some(true), label: args.label };
    let started = sidecar.logins.start(params).await?;
    show_code(common, &started.qr_text, &started.qr_url, &started.message);
    let key = started.session_key.clone();
    let end = sidecar.logins.wait(&key, Some(args.timeout.saturating_mul(1000)));
    tokio::pin!(end);
    let end = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => show_step(common, &sidecar, &step),
            end = &mut end => break end?,
        }
    };
    if !end.connected && !end.already_connected {
        sidecar.logins.cancel(&key)?;
        tokio::time::timeout(Duration::from_secs(1), sidecar.close()).await.ok();
        let message = match end.state {
            LoginState::Failed | LoginState::Expired | LoginState::Cancelled => end.message,
            _ => match super::open::locale() {
                Locale::ZhCn => "登录超时，请重新发起登录。".to_owned(),
                Locale::En => format!("nobody finished the login within {} s; start it again", args.timeout),
            },
        };
        return Err(ContractError::new(ErrorKind::LoginFailed, message));
    }
    sidecar.close().await;
    let account = end.account_id.clone().map(|id| format!(" ({id})")).unwrap_or_default();
    Ok(Outcome::done(format!("{}{account}", end.message), &end))
}

fn show_code(common: &Common, qr_text: &str, url: &str, message: &str) {
    // With --json stdout is for the result alone.
    let text = format!("{qr_text}\n{}\n{}", lines(url), lines(message));
    match common.json {
        true => eprintln!("{text}"),
        false => println!("{text}"),
    }
}

fn show_step(common: &Common, sidecar: &Arc<Sidecar>, step: &LoginProgress) {
    match (&step.qr_text, &step.qr_url) {
        (Some(qr_text), Some(url)) => show_code(common, qr_text, url, &step.message),
        // The last one is the command's result.
        _ if matches!(step.state, LoginState::Confirmed | LoginState::AlreadyConnected) => {}
        _ => eprintln!("{}", lines(&step.message)),
    }
    if matches!(step.state, LoginState::CodeRequired | LoginState::CodeRejected) {
        let (sidecar, key) = (sidecar.clone(), step.session_key.clone());
        // A thread: nothing can end a read of the terminal, and the process does not wait for it.
        std::thread::spawn(move || {
            let mut number = String::new();
            match std::io::stdin().lock().read_line(&mut number) {
                Ok(0) | Err(_) => eprintln!("no number was given: stdin is closed. Run the login in a terminal"),
                Ok(_) => {
                    if let Err(error) = sidecar.logins.submit_code(&key, &number) {
                        eprintln!("{}", lines(&error.message));
                    }
                }
            }
        });
    }
}
