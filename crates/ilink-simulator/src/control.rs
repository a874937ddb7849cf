//! The hand that plays the phone, the people and the faults, for tests in the same process. `control_http` is
//! the same over HTTP.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::basics::{lock, secret, unix_millis};
use super::compose;
use super::config::{Limits, LimitsPatch, Version};
use super::content::Content;
use super::error::ControlError;
use super::faults::Fault;
use super::ledger::{Rejected, RejectedFilter, Sent, SentFilter};
use super::login::{Login, LoginStep, Phase};
use super::message::{NewMessages, RawMessage, WireMessage, text_item};
use super::report::{BotReport, LoginReport, SimulatorState};
use super::world::World;

/// A bot that exists without a login. As JSON it is the body of `POST /_sim/bots`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NewBot {
    /// Its iLink id; by default the next `bot1@im.bot`, `bot2@im.bot`, …
    pub bot_id: Option<String>,
    /// Who scanned its QR code; by default the next `user1@im.wechat`, …
    pub user_id: Option<String>,
    /// Its token; by default a fresh one.
    pub token: Option<String>,
    /// Context tokens that are good from the start, by person: those a client kept from before.
    pub context_tokens: HashMap<String, String>,
}

/// The control of a running simulator; a clone controls the same one.
#[derive(Debug, Clone)]
pub struct Control {
    pub(super) world: Arc<World>,
}

impl Control {
    /// What a request over HTTP must say (`x-simulator-secret`) that names a file of this machine.
    pub fn secret(&self) -> &str {
        &self.world.secret
    }

    /// How everything stands.
    pub fn state(&self) -> SimulatorState {
        self.world.report(None)
    }

    /// How one bot stands.
    pub fn bot(&self, bot_id: &str) -> Result<BotReport, ControlError> {
        Ok(self.world.bot(bot_id)?.report())
    }

    /// Makes a bot without a login.
    pub fn create_bot(&self, new: NewBot) -> Result<BotReport, ControlError> {
        if let Some(id) = &new.bot_id
            && self.world.bot(id).is_ok()
        {
            return Err(ControlError::Taken { what: "botId", value: id.clone() });
        }
        let (bot, _) = self.world.bind(new.bot_id, new.user_id, new.token)?;
        for (peer, token) in new.context_tokens {
            bot.grant(token, peer.into());
        }
        Ok(bot.report())
    }

    /// Makes a bot's token stale: everything it asks is answered with `-14`.
    pub fn expire(&self, bot_id: &str) -> Result<(), ControlError> {
        self.world.bot(bot_id)?.expire();
        Ok(())
    }

    /// Accepts a bot's messages without an id from now on, and shows them to nobody; or no longer.
    pub fn mute(&self, bot_id: &str, muted: bool) -> Result<(), ControlError> {
        self.world.bot(bot_id)?.mute(muted);
        Ok(())
    }

    /// The bot's person logs in with another client: the token here is stale from now on.
    pub fn take_over(&self, bot_id: &str) -> Result<(), ControlError> {
        let bot = self.world.bot(bot_id)?;
        self.world.bind(Some(bot.id.clone()), None, None)?;
        Ok(())
    }

    /// The oldest version that a client may declare from now on; `None`: any.
    pub fn set_min_version(&self, least: Option<Version>) {
        *lock(&self.world.min_version) = least;
    }

    /// Ends the running polls of a bot; they answer without messages.
    pub fn release(&self, bot_id: &str) -> Result<(), ControlError> {
        self.world.bot(bot_id)?.release();
        Ok(())
    }

    /// Moves a login on: that of a QR code, or the `latest`. It is never automatic again.
    pub fn login(&self, which: &str, step: LoginStep) -> Result<LoginReport, ControlError> {
        let login = self.world.login(which)?;
        take_step(&self.world, &login, step, true)?;
        Ok(login.report())
    }

