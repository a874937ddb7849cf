//! What can go wrong with a request, sorted by what a caller can do about it.

use std::error::Error as _;
use std::io;

use super::types::Verdict;

/// As much of the server's own words as goes into errors, logs and status.
const MAX_ERRMSG: usize = 300;

/// How far a request got before the network failed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The host's name was not resolved.
    Dns,
    /// No connection was made, or it broke.
    Tcp,
    /// The TLS handshake failed.
    Tls,
    /// There was no answer in time.
    Timeout,
}

impl Reach {
    /// What a person is told.
    pub fn describe(self) -> &'static str {
        match self {
            Reach::Dns => "the host's name was not resolved; check the DNS settings and the network",
            Reach::Tcp => "the connection was refused or broke; check the network, a proxy or a firewall",
            Reach::Tls => "the TLS handshake failed; check the clock, the certificates and a TLS-inspecting proxy",
            Reach::Timeout => "there was no answer in time",
        }
    }
}

/// Why a request to iLink failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IlinkError {
    /// The host was not reached, or did not answer in time. The request may have been carried out.
    #[error("{endpoint}: {} ({detail})", .reach.describe())]
    Network {
        /// The endpoint's name.
        endpoint: &'static str,
        /// How far it got.
        reach: Reach,
        /// What the HTTP client said, without the URL.
        detail: String,
    },
    /// The host answered with an HTTP error.
    #[error("{endpoint}: the server answered HTTP {status}")]
    Http {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The status.
        status: u16,
    },
    /// iLink refused.
    #[error("{endpoint}: WeChat refused: ret={} errcode={} {}", opt(.ret), opt(.errcode), .errmsg.as_deref().unwrap_or(""))]
    Refused {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The answer's `ret`.
        ret: Option<i64>,
        /// The answer's `errcode`.
        errcode: Option<i64>,
        /// The answer's `errmsg`.
        errmsg: Option<String>,
    },
    /// The answer is not what the protocol says.
    #[error("{endpoint}: the server's answer cannot be read ({detail})")]
    Malformed {
        /// The endpoint's name.
        endpoint: &'static str,
        /// What is wrong with it, without its content.
        detail: String,
    },
    /// The request could not be made: a bad address in the configuration.
    #[error("{endpoint}: the address {url} cannot be used ({detail}); check baseUrl")]
    BadAddress {
        /// The endpoint's name.
        endpoint: &'static str,
        /// The address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// What a refusal means. Tencent documents none of the codes: these are what users of several clients met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `-14`: the token is no longer good.
    StaleToken,
    /// `-2`, mostly without a word or with "rate limited": the send limits were met.
    Throttled,
    /// `-12`: too many requests.
    RateLimited,
    /// `-2` "prepare failed": the person's last message is too old, or the bot was idle for hours.
    PrepareFailed,
    /// `-2` "ilink_user_id required": a request of typing that names nobody.
    NoPerson,
    /// `-3`: there is no such person, most often because something changed the case of their id.
    UnknownPerson,
    /// `-4`: the person has not written to the bot yet.
    NotWrittenYet,
    /// `-1` from `getuploadurl`: the file was not accepted.
    UploadRefused,
    /// `ret` 2: a QR code of another kind of bot.
    WrongBotType,
    /// Anything else.
    Unknown,
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `-2` or `-12`: iLink counts the bot's messages, and this was one too many.
    Messages,
    /// HTTP 429: whoever answers on the way counts requests. It says nothing of messages.
    Requests,
    /// "prepare failed": an age, or a bot that was idle. It says nothing of messages either.
    Unprepared,
}

impl Refusal {
    fn of(endpoint: &str, code: i64, errmsg: &str) -> Refusal {
        let says = |words: &str| errmsg.to_ascii_lowercase().contains(words);
        match code {
            -14 => Refusal::StaleToken,
            -12 => Refusal::RateLimited,
            -2 if says("ilink_user_id") => Refusal::NoPerson,
            -2 if says("prepare failed") => Refusal::PrepareFailed,
            -2 => Refusal::Throttled,
            -3 => Refusal::UnknownPerson,
            -4 => Refusal::NotWrittenYet,
            -1 if endpoint == "getuploadurl" => Refusal::UploadRefused,
            2 if endpoint == "get_bot_qrcode" || endpoint == "get_qrcode_status" => Refusal::WrongBotType,
            _ => Refusal::Unknown,
        }
    }

