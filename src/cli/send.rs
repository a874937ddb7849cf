//! `send`: a text from the terminal.

use std::io::Read as _;

use super::args::{Common, SendArgs};
use super::open::open;
use super::output::Outcome;
use crate::contract::{ContractError, ErrorKind, SendStatus, SendTextParams};
use crate::service::Notices;

/// Sends a text.
pub async fn run(common: &Common, args: SendArgs) -> Result<Outcome, ContractError> {
    let text = match args.text.as_str() {
        "-" => read_stdin()?,
        _ => args.text,
    };
    let sidecar = open(common, Notices::none()).await?;
    let params = SendTextParams {
        to: args.to,
        text,
        account_id: args.account,
        run_id: None,
        idempotency_key: args.idempotency_key,
    };
    let sent = sidecar.send_text(params).await;
    sidecar.close().await;
    let sent = sent?;
    if sent.status == SendStatus::Held {
        let id = sent.queue_id.as_deref().unwrap_or_default();
        let text = format!(
            "held as {id} ({}): it is sent by itself when WeChat allows it; see openclaw-weixin-sidecar outbox",
            serde_json::to_value(sent.held_reason).ok().and_then(|r| r.as_str().map(str::to_owned)).unwrap_or_default()
        );
        return Ok(Outcome::done(text, &sent));
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
