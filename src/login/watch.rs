//! The state machine of one login.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::qr::QrCode;
use super::texts::{Text, hint, refused_host};
use crate::accounts::Login;
use crate::contract::{AccountId, Locale, LoginProgress, LoginState};
use crate::events::{Event, Events};
use ilink::{
    BotToken, Confirmed, Endpoint, Ilink, IlinkError, QrStatus, assigned_address, redirected_address, shown_address,
};

/// How long a login may take in all.
const WHOLE: Duration = Duration::from_secs(480);
/// How long a QR code lives at the server.
pub const CODE_LIFE: Duration = Duration::from_secs(300);
/// The pause between two polls.
const PAUSE: Duration = Duration::from_secs(1);
/// QR codes in one login, the first included.
const CODES: u32 = 3;

type Tokens = dyn Fn() -> Vec<BotToken> + Send + Sync;
type Save = dyn Fn(Login) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// What a login needs of the rest of the program.
#[derive(Clone)]
pub struct Hooks {
    /// Told of every change.
    pub events: Events,
    /// Tokens of local bots, newest first; called on a blocking thread.
    pub known_tokens: Arc<Tokens>,
    /// Saves what the login brought; the error is for a person.
    pub save: Arc<Save>,
}

/// Where a login stands.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub state: LoginState,
    /// What to tell the person.
    pub message: String,
    /// The code to scan.
    pub qr: Arc<QrCode>,
    /// What the code says.
    pub qr_url: String,
    /// When the code runs out, in milliseconds since 1970.
    pub expires_at_ms: i64,
    /// The account, once it is known.
    pub account: Option<AccountId>,
    /// Who scanned, once it is known.
    pub user_id: Option<String>,
}

impl Snapshot {
    /// Whether the login has ended.
    pub fn is_over(&self) -> bool {
        is_end(self.state)
    }
}

/// Whether a login in this state has ended.
fn is_end(state: LoginState) -> bool {
    matches!(
        state,
        LoginState::Confirmed
            | LoginState::AlreadyConnected
            | LoginState::Expired
            | LoginState::Failed
            | LoginState::Cancelled
    )
}

/// A fetched code.
pub(super) struct Code {
    /// Names it at the server.
    pub name: String,
    /// What it says.
    pub url: String,
    /// How it looks.
    pub qr: Arc<QrCode>,
}

/// Fetches a QR code.
pub(super) async fn fetch_code(ilink: &Ilink, endpoint: &Endpoint, hooks: &Hooks) -> Result<Code, FetchError> {
    let tokens = hooks.known_tokens.clone();
    let known = tokio::task::spawn_blocking(move || tokens()).await.unwrap_or_default();
    let answer = ilink.get_bot_qrcode(endpoint, &known).await?;
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (Some(name), Some(url)) = (filled(answer.qrcode), filled(answer.qrcode_img_content)) else {
        return Err(FetchError::Unusable("the server sent no QR code".to_owned()));
    };
    let qr = QrCode::new(&url).map_err(|error| FetchError::Unusable(error.to_string()))?;
    Ok(Code { name, url, qr: Arc::new(qr) })
}

/// Why there is no QR code.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The request failed.
    #[error(transparent)]
    Ilink(#[from] IlinkError),
    /// The answer cannot be drawn.
    #[error("{0}")]
    Unusable(String),
}

/// One login's task.
pub(super) struct Watch {
    pub key: String,
    pub hint: Option<AccountId>,
    pub locale: Locale,
    pub ilink: Ilink,
    /// Where every code is fetched.
    pub home: Endpoint,
    /// Hosts of one's own network that the server may send a login to.
    pub allowed_hosts: Vec<String>,
    pub hooks: Hooks,
    /// When it is said what may be in the way of a login on which nothing happens.
    pub hint_after: Duration,
    pub code: Code,
    /// Numbers that the person gave.
    pub numbers: mpsc::Receiver<String>,
    pub shown: watch::Sender<Snapshot>,
    pub cancel: CancellationToken,
}

