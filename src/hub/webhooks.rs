//! Messages to backends that have an address instead of a connection, and alerts: posted and signed as Standard Webhooks has it.
//!
//! A message is acked when the other side has answered 2xx, and its reply, where it gave one, is in the outbox. Anything else gives it
//! back, and it comes again, later each time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ilink::{PublicOnly, is_listed, public_only, tls_config};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::alerts::{Alert, alerts};
use super::caller::{Caller, Role, Scope};
use super::config::WebhookConfig;
use super::hub::Hub;
use super::media;
use super::session::Session;
use super::signature::Key;
use crate::contract::{InboundMessage, SendTextParams, StatusGetParams};
use crate::service::delivery;
use crate::store::now_ms;

/// How often it is looked whether webhooks were added or taken away.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer may take, and how long it may be.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_AT_MOST: usize = 256 * 1024;
/// Posts at once to one address.
const AT_ONCE: usize = 16;
/// The first wait after a failure, and the longest; each is twice the one before.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// How often alerts are looked for, and how often one is tried to be posted.
const ALERTS: Duration = Duration::from_secs(15);
const ALERT_TRIES: u32 = 6;

/// Posts to addresses that `hub.toml` names.
#[derive(Clone)]
struct Poster {
    /// Whatever it resolves: public addresses only.
    public: reqwest::Client,
    /// For hosts that were allowed by name.
    allowed: reqwest::Client,
}

impl Poster {
    fn new() -> Result<Poster, reqwest::Error> {
        let client = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls_config())
                .connect_timeout(Duration::from_secs(10))
                .timeout(ANSWER_WITHIN)
                // Where a redirect leads nobody has allowed.
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
        };
        Ok(Poster { public: client().dns_resolver(PublicOnly::system()).build()?, allowed: client().build()? })
    }

    /// Posts something. The error says why it did not arrive.
    async fn post(&self, hub: &Hub, to: &WebhookConfig, id: &str, body: &Value) -> Result<Vec<u8>, String> {
        let url = Url::parse(&to.url).map_err(|error| error.to_string())?;
        let client = match is_listed(&url, &hub.config().allowed_hosts) {
            true => &self.allowed,
            false => {
                public_only(&url)
                    .map_err(|why| format!("{why}; name the host in allowed_hosts of hub.toml to allow it"))?;
                &self.public
            }
        };
        let key = Key::parse(&to.secret)?;
        let (body, at) = (body.to_string(), now_ms() / 1000);
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", key.sign(id, at, &body))
            .body(body);
        let mut response = request.send().await.map_err(|error| why(&error.without_url()))?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| why(&error.without_url()))? {
            if answer.len() + piece.len() > ANSWER_AT_MOST {
                // It has taken the message; a reply is not that long.
                tracing::warn!("the answer to a webhook is longer than {ANSWER_AT_MOST} bytes; it is not read");
                return Ok(Vec::new());
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }
}

/// An error with its causes: the last one says that an address is not allowed.
fn why(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// What an answer may carry.
#[derive(Deserialize)]
struct Answer {
    reply: Option<Reply>,
}

/// A text, or a text with its details.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reply {
    Text(String),
    Whole { text: String },
}

fn reply_of(answer: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let text = match answer.reply? {
        Reply::Text(text) | Reply::Whole { text } => text,
    };
    Some(text).filter(|text| !text.trim().is_empty())
}

