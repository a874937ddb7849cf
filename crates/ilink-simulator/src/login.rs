//! The life of a QR code: from `wait` to one of its ends.

use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::basics::{lock, unix_millis};
use super::config::Version;
use super::error::ControlError;
use super::report::LoginReport;

/// What the person with the phone does, or what the server decides.
#[derive(Debug, Clone)]
pub enum LoginStep {
    /// The QR code is scanned.
    Scan,
    /// The login is confirmed on the phone.
    Confirm {
        /// The person; by default a new one, or the owner of the bot.
        user_id: Option<String>,
        /// The bot; by default a new one. A bot that exists gets a new token.
        bot_id: Option<String>,
    },
    /// The phone shows a number that has to be typed at the client.
    NeedCode {
        /// The number; by default six random digits.
        code: Option<String>,
    },
    /// Too many wrong codes.
    Block,
    /// The QR code is too old.
    Expire,
    /// Another host is responsible.
    Redirect {
        /// `host` or `host:port`.
        host: String,
    },
    /// The bot is already bound at this client.
    AlreadyBound,
}

/// The body of `POST /_sim/logins/{which}/{step}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct StepRequest {
    user_id: Option<String>,
    bot_id: Option<String>,
    code: Option<String>,
    host: Option<String>,
}

impl StepRequest {
    /// The step of that name, with what the body says about it.
    pub(super) fn named(self, name: &str) -> Result<LoginStep, ControlError> {
        Ok(match name {
            "scan" => LoginStep::Scan,
            "confirm" => LoginStep::Confirm { user_id: self.user_id, bot_id: self.bot_id },
            "need-code" => LoginStep::NeedCode { code: self.code },
            "block" => LoginStep::Block,
            "expire" => LoginStep::Expire,
            "redirect" => LoginStep::Redirect {
                host: self.host.ok_or_else(|| ControlError::Invalid("a redirect needs a host".into()))?,
            },
            "already-bound" => LoginStep::AlreadyBound,
            other => return Err(ControlError::Invalid(format!("there is no step {other:?}"))),
        })
    }
}

/// One QR code.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) qrcode: String,
    /// The tokens of the bots that the client already has.
    pub(super) local_tokens: Vec<String>,
    /// The version that the client declared.
    pub(super) version: Version,
    created_ms: u64,
    expires: Instant,
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// A client has been told this phase. A phase that can only wait for the phone is held from then on.
    told: bool,
    /// The control API has taken over; the automatic login keeps its hands off.
    driven: bool,
    wrong_codes: u32,
    /// The host that answers for the account from then on.
    redirected_to: Option<String>,
}

/// Where a login stands.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Wait,
    Scanned,
    NeedCode { code: String },
    Redirect { host: String },
    Blocked,
    Expired,
    AlreadyBound,
    Confirmed { bot_token: String, bot_id: String, user_id: String, base_url: String },
}

impl Phase {
    fn status(&self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Scanned => "scaned",
            Self::NeedCode { .. } => "need_verifycode",
            Self::Redirect { .. } => "scaned_but_redirect",
            Self::Blocked => "verify_code_blocked",
            Self::Expired => "expired",
            Self::AlreadyBound => "binded_redirect",
            Self::Confirmed { .. } => "confirmed",
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Blocked | Self::Expired | Self::AlreadyBound | Self::Confirmed { .. })
    }

    fn answer(&self) -> Value {
        let mut answer = json!({ "ret": 0, "status": self.status() });
        match self {
            Self::Redirect { host } => answer["redirect_host"] = json!(host),
            Self::Confirmed { bot_token, bot_id, user_id, base_url } => {
                answer["bot_token"] = json!(bot_token);
                answer["ilink_bot_id"] = json!(bot_id);
                answer["ilink_user_id"] = json!(user_id);
                answer["baseurl"] = json!(base_url);
            }
            _ => {}
        }
        answer
    }
}

