//! The logins under way, by `sessionKey`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::texts::Text;
use super::watch::{FetchError, Hooks, Snapshot, Watch, expiry, fetch_code};
use crate::contract::{AccountId, Locale, LoginState};
use crate::supervise::lock;
use ilink::{Endpoint, Ilink, IlinkError};

/// How long the outcome of a login can be asked for after its end.
const KEPT: Duration = Duration::from_secs(600);
/// Logins at once.
const AT_MOST: usize = 1_000;

/// Why a login call failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// There is no login of that key.
    #[error("there is no login {0:?}; it may have ended more than ten minutes ago. Start a new one with login.start")]
    NotFound(String),
    /// No number is asked for.
    #[error("this login does not wait for a number now (it is {0:?})")]
    NoCodeWanted(LoginState),
    /// Too many logins.
    #[error("{AT_MOST} logins are under way; cancel some, or wait until they end")]
    TooMany,
    /// The first code could not be fetched.
    #[error("no QR code could be fetched: {0}")]
    Ilink(#[from] IlinkError),
    /// The first code could not be drawn.
    #[error("no QR code could be fetched: {0}")]
    Unusable(String),
}

/// What starts a login.
pub struct Start {
    /// Whose login this is to renew.
    pub hint: Option<AccountId>,
    /// Begin anew although one is under way.
    pub force: bool,
    pub locale: Locale,
    pub ilink: Ilink,
    /// Where codes are fetched.
    pub home: Endpoint,
    /// Hosts (`name` or `name:port`) of one's own network that the server may send a login to.
    pub allowed_hosts: Vec<String>,
    /// The rest of the program.
    pub hooks: Hooks,
    /// When it is said what may be in the way of a login on which nothing happens.
    pub hint_after: Duration,
}

struct LoginSession {
    shown: watch::Receiver<Snapshot>,
    numbers: mpsc::Sender<String>,
    cancel: CancellationToken,
    /// When the outcome may be forgotten.
    started: Instant,
}

/// All logins. Clones share them.
#[derive(Clone, Default)]
pub struct LoginSessions {
    by_key: Arc<Mutex<HashMap<String, LoginSession>>>,
}

impl LoginSessions {
    /// Starts a login, or returns the one under way for the same account. Returns its key and where it stands.
    pub async fn start(&self, start: Start) -> Result<(String, Snapshot), LoginError> {
        let key = start.hint.as_ref().map_or_else(new_key, ToString::to_string);
        if let Some(shown) = self.prepare(&key, start.force)? {
            return Ok((key, shown));
        }
        let code = fetch_code(&start.ilink, &start.home, &start.hooks).await.map_err(|error| match error {
            FetchError::Ilink(error) => LoginError::Ilink(error),
            FetchError::Unusable(why) => LoginError::Unusable(why),
        })?;
        let first = Snapshot {
            state: LoginState::Waiting,
            message: Text::Scan.say(start.locale).to_owned(),
            qr: code.qr.clone(),
            qr_url: code.url.clone(),
            expires_at_ms: expiry(),
            account: None,
            user_id: None,
        };
        let (shown, seen) = watch::channel(first.clone());
        let (numbers, given) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let task = Watch {
            key: key.clone(),
            hint: start.hint,
            locale: start.locale,
            ilink: start.ilink,
            home: start.home,
            allowed_hosts: start.allowed_hosts,
            hooks: start.hooks,
            hint_after: start.hint_after,
            code,
            numbers: given,
            shown,
            cancel: cancel.clone(),
        };
        let session = LoginSession { shown: seen, numbers, cancel, started: Instant::now() };
        if let Some(replaced) = self.lock().insert(key.clone(), session) {
            replaced.cancel.cancel();
        }
        tokio::spawn(task.run());
        Ok((key, first))
    }

