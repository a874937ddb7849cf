//! How long, how much, with what: from the environment.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};

/// People who write to each bot.
pub const PEOPLE: u64 = 3;
/// Messages a minute for an account: a bot may send 40, some answers are several, and what was held comes on top.
const PER_ACCOUNT: f64 = 30.0;
/// How many texts of an account are kept for quotes.
pub const TEXTS: i64 = 200;
/// How long files are kept.
pub const FILES: Duration = Duration::from_secs(360);
/// For how long a first refusal closes a conversation; a minute would leave nothing to see of what follows.
pub const CLOSE_MS: &str = "3000";

/// What is to be done.
pub struct Plan {
    /// From the first message to the last.
    pub time: Duration,
    /// How much of it one process lives, before the restarts begin.
    pub one_life: Duration,
    pub accounts: usize,
    /// Messages a second, over all accounts.
    pub rate: f64,
    pub binary: PathBuf,
    pub csv: PathBuf,
}

impl Plan {
    pub fn from_env() -> Plan {
        let time = Duration::from_secs(value("WEIXIN_SOAK_S", 3600));
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (accounts, rate) = (value("WEIXIN_SOAK_ACCOUNTS", 100), value("WEIXIN_SOAK_RATE", 8.0));
        let most = accounts as f64 * PER_ACCOUNT / 60.0;
        assert!(rate <= most, "{accounts} accounts can answer {most} messages a second; lower WEIXIN_SOAK_RATE");
        Plan {
            time,
            one_life: time * 2 / 3,
            accounts,
            rate,
            binary: value("WEIXIN_SOAK_BINARY", PathBuf::from(env!("CARGO_BIN_EXE_openclaw-weixin-sidecar"))),
            csv: value("WEIXIN_SOAK_CSV", tmp.join("soak.csv")),
        }
    }

    /// The shortest and the longest life after the first one, in milliseconds.
    pub fn lives(&self) -> (u64, u64) {
        let time = self.time.as_millis() as u64;
        ((time / 90).clamp(5_000, 40_000), (time / 20).clamp(15_000, 180_000))
    }

    /// The settings: limits that are met within the hour. `turn` makes one differ from the next.
    pub fn config(&self, turn: u64) -> Value {
        json!({
            "botAgent": format!("soak/{turn}"),
            "mediaMaxMb": if turn.is_multiple_of(2) { 100 } else { 50 },
            "quoteCache": {
                "maxMessagesPerAccount": TEXTS,
                "mediaRetentionDays": FILES.as_secs_f64() / 86_400.0,
            },
            "outbox": { "notice": false },
        })
    }
}

fn value<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a value")),
        Err(_) => default,
    }
}