impl Login {
    pub(super) fn new(qrcode: String, local_tokens: Vec<String>, version: Version, lifetime: Duration) -> Self {
        Self {
            qrcode,
            local_tokens,
            version,
            created_ms: unix_millis(),
            expires: Instant::now() + lifetime,
            wake: Notify::new(),
            state: Mutex::new(State {
                phase: Phase::Wait,
                told: false,
                driven: false,
                wrong_codes: 0,
                redirected_to: None,
            }),
        }
    }

    /// Changes the phase by the control API (`driven`) or automatically. `next` is told the host that the login was
    /// redirected to. It is not called when the login is over, or when it is the automatic login's turn no more.
    pub(super) fn step(
        &self,
        driven: bool,
        next: impl FnOnce(Option<&str>) -> Result<Phase, ControlError>,
    ) -> Result<(), ControlError> {
        {
            let mut state = lock(&self.state);
            self.age(&mut state);
            if state.phase.is_over() || (state.driven && !driven) {
                let status = state.phase.status();
                return Err(ControlError::LoginOver { qrcode: self.qrcode.clone(), status });
            }
            state.driven |= driven;
            state.phase = next(state.redirected_to.as_deref())?;
            state.told = false;
            if let Phase::Redirect { host } = &state.phase {
                state.redirected_to = Some(host.clone());
            }
        }
        self.wake.notify_waiters();
        Ok(())
    }

    /// One long poll. `host` is the host the client asked, `attempts` how many wrong codes are too many.
    pub(super) async fn poll(&self, code: Option<&str>, host: Option<&str>, attempts: u32, hold: Duration) -> Value {
        let deadline = self.expires.min(Instant::now() + hold);
        if let Some(code) = code {
            self.try_code(code, attempts);
        }
        loop {
            let wake = self.wake.notified();
            tokio::pin!(wake);
            wake.as_mut().enable();
            if let Some(answer) = self.look(host, code.is_some() || Instant::now() >= deadline) {
                return answer;
            }
            tokio::select! {
                () = wake => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    /// The answer, or `None` while it is better to wait.
    fn look(&self, host: Option<&str>, now: bool) -> Option<Value> {
        let mut state = lock(&self.state);
        self.age(&mut state);
        // Who was told to go elsewhere and asks there is past the redirect. Elsewhere may be the first host itself.
        if let Phase::Redirect { host: target } = &state.phase
            && state.told
            && host == Some(target)
        {
            state.phase = Phase::Scanned;
            state.told = false;
        }
        let waits = match state.phase {
            Phase::Wait => true,
            Phase::Scanned => state.told,
            _ => false,
        };
        if waits && !now {
            return None;
        }
        state.told = true;
        Some(state.phase.answer())
    }

    /// A code that comes when none is asked for is ignored: it is a repetition whose first answer was lost.
    fn try_code(&self, tried: &str, attempts: u32) {
        let mut state = lock(&self.state);
        self.age(&mut state);
        let Phase::NeedCode { code } = &state.phase else {
            return;
        };
        if code == tried {
            state.phase = Phase::Scanned;
        } else {
            state.wrong_codes += 1;
            if state.wrong_codes >= attempts {
                state.phase = Phase::Blocked;
            }
        }
        state.told = false;
    }

    fn age(&self, state: &mut State) {
        if Instant::now() >= self.expires && !state.phase.is_over() {
            state.phase = Phase::Expired;
            state.told = false;
        }
    }

    /// How the login stands.
    pub(super) fn report(&self) -> LoginReport {
        let mut state = lock(&self.state);
        self.age(&mut state);
        let (bot_id, user_id) = match &state.phase {
            Phase::Confirmed { bot_id, user_id, .. } => (Some(bot_id.clone()), Some(user_id.clone())),
            _ => (None, None),
        };
        let code = match &state.phase {
            Phase::NeedCode { code } => Some(code.clone()),
            _ => None,
        };
        LoginReport {
            qrcode: self.qrcode.clone(),
            status: state.phase.status().to_owned(),
            code,
            wrong_codes: state.wrong_codes,
            bot_id,
            user_id,
            local_tokens: self.local_tokens.len(),
            created_ms: self.created_ms,
        }
    }
}
