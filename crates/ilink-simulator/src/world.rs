//! Everything that the handlers share: bots, logins, limits, faults and records.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::basics::{lock, secret, unix_millis};
use super::bot::{Bot, remember};
use super::cdn::{self, Cdn};
use super::config::{Limits, SimulatorConfig, Version};
use super::endpoint::Endpoint;
use super::error::ControlError;
use super::faults::Faults;
use super::ledger::Ledger;
use super::login::Login;
use super::report::{RequestReport, SimulatorState};

/// Logins that are remembered. A client that fetches QR codes for days must not fill the memory.
const MAX_LOGINS: usize = 1000;

/// The simulated server behind all its endpoints.
#[derive(Debug)]
pub(super) struct World {
    pub(super) config: SimulatorConfig,
    /// `http://127.0.0.1:PORT`
    pub(super) url: String,
    /// Who has it may let files of this machine be read.
    pub(super) secret: String,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    pub(super) cdn: Cdn,
    pub(super) shutdown: CancellationToken,
    /// The oldest version whose QR codes phones accept.
    pub(super) min_version: Mutex<Option<Version>>,
    limits: Mutex<Arc<Limits>>,
    bots: Mutex<Bots>,
    logins: Mutex<VecDeque<Arc<Login>>>,
    requests: Mutex<VecDeque<RequestReport>>,
    message_ids: AtomicU64,
}

#[derive(Debug, Default)]
struct Bots {
    all: Vec<Arc<Bot>>,
    by_id: HashMap<String, Arc<Bot>>,
    /// Old tokens stay: they are stale, not unknown.
    by_token: HashMap<String, Arc<Bot>>,
    /// How many bots were named by the simulator.
    named: u64,
}

impl World {
    pub(super) fn new(config: SimulatorConfig, url: String) -> Self {
        // Ids grow from run to run, so that a client which remembers the ids of an earlier simulator does not take
        // new messages for old ones. Milliseconds shifted by 20 bits are far above 2^53 and far below 2^64.
        let first_id = unix_millis() << 20;
        Self {
            limits: Mutex::new(Arc::new(config.limits.clone())),
            cdn: Cdn::new(config.upload_full_url),
            min_version: Mutex::new(config.min_version),
            config,
            url,
            secret: format!("{:032x}", rand::random::<u128>()),
            faults: Faults::default(),
            ledger: Ledger::default(),
            shutdown: CancellationToken::new(),
            bots: Mutex::default(),
            logins: Mutex::default(),
            requests: Mutex::default(),
            message_ids: AtomicU64::new(first_id),
        }
    }

    /// What a client takes for the CDN: `http://127.0.0.1:PORT/c2c`.
    pub(super) fn cdn_url(&self) -> String {
        format!("{}{}", self.url, cdn::PREFIX)
    }

    /// The first of `count` fresh message ids in a row.
    pub(super) fn message_ids(&self, count: usize) -> u64 {
        self.message_ids.fetch_add(count as u64, Ordering::Relaxed) + 1
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        lock(&self.limits).clone()
    }

    pub(super) fn change_limits(&self, change: impl FnOnce(&mut Limits)) -> Arc<Limits> {
        let mut limits = lock(&self.limits);
        change(Arc::make_mut(&mut limits));
        limits.clone()
    }

    /// The bot that a token belongs to, or belonged to.
    pub(super) fn bot_of_token(&self, token: &str) -> Option<Arc<Bot>> {
        lock(&self.bots).by_token.get(token).cloned()
    }

    pub(super) fn bot(&self, id: &str) -> Result<Arc<Bot>, ControlError> {
        let bot = lock(&self.bots).by_id.get(id).cloned();
        bot.ok_or_else(|| ControlError::NoSuchBot(id.to_owned()))
    }

    /// Makes a bot, or gives an existing one of that id a new token. What is not given is made up.
    pub(super) fn bind(
        &self,
        id: Option<String>,
        user_id: Option<String>,
        token: Option<String>,
    ) -> Result<(Arc<Bot>, String), ControlError> {
        let mut bots = lock(&self.bots);
        let known = id.as_ref().and_then(|id| bots.by_id.get(id).cloned());
        let (id, user_id) = match (&known, id) {
            (Some(bot), _) => (bot.id.clone(), user_id.unwrap_or_else(|| bot.user_id())),
            (None, id) => bots.name(id, user_id),
        };
        let token = token.unwrap_or_else(|| format!("{id}:{}", secret()));
        if let Some(owner) = bots.by_token.get(&token)
            && owner.id != id
        {
            return Err(ControlError::Taken { what: "token", value: token });
        }
        let bot = match known {
            Some(bot) => {
                bot.log_in_again(user_id, token.clone());
                bot
            }
            None => {
                let bot = Arc::new(Bot::new(id.clone(), user_id, token.clone()));
                bots.all.push(bot.clone());
                bots.by_id.insert(id, bot.clone());
                bot
            }
        };
        bots.by_token.insert(token.clone(), bot.clone());
        Ok((bot, token))
    }

    /// Whether one of these tokens is valid, and of this bot, or of any bot of this person.
    pub(super) fn is_bound(&self, tokens: &[String], bot_id: Option<&str>, user_id: Option<&str>) -> bool {
        if bot_id.is_none() && user_id.is_none() {
            return false;
        }
        let bots = lock(&self.bots);
        tokens.iter().filter_map(|token| Some((token, bots.by_token.get(token)?))).any(|(token, bot)| {
            bot.valid_token().as_ref() == Some(token)
                && match bot_id {
                    Some(id) => bot.id == id,
                    None => user_id == Some(&*bot.user_id()),
                }
        })
    }

    pub(super) fn add_login(&self, login: Arc<Login>) {
        let mut logins = lock(&self.logins);
        if logins.len() == MAX_LOGINS {
            logins.pop_front();
        }
        logins.push_back(login);
    }

    /// The login of a QR code, or the `latest`.
    pub(super) fn login(&self, which: &str) -> Result<Arc<Login>, ControlError> {
        let logins = lock(&self.logins);
        let login = match which {
            "latest" => logins.back(),
            qrcode => logins.iter().rev().find(|login| login.qrcode == qrcode),
        };
        login.cloned().ok_or_else(|| ControlError::NoSuchLogin(which.to_owned()))
    }

    /// Records a request that no bot made.
    pub(super) fn record(&self, endpoint: Endpoint) {
        remember(&mut lock(&self.requests), RequestReport { endpoint, at_ms: unix_millis() });
    }

    /// Everything, or only one bot of it.
    pub(super) fn report(&self, bot_id: Option<&str>) -> SimulatorState {
        let bots = lock(&self.bots).all.clone();
        let logins = lock(&self.logins).clone();
        SimulatorState {
            url: self.url.clone(),
            cdn_url: self.cdn_url(),
            bots: bots.iter().filter(|bot| bot_id.is_none_or(|id| id == bot.id)).map(|bot| bot.report()).collect(),
            logins: logins.iter().map(|login| login.report()).collect(),
            requests: lock(&self.requests).iter().cloned().collect(),
            limits: Limits::clone(&self.limits()),
        }
    }
}

impl Bots {
    /// Completes the names of a new bot: `bot1@im.bot` and `user1@im.wechat`, unless they are taken.
    fn name(&mut self, id: Option<String>, user_id: Option<String>) -> (String, String) {
        loop {
            self.named += 1;
            let n = self.named;
            let id = id.clone().unwrap_or_else(|| format!("bot{n}@im.bot"));
            if !self.by_id.contains_key(&id) {
                return (id, user_id.unwrap_or_else(|| format!("user{n}@im.wechat")));
            }
        }
    }
}
