//! What a client sends: through the outbox, so that quota and pace hold over all backends together.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::http::Failure;
use super::super::hub::Hub;
use super::super::session::Session;
use super::REFUSED;
use super::wire::{self, Source};
use crate::contract::{AccountId, ContractError, SendResult, SendStatus, SendTypingParams};
use crate::outbound::{WireItem, row_of};
use crate::service::WireSend;
use ilink::item_type;

/// Ids of messages that the hub has taken over begin here: WeChat's are smaller.
const HELD_FROM: u64 = 9_000_000_000_000_000_000;
/// Items of tool progress: worth less than an answer.
const TOOL_ITEMS: [i64; 2] = [item_type::TOOL_CALL_START, item_type::TOOL_CALL_RESULT];
/// People whose ids contain one another's that are looked at.
const ALIKE: u32 = 100;
/// The most items of one message.
const ITEMS: usize = 32;

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of[name].as_str().filter(|text| !text.is_empty())
}

/// The account that a client means: the one whose context token it has, else as any send's.
async fn account(hub: &Hub, session: &Session, to: &str, token: Option<&str>) -> Result<AccountId, Failure> {
    let named = match token {
        Some(token) => hub.sidecar.store.account_of_token(to, token).await.map_err(ContractError::from)?,
        None => None,
    };
    let named = named.filter(|id| session.caller.accounts.has(id));
    // Where several accounts know somebody, it is the one that they wrote to last: an iLink client names none.
    let named = match named {
        Some(named) => Some(named),
        None => {
            let (accounts, served) = (session.caller.accounts.ids(), Some(session.caller.backend.to_string()));
            let known = hub.sidecar.store.peers(accounts, Some(to.to_owned()), served, ALIKE).await;
            let known = known.map_err(ContractError::from)?;
            known.into_iter().find(|(_, peer, _)| peer == to).map(|(account, ..)| account)
        }
    };
    Ok(session.sender_for(named.as_deref(), to).await?)
}

/// `sendmessage`. It is answered when WeChat took it, or when the hub keeps it: then it is the hub's to send.
pub async fn message(hub: &Arc<Hub>, session: Arc<Session>, body: &Value) -> Result<Value, Failure> {
    let message = &body["msg"];
    let to = text(message, "to_user_id").ok_or_else(|| Failure::Bad("msg.to_user_id is missing".to_owned()))?;
    let account = account(hub, &session, to, text(message, "context_token")).await?;
    let items = message["item_list"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() || items.len() > ITEMS {
        return Err(Failure::Bad(format!("msg.item_list has {} items; 1 to {ITEMS} are taken", items.len())));
    }
    let extra = items.iter().all(|item| item["type"].as_i64().is_some_and(|kind| TOOL_ITEMS.contains(&kind)));
    let items =
        items.iter().map(|item| match item["text_item"]["text"].as_str().filter(|_| item["ref_msg"].is_null()) {
            Some(text) => WireItem::Text(text.to_owned()),
            None => WireItem::Other(wire::from_client(item.clone(), &hub.seal)),
        });
    let send = WireSend {
        account: account.clone(),
        to: to.to_owned(),
        items: items.collect(),
        run_id: text(message, "run_id").map(str::to_owned),
        // Clients count from one: an id is one of this conversation.
        key: session.key(text(message, "client_id").map(|id| format!("{account}:{to}:{id}"))),
        extra,
        origin: session.origin(),
    };
    // A client that does not wait for the answer has sent it all the same.
    let of_send = hub.clone();
    let sent = tokio::spawn(async move { of_send.sidecar.sender.send_items(send).await }).await;
    let sent = sent.map_err(|error| Failure::Bad(error.to_string()))??;
    Ok(answer(&sent))
}

fn answer(sent: &SendResult) -> Value {
    let of_hub = || Some(HELD_FROM + row_of(sent.queue_id.as_deref()?)?.unsigned_abs());
    let id = match sent.status {
        SendStatus::Sent => sent.message_ids.last().and_then(|id| id.parse::<u64>().ok()),
        SendStatus::Held => of_hub(),
        // WeChat gave it no id, and the client should see what that means.
        SendStatus::Unconfirmed => None,
    };
    match id {
        Some(id) => json!({ "ret": 0, "message_id": id }),
        None => json!({ "ret": 0 }),
    }
}

/// `sendtyping`.
pub async fn typing(hub: &Hub, session: &Session, body: &Value) -> Result<Value, Failure> {
    let to = text(body, "ilink_user_id").ok_or_else(|| Failure::Bad("ilink_user_id is missing".to_owned()))?;
    let account = Some(account(hub, session, to, None).await?.to_string());
    let params =
        SendTypingParams { to: to.to_owned(), active: body["status"].as_i64() == Some(1), account_id: account };
    session.send_typing(params).await?;
    Ok(json!({ "ret": 0 }))
}

/// `getuploadurl`: WeChat says where the file goes, and the client brings it by way of the hub.
pub async fn upload_url(hub: &Hub, session: &Session, base: &str, mut body: Value) -> Result<Value, Failure> {
    let to = text(&body, "to_user_id").ok_or_else(|| Failure::Bad("to_user_id is missing".to_owned()))?.to_owned();
    let account = account(hub, session, &to, None).await?;
    let filekey = Some(text(&body, "filekey").unwrap_or_default().to_owned());
    if let Some(body) = body.as_object_mut() {
        body.remove("base_info");
    }
    let authorised = hub.sidecar.clients.session(&account).await?;
    let ilink = hub.sidecar.clients.ilink().await?;
    let mut answer = ilink.forward_upload_request(&authorised, body).await.map_err(ContractError::from)?;
    for (url, param) in [("upload_full_url", "upload_param"), ("thumb_upload_full_url", "thumb_upload_param")] {
        let source = Source {
            full_url: text(&answer, url).map(str::to_owned),
            param: text(&answer, param).map(str::to_owned),
            filekey: filekey.clone(),
        };
        if source.full_url.is_none() && source.param.is_none() {
            continue;
        }
        // Both, whatever WeChat named: some clients know only the one, some only the other.
        let sealed = hub.seal.seal(&source);
        answer[url] = format!("{base}/c2c/upload?encrypted_query_param={sealed}").into();
        answer[param] = sealed.into();
    }
    if answer["ret"].as_i64().is_some_and(|ret| ret != 0) {
        answer["ret"] = REFUSED.into();
    }
    Ok(answer)
}