    /// Waits until the login ends, for `timeout` at most. Returns where it stands then.
    pub async fn wait(&self, key: &str, timeout: Duration) -> Result<Snapshot, LoginError> {
        let mut shown = self.find(key, |session| session.shown.clone())?;
        // Too late, or the task is gone without an end: either way the last snapshot is what there is to say.
        let _ = tokio::time::timeout(timeout, shown.wait_for(Snapshot::is_over)).await;
        Ok(shown.borrow().clone())
    }

    /// Gives the number that the phone shows.
    pub fn submit_code(&self, key: &str, number: &str) -> Result<(), LoginError> {
        let (state, numbers) = self.find(key, |session| (session.shown.borrow().state, session.numbers.clone()))?;
        let wanted = matches!(state, LoginState::CodeRequired | LoginState::CodeRejected);
        if !wanted || numbers.try_send(number.trim().to_owned()).is_err() {
            return Err(LoginError::NoCodeWanted(state));
        }
        Ok(())
    }

    /// Ends a login; one that has ended stays as it is.
    pub fn cancel(&self, key: &str) -> Result<(), LoginError> {
        self.find(key, |session| session.cancel.cancel())
    }

    /// Ends all logins.
    pub fn cancel_all(&self) {
        self.lock().values().for_each(|session| session.cancel.cancel());
    }

    /// Makes room for `key`; returns where the login under way stands, if that is to be shared.
    fn prepare(&self, key: &str, force: bool) -> Result<Option<Snapshot>, LoginError> {
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.started.elapsed() < KEPT || !session.shown.borrow().is_over());
        let under_way = sessions.get(key).map(|session| session.shown.borrow().clone()).filter(|s| !s.is_over());
        if under_way.is_some() && !force {
            return Ok(under_way);
        }
        let live = sessions.values().filter(|session| !session.shown.borrow().is_over()).count();
        if live >= AT_MOST { Err(LoginError::TooMany) } else { Ok(None) }
    }

    fn find<T>(&self, key: &str, look: impl FnOnce(&LoginSession) -> T) -> Result<T, LoginError> {
        self.lock().get(key).map(look).ok_or_else(|| LoginError::NotFound(key.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, LoginSession>> {
        // Only whole entries are put in and taken out.
        lock(&self.by_key)
    }
}

fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;
    use crate::events::Events;
    use ilink::Hosts;
    use ilink_simulator::{Simulator, SimulatorConfig};

    #[tokio::test]
    async fn a_login_that_is_given_up_while_it_is_saved_is_saved() {
        let config =
            SimulatorConfig { auto_login: true, auto_login_delay: Duration::ZERO, ..SimulatorConfig::default() };
        let simulator = Simulator::start(config).await.unwrap();
        let (saving, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begun, wait) = (saving.clone(), go_on.clone());
        let hooks = Hooks {
            events: Events::none(),
            known_tokens: Arc::new(Vec::new),
            save: Arc::new(move |_| {
                let (begun, wait) = (begun.clone(), wait.clone());
                Box::pin(async move {
                    begun.notify_one();
                    wait.notified().await;
                    Ok(())
                })
            }),
        };
        let home = Endpoint {
            base_url: simulator.url(),
            route_tag: None,
            bot_agent: String::new(),
            version: Default::default(),
        };
        let sessions = LoginSessions::default();
        let start = Start {
            hint: None,
            force: false,
            locale: Locale::En,
            ilink: Ilink::new(Hosts::system("")).unwrap(),
            home,
            allowed_hosts: Vec::new(),
            hooks,
            hint_after: Duration::from_secs(60),
        };
        let (key, _) = sessions.start(start).await.unwrap();
        saving.notified().await;
        sessions.cancel_all();
        tokio::time::sleep(Duration::from_millis(50)).await;
        go_on.notify_one();
        let end = sessions.wait(&key, Duration::from_secs(5)).await.unwrap();
        assert_eq!(end.state, LoginState::Confirmed);
        simulator.stop().await;
    }
}