    /// Sends messages to a bot, and returns their ids. Each has a context token of its own. Media are encrypted before
    /// this returns, so it blocks for as long as that takes.
    pub fn push(&self, new: &NewMessages) -> Result<Vec<u64>, ControlError> {
        let bot = self.world.bot(&new.bot_id)?;
        let first = new.message_id.unwrap_or_else(|| self.world.message_ids(new.count));
        let at_ms = new.create_time_ms.unwrap_or_else(now);
        let peer: Arc<str> = new.from.as_str().into();
        let composed = compose::items(&self.world, &bot.id, &new.content, at_ms)?;
        let mut post = Post::with_capacity(new.count);
        for n in 1..=new.count {
            let id = first.wrapping_add(n as u64 - 1);
            post.add(id, bot.next_seq(), &bot.id, &peer, at_ms, new.items(&composed, n, at_ms)?)?;
        }
        bot.receive(post.messages, post.grants);
        Ok(post.ids)
    }

    /// Sends one text to a bot, and returns its message id.
    pub fn push_text(&self, bot_id: &str, from: &str, text: &str) -> Result<u64, ControlError> {
        let ids = self.push(&NewMessages::text(bot_id, from, text))?;
        ids.first().copied().ok_or_else(|| ControlError::Invalid("no message was made".into()))
    }

    /// Sends many texts to a bot at once, from that many people in turn (`person1@im.wechat`, …); returns their ids.
    pub fn burst(&self, bot_id: &str, people: usize, messages: usize) -> Result<Vec<u64>, ControlError> {
        if people == 0 {
            return Err(ControlError::Invalid("a burst needs people".into()));
        }
        let bot = self.world.bot(bot_id)?;
        let first = self.world.message_ids(messages);
        let at_ms = now();
        let peers: Vec<Arc<str>> = (1..=people.min(messages)).map(|n| format!("person{n}@im.wechat").into()).collect();
        let mut post = Post::with_capacity(messages);
        for (n, peer) in (0..messages).zip(peers.iter().cycle()) {
            let item = text_item(&format!("message {} of {messages}", n + 1), at_ms)?;
            let items = vec![Cow::Owned(item)];
            post.add(first + n as u64, bot.next_seq(), &bot.id, peer, at_ms, items)?;
        }
        bot.receive(post.messages, post.grants);
        Ok(post.ids)
    }

    /// Sends one message of these items to a bot, and returns its message id. As [`Control::push`], it may block.
    pub fn push_content(&self, bot_id: &str, from: &str, content: Vec<Content>) -> Result<u64, ControlError> {
        let ids = self.push(&NewMessages::content(bot_id, from, content))?;
        ids.first().copied().ok_or_else(|| ControlError::Invalid("no message was made".into()))
    }

    /// Puts messages into a bot's mailbox exactly as they are, however malformed; a context token in them counts.
    pub fn push_raw(&self, bot_id: &str, messages: Vec<Box<RawValue>>) -> Result<usize, ControlError> {
        let bot = self.world.bot(bot_id)?;
        let grants: Vec<(String, Arc<str>)> = messages
            .iter()
            .filter_map(|raw| {
                let message: RawMessage = serde_json::from_str(raw.get()).ok()?;
                Some((message.context_token?, message.from_user_id?.into()))
            })
            .collect();
        let count = messages.len();
        let wire = messages.into_iter().map(|raw| Box::<str>::from(raw).into_string().into());
        bot.receive(wire, grants);
        Ok(count)
    }

    /// Hands out again every message a bot was ever given, and returns how many there are.
    pub fn replay(&self, bot_id: &str) -> Result<usize, ControlError> {
        Ok(self.world.bot(bot_id)?.replay())
    }

    /// The messages that reached people.
    pub async fn sent(&self, filter: &SentFilter) -> Vec<Arc<Sent>> {
        self.wait_for_sent(filter, 0, Duration::ZERO).await
    }

