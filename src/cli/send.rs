//! `send`: a text or a file from the terminal.

use std::io::Read as _;
use std::path::Path;

use super::args::{Common, SendArgs};
use super::open::open_to_send;
use super::output::{Outcome, UNCONFIRMED};
use super::transfer::Transfers;
use crate::contract::{ContractError, ErrorKind, SendMediaParams, SendStatus, SendTextParams};
use crate::events::Events;
use crate::service::Origin;

/// Sends a text, a file, or both.
pub async fn run(common: &Common, args: SendArgs) -> Result<Outcome, ContractError> {
    let text = match args.text.as_deref() {
        Some("-") => Some(read_stdin()?),
        _ => args.text,
    };
    let transfers = Transfers::new(common);
    // A person may send what they can read: from any disk, and from other machines'. What cannot be found is said where it is opened.
    let real = args.file.as_ref().and_then(|file| std::fs::canonicalize(file).ok());
    let root = real.and_then(|file| file.ancestors().last().map(Path::to_owned));
    let sidecar = open_to_send(common, Events::none(), root, transfers.watch()).await?;
    let (to, account_id, run_id, idempotency_key) = (args.to, args.account, None, args.idempotency_key);
    let sent = match args.file {
        Some(file) => {
            let is_url =
                |scheme: &&str| file.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
            let is_url = ["http://", "https://"].iter().any(is_url);
            let (path, url) = if is_url { (None, Some(file)) } else { (Some(file), None) };
            let (kind, file_name, media_id) = (None, None, None);
            let params =
                SendMediaParams { to, path, url, media_id, text, kind, file_name, account_id, run_id, idempotency_key };
            sidecar.sender.send_media(params, Origin::default()).await
        }
        None => {
            let text = text.unwrap_or_default();
            sidecar
                .sender
                .send_text(
                    SendTextParams { to, text, account_id, run_id, idempotency_key, extra: None },
                    Origin::default(),
                )
                .await
        }
    };
    sidecar.close().await;
    drop(transfers);
    let sent = sent?;
    if sent.status == SendStatus::Held {
        let id = sent.queue_id.as_deref().unwrap_or_default();
        let text = format!(
            "held as {id} ({}): it is sent by itself when WeChat allows it; see openclaw-weixin-sidecar outbox",
            serde_json::to_value(sent.held_reason).ok().and_then(|r| r.as_str().map(str::to_owned)).unwrap_or_default()
        );
        return Ok(Outcome::done(text, &sent));
    }
    if sent.status == SendStatus::Unconfirmed {
        let text = "unconfirmed: WeChat took it and gave it no id. Most likely nobody will see it, and sending it again would \
                    not help; see openclaw-weixin-sidecar status";
        return Ok(Outcome { exit: UNCONFIRMED, ..Outcome::done(text, &sent) });
    }
    let messages = if sent.parts == 1 { "1 message".to_owned() } else { format!("{} messages", sent.parts) };
    Ok(Outcome::done(format!("sent ({messages})"), &sent))
}

fn read_stdin() -> Result<String, ContractError> {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| ContractError::new(ErrorKind::InvalidParams, format!("stdin cannot be read: {error}")))?;
    Ok(text)
}
