//! What goes wrong on demand.
//!
//! A fault strikes either *before* the request is processed (the server never did what it was asked) or at the
//! *answer* (it did, but the client does not learn it). The difference is what at-least-once and exactly-once are about, so
//! each kind says which one it is. A long poll that is already held is past "before": end it with a release, or with
//! a message, if the next one is to be struck at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::basics::lock;
use super::endpoint::Endpoint;
use super::error::ControlError;

/// Something that goes wrong, and when.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where; `None` is every endpoint.
    pub endpoint: Option<Endpoint>,
    /// What.
    pub kind: FaultKind,
    /// How often; `None` is until the faults are cleared.
    pub times: Option<u32>,
    /// Only for this bot. Requests without a bot, those of a login, never match such a fault.
    pub bot_id: Option<String>,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// Before: the request waits, then goes on (to the next fault, if one matches).
    Delay(Duration),
    /// Before: an HTTP status with a body that is not JSON, as a proxy makes it.
    Status(u16),
    /// Before: an HTTP status with the reason in `x-error-message`, as the CDN refuses.
    Refuse {
        /// The status.
        status: u16,
        /// The reason.
        message: String,
    },
    /// Before: the connection is reset.
    Reset,
    /// Before: 200 with a body that is not JSON, as a captive portal makes it.
    WrongJson,
    /// Before: `{ret, errmsg}`.
    Ret {
        /// The code.
        ret: i64,
        /// The text.
        errmsg: Option<String>,
    },
    /// Before: nothing at all. The connection stays open, and nobody answers.
    Silence,
    /// At the answer: half of the body, under the length of the whole one.
    Truncate,
    /// At the answer: the connection is closed instead.
    DropAnswer,
    /// `getupdates` only, and only when there are messages: each is handed out twice.
    Duplicate,
}

impl FaultKind {
    fn strikes(&self, moment: Moment) -> bool {
        moment
            == match self {
                Self::Delay(_) | Self::Silence => Moment::Arrival,
                Self::Status(_) | Self::Refuse { .. } | Self::Reset | Self::WrongJson | Self::Ret { .. } => {
                    Moment::Processing
                }
                Self::Truncate | Self::DropAnswer => Moment::Answer,
                Self::Duplicate => Moment::HandingOut,
            }
    }
}

/// The points at which a request can be struck, in order. At most one fault strikes at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Arrival,
    Processing,
    HandingOut,
    Answer,
}

impl Fault {
    /// A fault that strikes everybody, until it is cleared.
    pub fn new(endpoint: impl Into<Option<Endpoint>>, kind: FaultKind) -> Self {
        Self { endpoint: endpoint.into(), kind, times: None, bot_id: None }
    }

    /// The same fault, so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The same fault, for one bot.
    #[must_use]
    pub fn for_bot(mut self, bot_id: impl Into<String>) -> Self {
        self.bot_id = Some(bot_id.into());
        self
    }
}

/// The faults that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Lets every request pass without the lock while nothing goes wrong, which is nearly always.
    any: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        lock(&self.list).push(fault);
        self.any.store(true, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        let mut list = lock(&self.list);
        list.clear();
        self.any.store(false, Ordering::Release);
    }

    /// The oldest fault that strikes now; it is used up once more.
    pub(super) fn strike(&self, moment: Moment, endpoint: Endpoint, bot_id: Option<&str>) -> Option<FaultKind> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut list = lock(&self.list);
        let position = list.iter().position(|fault| {
            fault.kind.strikes(moment)
                && fault.endpoint.is_none_or(|one| one == endpoint)
                && fault.bot_id.as_deref().is_none_or(|id| Some(id) == bot_id)
        })?;
        let fault = &mut list[position];
        let kind = fault.kind.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                list.remove(position);
            }
        }
        Some(kind)
    }
}

/// The body of `POST /_sim/faults`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FaultRequest {
    endpoint: Target,
    kind: String,
    value: Option<i64>,
    errmsg: Option<String>,
    times: Option<u32>,
    bot_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Target {
    One(Endpoint),
    All(Star),
}

#[derive(Debug, Deserialize)]
enum Star {
    #[serde(rename = "*")]
    Star,
}

impl TryFrom<Value> for Fault {
    type Error = ControlError;

    fn try_from(value: Value) -> Result<Self, ControlError> {
        let request: FaultRequest =
            serde_json::from_value(value).map_err(|error| ControlError::Invalid(error.to_string()))?;
        let needs = |what: &str| ControlError::Invalid(format!("{:?} needs {what} as value", request.kind));
        let kind = match request.kind.as_str() {
            "delay" => {
                let millis = request.value.and_then(|ms| u64::try_from(ms).ok());
                FaultKind::Delay(Duration::from_millis(millis.ok_or_else(|| needs("milliseconds"))?))
            }
            "status" => {
                let status = request.value.and_then(|code| u16::try_from(code).ok());
                let status = status.filter(|code| (200..1000).contains(code));
                let status = status.ok_or_else(|| needs("an HTTP status"))?;
                match request.errmsg {
                    Some(message) => FaultKind::Refuse { status, message },
                    None => FaultKind::Status(status),
                }
            }
            "ret" => FaultKind::Ret { ret: request.value.ok_or_else(|| needs("a code"))?, errmsg: request.errmsg },
            "reset" => FaultKind::Reset,
            "truncate" => FaultKind::Truncate,
            "wrong_json" => FaultKind::WrongJson,
            "duplicate" => FaultKind::Duplicate,
            "drop_answer" => FaultKind::DropAnswer,
            "silence" => FaultKind::Silence,
            other => {
                return Err(ControlError::Invalid(format!("there is no fault {other:?}")));
            }
        };
        if request.times == Some(0) {
            return Err(ControlError::Invalid("times must be at least 1".into()));
        }
        let endpoint = match request.endpoint {
            Target::One(endpoint) => Some(endpoint),
            Target::All(Star::Star) => None,
        };
        Ok(Self { endpoint, kind, times: request.times, bot_id: request.bot_id })
    }
}