/// Posts until the hub's `stop`: to every backend with an address, and alerts.
pub async fn run(hub: Arc<Hub>) {
    let mut made: Option<Poster> = None;
    let mut running: HashMap<String, (WebhookConfig, CancellationToken)> = HashMap::new();
    let mut told: HashSet<String> = HashSet::new();
    let mut look_for_alerts = tokio::time::Instant::now();
    loop {
        let config = hub.config();
        running.retain(|name, (before, stop)| {
            let stays = config.backends.get(name).and_then(|backend| backend.webhook.as_ref()) == Some(before);
            if !stays {
                stop.cancel();
            }
            stays
        });
        // Made when it is needed: reading the system's certificates takes memory and a while.
        let wanted = config.alerts.is_some() || config.backends.values().any(|backend| backend.webhook.is_some());
        if wanted && made.is_none() {
            match tokio::task::spawn_blocking(Poster::new).await {
                Ok(Ok(poster)) => made = Some(poster),
                Ok(Err(error)) => tracing::error!(%error, "webhooks cannot be posted"),
                Err(error) => tracing::error!(%error, "webhooks cannot be posted"),
            }
        }
        let posted = config.backends.iter().filter_map(|(name, b)| Some((name, b.webhook.as_ref()?, made.as_ref()?)));
        for (name, webhook, poster) in posted {
            if !running.contains_key(name) {
                let stop = hub.stop.child_token();
                running.insert(name.clone(), (webhook.clone(), stop.clone()));
                tokio::spawn(backend(hub.clone(), poster.clone(), name.clone(), webhook.clone(), stop));
            }
        }
        if let (Some(webhook), Some(poster)) = (&config.alerts, &made)
            && look_for_alerts <= tokio::time::Instant::now()
        {
            look_for_alerts = tokio::time::Instant::now() + ALERTS;
            tell_alerts(&hub, poster, webhook, &mut told).await;
        }
        tokio::select! {
            () = hub.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Posts one backend's messages until `stop`.
async fn backend(hub: Arc<Hub>, poster: Poster, name: String, to: WebhookConfig, stop: CancellationToken) {
    let feed = hub.feeds.get(&name);
    // What is not its accounts' is not routed to it.
    let accounts = Scope::of(None);
    let caller = Caller { id: "webhook".to_owned(), backend: name.as_str().into(), role: Role::Backend, accounts };
    let session = Arc::new(Session::of_request(hub.clone(), Arc::new(caller)));
    let (messages, mut waiting) = mpsc::channel(AT_ONCE);
    let attached =
        feed.attach(session.caller.accounts.clone(), move |message| messages.try_send(message.clone()).is_ok());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => break,
            message = waiting.recv() => message,
        };
        let (Some(message), Ok(place)) = (message, places.clone().acquire_owned().await) else { break };
        let (session, poster, to) = (session.clone(), poster.clone(), to.clone());
        tokio::spawn(async move {
            one(&session, &poster, &to, message).await;
            drop(place);
        });
    }
    drop(attached);
}

async fn one(session: &Session, poster: &Poster, to: &WebhookConfig, message: InboundMessage) {
    let (Ok(id), Ok(feed)) = (delivery(&message.delivery_id), session.feed()) else { return };
    // The same in every try; a header's value, whatever an account is called.
    let webhook_id = format!("msg_{}", URL_SAFE_NO_PAD.encode(&message.delivery_id));
    let (attempt, peer, account) = (message.attempt, message.conversation.id.clone(), message.account_id.clone());
    let body = json!({ "type": "message.received", "timestamp": now_ms(), "data": media::with_urls(message) });
    let answer = match poster.post(&session.hub, to, &webhook_id, &body).await {
        Ok(answer) => answer,
        Err(why) => {
            let wait = RETRY.0.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(RETRY.1);
            tracing::warn!(backend = &*feed.name, why, ?wait, "a message was not posted; it is again after a while");
            if let Err(error) = feed.nack(&id, wait).await {
                tracing::warn!(%error, "a message was not given back");
            }
            return;
        }
    };
    if let Some(text) = reply_of(&answer) {
        let params = SendTextParams {
            to: peer,
            text,
            account_id: Some(account),
            run_id: None,
            // After a kill the message is posted again, and its reply is the same send.
            idempotency_key: Some(format!("webhook:{}", id)),
            extra: None,
        };
        match session.send_text(params).await {
            Ok(_) => {}
            Err(error) if error.data.retryable => {
                tracing::warn!(backend = &*feed.name, %error, "a reply was not taken; its message is posted again");
                let _ = feed.nack(&id, RETRY.0).await;
                return;
            }
            Err(error) => tracing::warn!(backend = &*feed.name, %error, "a reply was not sent"),
        }
    }
    if let Err(error) = feed.ack(&[id]).await {
        tracing::warn!(backend = &*feed.name, %error, "a message was posted and is posted again after a restart");
    }
}

/// Posts alerts that are new; one that has passed is new when it comes again.
async fn tell_alerts(hub: &Arc<Hub>, poster: &Poster, to: &WebhookConfig, told: &mut HashSet<String>) {
    let statuses = hub.sidecar.status.get(StatusGetParams { account_id: None, probe: None }).await;
    let found = match statuses {
        Ok(statuses) => alerts(hub, &statuses.accounts).await.unwrap_or_default(),
        Err(error) => return tracing::warn!(%error, "alerts could not be looked for"),
    };
    let key = |alert: &Alert| format!("{} {:?} {:?}", alert.kind, alert.account_id, alert.backend);
    let now: HashSet<String> = found.iter().map(key).collect();
    told.retain(|known| now.contains(known));
    for alert in found {
        if !told.insert(key(&alert)) {
            continue;
        }
        let (hub, poster, to) = (hub.clone(), poster.clone(), to.clone());
        tokio::spawn(async move {
            let id = format!("alert_{:032x}", rand::random::<u128>());
            let body = json!({ "type": format!("alert.{}", alert.kind), "timestamp": now_ms(), "data": alert });
            for n in 0..ALERT_TRIES {
                match poster.post(&hub, &to, &id, &body).await {
                    Ok(_) => return,
                    Err(why) => tracing::warn!(why, "an alert was not posted"),
                }
                tokio::select! {
                    () = hub.stop.cancelled() => return,
                    () = tokio::time::sleep(RETRY.0 * (1 << (2 * n))) => {}
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_carry_a_reply_in_two_forms_and_anything_else_is_none() {
        for (answer, reply) in [
            (r#"{"reply":"hi"}"#, Some("hi")),
            (r#"{"reply":{"text":"hi"}}"#, Some("hi")),
            (r#"{"reply":" "}"#, None),
            (r#"{"reply":null}"#, None),
            ("ok", None),
            ("", None),
        ] {
            assert_eq!(reply_of(answer.as_bytes()).as_deref(), reply, "{answer}");
        }
    }
}