    /// What a person can do about it; empty where nobody knows.
    pub fn advice(self) -> &'static str {
        match self {
            Refusal::StaleToken => "WeChat no longer accepts this login, log in again",
            Refusal::Throttled | Refusal::RateLimited => {
                "WeChat limits how often the bot may write, sending again now would prolong it"
            }
            Refusal::PrepareFailed => {
                "WeChat does so when the person's last message is too old, and after hours without any message; \
                 what helps is that they write again"
            }
            Refusal::NoPerson => "the request named nobody; report it, with the log",
            Refusal::UnknownPerson => {
                "WeChat knows no such user; ids are case-sensitive, so use the id exactly as it came with the message"
            }
            Refusal::NotWrittenYet => "the person has not written to this bot yet; they must write first",
            Refusal::UploadRefused => "WeChat did not accept the file; try a smaller one, or another kind",
            Refusal::WrongBotType => "WeChat no longer supports this type of bot; update openclaw-weixin-sidecar",
            Refusal::Unknown => "",
        }
    }
}

fn opt(n: &Option<i64>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

impl IlinkError {
    /// What iLink's refusal means; `None` where it was something else that failed.
    pub fn refusal(&self) -> Option<Refusal> {
        let IlinkError::Refused { endpoint, ret, errcode, errmsg } = self else { return None };
        let says = errmsg.as_deref().unwrap_or("");
        let codes = [errcode, ret].into_iter().flatten().filter(|code| **code != 0);
        let classes: Vec<Refusal> = codes.map(|code| Refusal::of(endpoint, *code, says)).collect();
        Some(classes.iter().copied().find(|class| *class != Refusal::Unknown).unwrap_or(Refusal::Unknown))
    }

    /// Whether the account needs a new login.
    pub fn is_stale_token(&self) -> bool {
        self.refusal() == Some(Refusal::StaleToken)
    }

    /// Whether sending has to pause, and what says so.
    pub fn limit(&self) -> Option<Limit> {
        match self.refusal() {
            Some(Refusal::Throttled | Refusal::RateLimited) => Some(Limit::Messages),
            Some(Refusal::PrepareFailed) => Some(Limit::Unprepared),
            _ => matches!(self, IlinkError::Http { status: 429, .. }).then_some(Limit::Requests),
        }
    }

    /// Whether the same request may succeed in a moment: the network, a 5xx, a garbled answer.
    pub fn is_transient(&self) -> bool {
        match self {
            IlinkError::Network { .. } | IlinkError::Malformed { .. } => true,
            IlinkError::Http { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }

    pub(super) fn from_verdict(endpoint: &'static str, verdict: Verdict) -> Option<IlinkError> {
        let ok = verdict.ret.unwrap_or(0) == 0 && verdict.errcode.unwrap_or(0) == 0;
        (!ok).then_some(IlinkError::Refused {
            endpoint,
            ret: verdict.ret,
            errcode: verdict.errcode,
            errmsg: verdict.errmsg.map(|text| shortened(&text)).filter(|m| !m.is_empty()),
        })
    }

    /// What cannot be read. Only where and what kind: the content may hold secrets.
    pub(crate) fn malformed(endpoint: &'static str, error: serde_json::Error) -> IlinkError {
        let detail = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
        IlinkError::Malformed { endpoint, detail }
    }

    /// An error of a request as what it means. A connection that was not made in time says so.
    pub(crate) fn of_request(endpoint: &'static str, error: reqwest::Error) -> IlinkError {
        if error.is_connect() && error.is_timeout() {
            let detail = "no connection in time".to_owned();
            return IlinkError::Network { endpoint, reach: Reach::Timeout, detail };
        }
        IlinkError::from_reqwest(endpoint, error)
    }

    /// An error of the HTTP client.
    pub(crate) fn from_reqwest(endpoint: &'static str, error: reqwest::Error) -> IlinkError {
        let error = error.without_url();
        if error.is_builder() {
            return IlinkError::BadAddress { endpoint, url: String::new(), detail: error.to_string() };
        }
        let mut reach = if error.is_timeout() { Reach::Timeout } else { Reach::Tcp };
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail = cause.to_string();
            if reach != Reach::Timeout {
                if detail.contains("dns error") {
                    reach = Reach::Dns;
                } else if is_tls(cause) {
                    reach = Reach::Tls;
                }
            }
            source = cause.source();
        }
        IlinkError::Network { endpoint, reach, detail }
    }
}

/// The server's words as they may be shown: on one line, not too many, without what a terminal would obey.
fn shortened(text: &str) -> String {
    let plain = text.chars().take(MAX_ERRMSG + 1).map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.collect::<String>().trim().to_owned();
    if short.chars().count() > MAX_ERRMSG {
        short = short.chars().take(MAX_ERRMSG).collect();
        short.push('…');
    }
    short
}

/// Whether a cause is a TLS error. It travels inside an `io::Error` between the libraries, or inside several.
fn is_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    if cause.is::<rustls::Error>() {
        return true;
    }
    let Some(error) = cause.downcast_ref::<io::Error>() else { return false };
    // A server that hangs up on the handshake leaves no error of the TLS library, only these words.
    error.get_ref().is_some_and(|inner| is_tls(inner)) || error.to_string().contains("tls handshake")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(endpoint: &'static str, ret: Option<i64>, errcode: Option<i64>, errmsg: &str) -> IlinkError {
        IlinkError::from_verdict(endpoint, Verdict { ret, errcode, errmsg: Some(errmsg.into()), error: None }).unwrap()
    }

    #[test]
    fn every_code_of_the_reports_is_a_class_of_its_own() {
        let cases = [
            ("getupdates", Some(-14), None, "session timeout", Refusal::StaleToken),
            ("getupdates", None, Some(-14), "", Refusal::StaleToken),
            ("getupdates", Some(-1), Some(-14), "", Refusal::StaleToken),
            ("sendmessage", Some(-2), None, "", Refusal::Throttled),
            ("sendmessage", Some(-2), None, "rate limited", Refusal::Throttled),
            ("sendmessage", Some(-2), None, "unknown error", Refusal::Throttled),
            ("sendmessage", Some(-2), None, "Prepare failed", Refusal::PrepareFailed),
            ("sendtyping", Some(-2), None, "ilink_user_id required", Refusal::NoPerson),
            ("sendmessage", Some(-12), None, "rate limit", Refusal::RateLimited),
            ("sendmessage", Some(-3), None, "", Refusal::UnknownPerson),
            ("getconfig", Some(-4), None, "", Refusal::NotWrittenYet),
            ("getuploadurl", Some(-1), None, "", Refusal::UploadRefused),
            ("sendmessage", Some(-1), None, "", Refusal::Unknown),
            ("get_bot_qrcode", Some(2), None, "", Refusal::WrongBotType),
            ("sendmessage", Some(2), None, "", Refusal::Unknown),
            ("sendmessage", Some(77), None, "", Refusal::Unknown),
        ];
        for (endpoint, ret, errcode, errmsg, class) in cases {
            assert_eq!(refused(endpoint, ret, errcode, errmsg).refusal(), Some(class), "{endpoint} {ret:?} {errmsg:?}");
        }
        assert_eq!(refused("sendtyping", Some(-2), None, "ilink_user_id required").limit(), None);
        assert_eq!(refused("sendmessage", Some(-12), None, "").limit(), Some(Limit::Messages));
        let status = IlinkError::Http { endpoint: "sendmessage", status: 429 };
        assert_eq!(status.limit(), Some(Limit::Requests));
    }

    #[test]
    fn the_servers_words_are_shortened_and_harmless() {
        let text = refused("x", Some(-1), None, &format!("\u{1b}[31m a\nb {}", "长".repeat(100_000))).to_string();
        assert!(text.chars().count() < 400, "{}", text.len());
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