impl Watch {
    /// Runs until the login has ended; the last snapshot says how.
    pub async fn run(mut self) {
        let deadline = Instant::now() + WHOLE;
        let cancel = self.cancel.clone();
        let confirmed = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                self.show(LoginState::Cancelled, Text::Cancelled);
                None
            }
            () = tokio::time::sleep_until(deadline) => {
                self.show_with_hint(LoginState::Expired, Text::TimedOut);
                None
            }
            confirmed = self.watch() => confirmed,
        };
        // The server will not say it again: whoever gives up now finds the account saved.
        if let Some(confirmed) = confirmed {
            self.confirmed(confirmed).await;
        }
    }

    /// Watches until the person has confirmed, or the login has ended otherwise.
    async fn watch(&mut self) -> Option<Confirmed> {
        let mut endpoint = self.home.clone();
        let mut number: Option<String> = None;
        let mut codes = 1;
        let mut hinted = false;
        let mut since = Instant::now();
        loop {
            let status = match self.ilink.get_qrcode_status(&endpoint, &self.code.name, number.as_deref()).await {
                Ok(status) => status,
                Err(error) => {
                    self.fail(&error.to_string());
                    return None;
                }
            };
            match status {
                QrStatus::Wait => {
                    if !hinted && since.elapsed() >= self.hint_after {
                        hinted = true;
                        self.show_text(LoginState::Waiting, hint(self.locale, self.home.version));
                    }
                }
                QrStatus::Scanned => {
                    number = None;
                    if self.shown.borrow().state != LoginState::Scanned {
                        since = Instant::now();
                        self.show(LoginState::Scanned, Text::Confirm);
                    } else if !hinted && since.elapsed() >= self.hint_after {
                        hinted = true;
                        self.show_text(LoginState::Scanned, hint(self.locale, self.home.version));
                    }
                }
                QrStatus::NeedVerifyCode => {
                    match number {
                        Some(_) => self.show(LoginState::CodeRejected, Text::CodeWrong),
                        None => self.show(LoginState::CodeRequired, Text::Code),
                    }
                    number = self.numbers.recv().await;
                    if number.is_none() {
                        self.show(LoginState::Cancelled, Text::Cancelled);
                        return None;
                    }
                    continue;
                }
                QrStatus::VerifyCodeBlocked | QrStatus::Expired => {
                    let blocked = status == QrStatus::VerifyCodeBlocked;
                    if blocked {
                        self.show(LoginState::CodeBlocked, Text::CodeBlocked);
                    }
                    if codes == CODES {
                        match blocked {
                            true => self.show(LoginState::Failed, Text::GivenUp),
                            false => self.show_with_hint(LoginState::Expired, Text::Expired),
                        }
                        return None;
                    }
                    codes += 1;
                    number = None;
                    endpoint = self.home.clone();
                    match fetch_code(&self.ilink, &self.home, &self.hooks).await {
                        Ok(code) => self.refreshed(code),
                        Err(error) => {
                            self.fail(&error.to_string());
                            return None;
                        }
                    }
                }
                QrStatus::Redirect(host) => match self.redirected(host.as_deref(), &endpoint).await {
                    Some(base_url) => {
                        if endpoint.base_url != base_url {
                            endpoint.base_url = base_url;
                            self.show(LoginState::Redirected, Text::Redirected);
                        }
                    }
                    None => tracing::warn!(host, "a login was redirected to a host that is not asked; staying"),
                },
                QrStatus::AlreadyBound => {
                    let hint = self.hint.clone();
                    self.shown.send_modify(|shown| shown.account = hint);
                    self.show(LoginState::AlreadyConnected, Text::Already);
                    return None;
                }
                QrStatus::Confirmed(confirmed) => return Some(*confirmed),
                QrStatus::Other(status) => {
                    tracing::warn!(status, "the server named an unknown login status; waiting on")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn confirmed(&mut self, confirmed: Confirmed) {
        let (Some(bot_id), Some(token)) = (confirmed.bot_id, confirmed.bot_token) else {
            return self.show(LoginState::Failed, Text::Incomplete);
        };
        let base_url = match confirmed.base_url {
            None => None,
            Some(told) => {
                let Some(base_url) = assigned_address(&self.home.base_url, &told) else {
                    return self.fail(&refused_host(self.locale, &shown_address(&told), false));
                };
                if !self.ilink.may_lead(&self.home.base_url, &base_url, &self.allowed_hosts).await {
                    return self.fail(&refused_host(self.locale, &base_url, true));
                }
                Some(base_url)
            }
        };
        let login = Login { id: AccountId::normalize(&bot_id), token, base_url, user_id: confirmed.user_id.clone() };
        let account = login.id.clone();
        match (self.hooks.save)(login).await {
            Ok(()) => {
                self.shown.send_modify(|shown| {
                    shown.account = Some(account);
                    shown.user_id = confirmed.user_id;
                });
                self.show(LoginState::Confirmed, Text::Connected);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Where the server sends this login, if that may be asked. It is sent to where it is `now` again and again: that was checked
    /// when it went there.
    async fn redirected(&self, host: Option<&str>, now: &Endpoint) -> Option<String> {
        let base_url = redirected_address(&self.home.base_url, host?)?;
        if base_url == now.base_url {
            return Some(base_url);
        }
        self.ilink.may_lead(&self.home.base_url, &base_url, &self.allowed_hosts).await.then_some(base_url)
    }

    fn refreshed(&mut self, code: Code) {
        self.code = code;
        self.shown.send_modify(|shown| {
            shown.qr = self.code.qr.clone();
            shown.qr_url = self.code.url.clone();
            shown.expires_at_ms = expiry();
        });
        self.show(LoginState::Refreshed, Text::Refreshed);
    }

    fn fail(&self, why: &str) {
        let text = match self.locale {
            Locale::ZhCn => format!("登录失败：{why}"),
            Locale::En => format!("The login failed: {why}"),
        };
        self.show_text(LoginState::Failed, text);
    }

    /// As [`Watch::show`], with what may have been in the way.
    fn show_with_hint(&self, state: LoginState, text: Text) {
        self.show_text(state, format!("{}\n{}", text.say(self.locale), hint(self.locale, self.home.version)));
    }

    fn show(&self, state: LoginState, text: Text) {
        self.show_text(state, text.say(self.locale).to_owned());
    }

    fn show_text(&self, state: LoginState, message: String) {
        tracing::info!(login = %self.key, ?state, "login");
        let mut progress = LoginProgress {
            session_key: self.key.clone(),
            state,
            message: message.clone(),
            qr_url: None,
            qr_png_data_url: None,
            qr_text: None,
        };
        if state == LoginState::Refreshed {
            progress.qr_url = Some(self.code.url.clone());
            progress.qr_png_data_url = Some(self.code.qr.png_data_url());
            progress.qr_text = Some(self.code.qr.terminal_text());
        }
        let show = || {
            self.shown.send_modify(|shown| {
                shown.state = state;
                shown.message = message;
            });
        };
        if is_end(state) {
            // Progress first: who waits for the end then has heard all of it.
            self.hooks.events.emit(Event::Login(progress));
            show();
        } else {
            // State first: who hears of it and acts on it at once finds it so.
            show();
            self.hooks.events.emit(Event::Login(progress));
        }
    }
}

/// When a code that is fetched now runs out.
pub(super) fn expiry() -> i64 {
    crate::store::now_ms() + CODE_LIFE.as_millis() as i64
}

#[cfg(test)]
mod tests {
    use ilink::Hosts;

    use super::*;

    /// A login at a public host, where every name is one; nothing is connected to.
    fn login() -> (Watch, watch::Receiver<Snapshot>) {
        let hosts = Hosts::with(|_| Box::pin(async { Ok(vec![[8, 8, 8, 8].into()]) }));
        let home = Endpoint {
            base_url: "https://a.example".to_owned(),
            route_tag: None,
            bot_agent: String::new(),
            version: Default::default(),
        };
        let qr = Arc::new(QrCode::new("https://a.example/code").unwrap());
        let hooks = Hooks {
            events: Events::none(),
            known_tokens: Arc::new(Vec::new),
            save: Arc::new(|_| Box::pin(async { Ok(()) })),
        };
        let (shown, seen) = watch::channel(Snapshot {
            state: LoginState::Waiting,
            message: String::new(),
            qr: qr.clone(),
            qr_url: String::new(),
            expires_at_ms: 0,
            account: None,
            user_id: None,
        });
        let login = Watch {
            key: "key".to_owned(),
            hint: None,
            locale: Locale::En,
            ilink: Ilink::new(hosts).unwrap(),
            home,
            allowed_hosts: Vec::new(),
            hooks,
            hint_after: WHOLE,
            code: Code { name: String::new(), url: String::new(), qr },
            numbers: mpsc::channel(1).1,
            shown,
            cancel: CancellationToken::new(),
        };
        (login, seen)
    }

    #[tokio::test]
    async fn a_server_sends_no_login_into_a_private_network() {
        let (login, _seen) = login();
        for (host, leads) in [("b.example", true), ("10.0.0.1", false), ("127.0.0.1", false), ("[::1]", false)] {
            assert_eq!(login.redirected(Some(host), &login.home).await.is_some(), leads, "{host}");
        }
    }

    #[tokio::test]
    async fn a_server_sends_no_account_into_a_private_network() {
        for (base_url, state) in
            [("https://b.example", LoginState::Confirmed), ("https://10.0.0.1", LoginState::Failed)]
        {
            let (mut login, seen) = login();
            login
                .confirmed(Confirmed {
                    bot_token: BotToken::new("token"),
                    bot_id: Some("bot@im.bot".to_owned()),
                    user_id: None,
                    base_url: Some(base_url.to_owned()),
                })
                .await;
            assert_eq!(seen.borrow().state, state, "{base_url}");
        }
    }
}