    /// Waits until `count` messages match, `timeout` at most, and returns all that match by then.
    pub async fn wait_for_sent(&self, filter: &SentFilter, count: usize, timeout: Duration) -> Vec<Arc<Sent>> {
        self.world.ledger.wait(filter, count, timeout).await
    }

    /// What was refused or silently dropped; the last 10,000 of it.
    pub fn rejected(&self, filter: &RejectedFilter) -> Vec<Rejected> {
        self.world.ledger.rejected(filter)
    }

    /// Lets something go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.world.faults.add(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// Whether `getuploadurl` gives an `upload_full_url` from now on.
    pub fn set_upload_full_url(&self, given: bool) {
        self.world.cdn.set_full_urls(given);
    }

    /// Changes the limits, and returns all of them.
    pub fn set_limits(&self, patch: LimitsPatch) -> Limits {
        Limits::clone(&self.world.change_limits(|limits| limits.apply(patch)))
    }
}

/// Messages on their way into a mailbox, serialised before its lock is taken.
#[derive(Debug)]
struct Post {
    ids: Vec<u64>,
    messages: Vec<axum::body::Bytes>,
    grants: Vec<(String, Arc<str>)>,
}

impl Post {
    fn with_capacity(count: usize) -> Self {
        Self { ids: Vec::with_capacity(count), messages: Vec::with_capacity(count), grants: Vec::with_capacity(count) }
    }

    fn add(
        &mut self,
        message_id: u64,
        seq: u64,
        bot_id: &str,
        peer: &Arc<str>,
        create_time_ms: i64,
        item_list: Vec<Cow<'_, RawValue>>,
    ) -> Result<(), ControlError> {
        let context_token = secret();
        let message = WireMessage {
            seq,
            message_id,
            from_user_id: peer,
            to_user_id: bot_id,
            client_id: format!("phone-{message_id}"),
            create_time_ms,
            session_id: format!("{peer}#{bot_id}"),
            group_id: "",
            message_type: 1,
            message_state: 2,
            item_list,
            context_token: &context_token,
        };
        self.messages.push(message.serialise()?);
        self.ids.push(message_id);
        self.grants.push((context_token, peer.clone()));
        Ok(())
    }
}

/// Takes one step of a login, by the control API (`driven`) or automatically.
pub(super) fn take_step(world: &World, login: &Login, step: LoginStep, driven: bool) -> Result<(), ControlError> {
    let least = *lock(&world.min_version);
    if matches!(step, LoginStep::Scan | LoginStep::NeedCode { .. } | LoginStep::Confirm { .. })
        && least.is_some_and(|least| login.version < least)
    {
        return Err(ControlError::RefusedByPhone);
    }
    login.step(driven, |redirected_to| {
        Ok(match step {
            LoginStep::Scan => Phase::Scanned,
            LoginStep::NeedCode { code } => {
                Phase::NeedCode { code: code.unwrap_or_else(|| format!("{:06}", rand::random::<u32>() % 1_000_000)) }
            }
            LoginStep::Block => Phase::Blocked,
            LoginStep::Expire => Phase::Expired,
            LoginStep::Redirect { host } => Phase::Redirect { host },
            LoginStep::AlreadyBound => Phase::AlreadyBound,
            LoginStep::Confirm { user_id, bot_id } => {
                if world.is_bound(&login.local_tokens, bot_id.as_deref(), user_id.as_deref()) {
                    return Ok(Phase::AlreadyBound);
                }
                let base_url = match redirected_to {
                    Some(host) => format!("http://{host}"),
                    None => world.url.clone(),
                };
                let (bot, bot_token) = world.bind(bot_id, user_id, None)?;
                let user_id = bot.user_id();
                Phase::Confirmed { bot_token, bot_id: bot.id.clone(), user_id, base_url }
            }
        })
    })
}

/// Unix milliseconds as the wire has them, signed.
fn now() -> i64 {
    i64::try_from(unix_millis()).unwrap_or(i64::MAX)
}
