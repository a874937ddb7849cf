//! Tool progress: the first to go when messages run short. It is never held and never tried again.

use super::context::Answered;
use super::core::{Core, client_id};
use crate::contract::AccountId;
use crate::store::{AccountNo, StoreError, now_ms};
use ilink::{ContextToken, OutgoingItem, OutgoingMessage};

/// So many messages are left for the answer itself, where progress is shown.
const RESERVE: u32 = 4;
/// So many, where the gateway sends an extra of its own.
const EXTRA_RESERVE: u32 = 1;

/// How a tool ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// It did what it was to do.
    Completed,
    Failed,
    /// It was not allowed.
    Blocked,
    /// Nobody knows.
    Unknown,
}

impl ToolEnd {
    /// As the gateway, and WeChat, write it.
    pub fn from_text(text: &str) -> ToolEnd {
        match text {
            "completed" => ToolEnd::Completed,
            "failed" => ToolEnd::Failed,
            "blocked" => ToolEnd::Blocked,
            _ => ToolEnd::Unknown,
        }
    }

    fn text(self) -> &'static str {
        match self {
            ToolEnd::Completed => "completed",
            ToolEnd::Failed => "failed",
            ToolEnd::Blocked => "blocked",
            ToolEnd::Unknown => "unknown",
        }
    }
}

/// That a tool begins, or has ended.
pub struct Progress {
    /// From which account.
    pub account: AccountId,
    pub number: AccountNo,
    pub to: String,
    /// The agent run it belongs to.
    pub run_id: String,
    /// The tool's name.
    pub tool: String,
    /// Names the call.
    pub call: String,
    /// How it ended; `None`: it begins.
    pub end: Option<ToolEnd>,
}

/// What became of it.
pub enum Shown {
    /// The server took it: its client id and the server's id.
    Sent(String, Option<String>),
    /// There was no room for it, or it failed: it is gone.
    Dropped,
}

/// Whether an extra of so many messages may be sent: at once, with nothing that waits, and with a message left for the
/// answer.
pub(super) async fn has_room_for_extra(
    core: &Core,
    account: &AccountId,
    number: AccountNo,
    to: &str,
    messages: u32,
) -> Result<bool, StoreError> {
    let usable = core.context.ready(account).await.is_ok_and(|ready| !core.is_stale(account, &ready.session.token));
    let allowed = core.store.allowance(number, to, core.context.settings().limits).await?;
    if !usable || !allowed.has_spare(messages, EXTRA_RESERVE) {
        return Ok(false);
    }
    Ok(core.store.waiting_sends(Some(account), Some(to)).await?.is_empty())
}

/// Shows progress where there is room for it.
pub(super) async fn show(core: &Core, progress: Progress) -> Result<Shown, StoreError> {
    let Progress { account, number, to, run_id, tool, call, end } = progress;
    let ready = match core.context.ready(&account).await {
        Ok(ready) if !core.is_stale(&account, &ready.session.token) => ready,
        _ => return Ok(Shown::Dropped),
    };
    let limits = core.context.settings().limits;
    let Some(token) = core.store.take_spare_turn(number, &to, RESERVE, limits).await? else {
        return Ok(Shown::Dropped);
    };
    let (token, client_id) = (ContextToken::new(&token), client_id());
    let at_ms = now_ms();
    let item = match end {
        None => OutgoingItem::ToolStart { name: &tool, call: &call, at_ms },
        Some(end) => OutgoingItem::ToolResult { name: &tool, call: &call, status: end.text(), at_ms },
    };
    let message = OutgoingMessage {
        to: &to,
        client_id: &client_id,
        item,
        context_token: token.as_ref(),
        run_id: Some(&run_id).filter(|id| !id.is_empty()).map(String::as_str),
    };
    match ready.ilink.send(&ready.session, &message).await {
        Ok(answer) => {
            // What it says of the bot counts for nothing: WeChat was reported to drop such messages of every bot.
            let id = answer.message_id.map(|id| id.text);
            core.context.counted(&account, if id.is_some() { Answered::Confirmed } else { Answered::Unconfirmed });
            Ok(Shown::Sent(client_id, id))
        }
        Err(error) => {
            tracing::debug!(%account, %error, "tool progress was not shown");
            if error.is_stale_token() {
                core.set_stale(&account, ready.session.token);
            } else if error.limit().is_some() {
                // As after any other refusal: every try now would prolong it.
                core.store.refused(number, &to, None, limits).await?;
            }
            Ok(Shown::Dropped)
        }
    }
}
