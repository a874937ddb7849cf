//! What WeChat allows a bot to send, counted on disk, so that all processes and restarts count together.
//!
//! The budgets: wire messages for each context token, the age of that token, and the pace of the bot: few in any second,
//! and not too many in a minute.
//! A refusal (`ret: -2`) in spite of them closes the conversation, and when it happens again the bot, for growing times;
//! at the end of such a time one message is tried. A success opens both.

use rusqlite::{Connection, OptionalExtension, params};

use super::hold::HoldReason;
use super::learned::{self, Learned};
use super::{AccountNo, Durability, Store, StoreError, now_ms};

/// A refusal closes a conversation for [`QuotaLimits::close_ms`] and the bot for this part of it; each further one in a row
/// doubles both.
const BOTS_SHARE: i64 = 4;
/// "About a second", in which a burst is counted, and a little more.
const BURST_WINDOW_MS: i64 = 1_100;
/// After so many doublings it grows no more.
const DOUBLINGS: i64 = 5;

/// The budgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaLimits {
    /// Wire messages for each context token, where the bot was not found to be allowed fewer.
    pub quota: u32,
    /// How long a context token is good, in milliseconds.
    pub token_ttl_ms: i64,
    /// Wire messages per minute and bot.
    pub per_minute: u32,
    /// Wire messages within a second and bot.
    pub burst: u32,
    /// For how long a first refusal closes a conversation, in milliseconds.
    pub close_ms: i64,
}

/// Whether a wire message may be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendDecision {
    /// Yes, with this context token; it is counted.
    Go {
        /// The context token. Secret.
        token: String,
        /// How many more this token allows.
        left: u32,
    },
    /// Not before so many milliseconds: the bot's pace.
    Wait(i64),
    /// No.
    Hold {
        reason: HoldReason,
        /// When it is worth another look; `None`: when the person writes.
        until_ms: Option<i64>,
    },
}

/// What a refusal changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The bot may send fewer messages than was thought: what waits in the conversation waits for the person.
    QuotaLowered,
    /// The conversation is closed.
    Closed {
        /// Until when, in milliseconds since 1970.
        until_ms: i64,
    },
}

/// What may be sent to a person now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Wire messages that may still be sent.
    pub left: u32,
    /// What one message of the person allows.
    pub limit: u32,
    /// Whether that was learned from refusals.
    pub learned: bool,
    /// When their last message stops allowing any; `None` where they have not written.
    pub window_ends_at: Option<i64>,
    /// Until when the bot has to wait first.
    pub available_at: Option<i64>,
}

impl Allowance {
    /// Whether so many messages may be sent at once, with `reserve` left for what is worth more.
    pub fn has_spare(&self, messages: u32, reserve: u32) -> bool {
        self.left >= messages.saturating_add(reserve) && self.available_at.is_none()
    }
}

impl Store {
    /// What may be sent to a person now.
    pub async fn allowance(
        &self,
        account: AccountNo,
        peer: &str,
        limits: QuotaLimits,
    ) -> Result<Allowance, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| allowance(db, account, &peer, limits, now_ms())).await
    }

    /// Asks for the turn of a wire message, and counts it. A message that was counted for the same token before is not
    /// counted again: it is a retry.
    pub async fn take_turn(
        &self,
        account: AccountNo,
        peer: &str,
        send: i64,
        part: u32,
        limits: QuotaLimits,
    ) -> Result<SendDecision, StoreError> {
        let peer = peer.to_owned();
        // A power cut may forget a turn or two: the quota of the reports is no exact number either.
        self.write(Durability::Process, move |db| take_turn(db, account, &peer, (send, part), limits, now_ms())).await
    }

    /// Whether a wire message would be held now. Nothing is counted.
    pub async fn would_hold(
        &self,
        account: AccountNo,
        peer: &str,
        send: i64,
        part: u32,
        limits: QuotaLimits,
    ) -> Result<Option<SendDecision>, StoreError> {
        let peer = peer.to_owned();
        self.read(move |db| Ok(budget(db, account, &peer, Some((send, part)), limits, now_ms())?.err())).await
    }

    /// Asks for the turn of a message that is not worth a place of its own in the outbox, and counts it. It gets one
    /// only where nothing waits, nobody has to wait for it, and more than `reserve` messages are left after it.
    pub async fn take_spare_turn(
        &self,
        account: AccountNo,
        peer: &str,
        reserve: u32,
        limits: QuotaLimits,
    ) -> Result<Option<String>, StoreError> {
        let peer = peer.to_owned();
        self.write(Durability::Process, move |db| {
            let now = now_ms();
            if !allowance(db, account, &peer, limits, now)?.has_spare(1, reserve) {
                return Ok(None);
            }
            let waiting = db
                .prepare_cached(
                    "SELECT 1 FROM outbound WHERE account = ?1 AND peer = ?2 AND state = 'pending' LIMIT 1",
                )?
                .exists(params![account.0, peer])?;
            let Ok(budget) = budget(db, account, &peer, None, limits, now)? else { return Ok(None) };
            let Ok(pace) = budget.pace.send(limits, now) else { return Ok(None) };
            if waiting || budget.bot_step > 0 {
                return Ok(None);
            }
            count(db, account, &pace, 0)?;
            db.prepare_cached("UPDATE peer SET sends = sends + 1 WHERE account = ?1 AND peer = ?2")?
                .execute(params![account.0, peer])?;
            Ok(Some(budget.token))
        })
        .await
    }

    /// Writes down that the server refused a wire message although the budgets allowed it.
    ///
    /// With `part` it may have been one too many, and the bot's figure is lowered where this was the first refusal.
    pub async fn refused(
        &self,
        account: AccountNo,
        peer: &str,
        part: Option<(i64, u32)>,
        limits: QuotaLimits,
    ) -> Result<Refused, StoreError> {
        let peer = peer.to_owned();
        self.write(Durability::Process, move |db| refused(db, account, &peer, part, limits, now_ms())).await
    }

    /// Whether a refusal to prepare a message may be answered with a new start: once in `every_ms`. Counts as one if so.
    pub async fn may_recover(&self, account: AccountNo, now: i64, every_ms: i64) -> Result<bool, StoreError> {
        self.write(Durability::Process, move |db| {
            // A clock that was set back must not keep a bot from it for ever.
            db.prepare_cached(
                "UPDATE account SET recovery_at = ?2 WHERE no = ?1 AND (recovery_at <= ?2 - ?3 OR recovery_at > ?2)",
            )?
            .execute(params![account.0, now, every_ms])
            .map(|changed| changed > 0)
        })
        .await
    }
}

/// What is left for a wire message that is not held.
struct Budget {
    token: String,
    sends: u32,
    /// What the token allows.
    limit: u32,
    /// It was counted for this token before.
    retry: bool,
    bot_step: i64,
    pace: Pace,
}

/// Looks at the budgets; `Err` is a [`SendDecision::Hold`].
fn budget(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    part: Option<(i64, u32)>,
    limits: QuotaLimits,
    now: i64,
) -> rusqlite::Result<Result<Budget, SendDecision>> {
    let known: Option<(String, i64, u32, i64)> = db
        .prepare_cached(
            "SELECT context_token, token_at, sends, closed_until FROM peer WHERE account = ?1 AND peer = ?2",
        )?
        .query_row(params![account.0, peer], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let hold = |reason, until_ms| Ok(Err(SendDecision::Hold { reason, until_ms }));
    let Some((token, token_at, sends, closed_until)) = known else { return hold(HoldReason::NoContext, None) };
    if now - token_at >= limits.token_ttl_ms {
        return hold(HoldReason::ContextExpired, None);
    }
    let counted: Option<String> = match part {
        Some((send, part)) => db
            .prepare_cached("SELECT counted_for FROM outbound_part WHERE outbound = ?1 AND n = ?2")?
            .query_row(params![send, part], |row| row.get(0))?,
        None => None,
    };
    let retry = counted.as_deref() == Some(token.as_str());
    let limit = Learned::of(db, account)?.limit(limits.quota);
    if !retry && sends >= limit {
        return hold(HoldReason::Quota, None);
    }
    let (bot_closed_until, bot_step, pace) = db
        .prepare_cached("SELECT closed_until, closed_step, bucket, bucket_at, last_sends FROM account WHERE no = ?1")?
        .query_row([account.0], |row| {
            let pace = Pace { bucket: row.get(2)?, at: row.get(3)?, last_sends: times(row.get_ref(4)?.as_str()?) };
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, pace))
        })?;
    let closed = closed_until.max(bot_closed_until);
    if is_closed(closed, limits, now) {
        return hold(HoldReason::Throttled, Some(closed));
    }
    Ok(Ok(Budget { token, sends, limit, retry, bot_step, pace }))
}

/// Whether what is closed until `until` is closed now. A closing that is longer than the longest that is ever set was written
/// before the clock was set back, and is none.
fn is_closed(until: i64, limits: QuotaLimits, now: i64) -> bool {
    until > now && until - now <= closing(limits.close_ms, DOUBLINGS + 1)
}

fn allowance(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    limits: QuotaLimits,
    now: i64,
) -> rusqlite::Result<Allowance> {
    let limit = Learned::of(db, account)?.limit(limits.quota);
    let mut allowance =
        Allowance { left: 0, limit, learned: limit < limits.quota, window_ends_at: None, available_at: None };
    let token_at: Option<i64> = db
        .prepare_cached("SELECT token_at FROM peer WHERE account = ?1 AND peer = ?2")?
        .query_row(params![account.0, peer], |row| row.get(0))
        .optional()?;
    allowance.window_ends_at = token_at.map(|at| at.saturating_add(limits.token_ttl_ms));
    match budget(db, account, peer, None, limits, now)? {
        Ok(budget) => {
            allowance.left = limit.saturating_sub(budget.sends);
            allowance.available_at = budget.pace.send(limits, now).err().map(|wait_ms| now + wait_ms);
        }
        Err(SendDecision::Hold { reason: HoldReason::Throttled, until_ms }) => {
            let sends: u32 = db
                .prepare_cached("SELECT sends FROM peer WHERE account = ?1 AND peer = ?2")?
                .query_row(params![account.0, peer], |row| row.get(0))?;
            allowance.left = limit.saturating_sub(sends);
            allowance.available_at = until_ms;
        }
        Err(_) => {}
    }
    Ok(allowance)
}

fn take_turn(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    (send, part): (i64, u32),
    limits: QuotaLimits,
    now: i64,
) -> rusqlite::Result<SendDecision> {
    let Budget { token, sends, limit, retry, bot_step, pace } =
        match budget(db, account, peer, Some((send, part)), limits, now)? {
            Ok(budget) => budget,
            Err(hold) => return Ok(hold),
        };
    let pace = match pace.send(limits, now) {
        Ok(pace) => pace,
        Err(wait_ms) => return Ok(SendDecision::Wait(wait_ms)),
    };
    // While the bot was refused, this is the one try of its interval: nobody else gets another.
    let next = if bot_step > 0 { now + closing(limits.close_ms / BOTS_SHARE, bot_step) } else { 0 };
    count(db, account, &pace, next)?;
    if !retry {
        db.prepare_cached("UPDATE peer SET sends = sends + 1 WHERE account = ?1 AND peer = ?2")?
            .execute(params![account.0, peer])?;
    }
    db.prepare_cached("UPDATE outbound_part SET counted_for = ?3, tries = tries + 1 WHERE outbound = ?1 AND n = ?2")?
        .execute(params![send, part, token])?;
    Ok(SendDecision::Go { token, left: limit.saturating_sub(sends + u32::from(!retry)) })
}

/// Writes the bot's pace down, and until when it is closed for everybody else.
fn count(db: &Connection, account: AccountNo, pace: &Pace, closed_until: i64) -> rusqlite::Result<()> {
    let last_sends = pace.last_sends.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    db.prepare_cached(
        "UPDATE account SET bucket = ?2, bucket_at = ?3, last_sends = ?4, closed_until = ?5 WHERE no = ?1",
    )?
    .execute(params![account.0, pace.bucket, pace.at, last_sends, closed_until])
    .map(|_| ())
}

/// How fast a bot has been sending.
struct Pace {
    /// What is left of the minute's sends; `None` before the first.
    bucket: Option<f64>,
    /// When that was.
    at: i64,
    /// The times of the last sends, oldest first.
    last_sends: Vec<i64>,
}

impl Pace {
    /// The pace after a send now, or how many milliseconds it has to wait.
    fn send(mut self, limits: QuotaLimits, now: i64) -> Result<Pace, i64> {
        let (per_minute, burst) = (f64::from(limits.per_minute.max(1)), limits.burst.max(1) as usize);
        // A clock that was set back must not stop the bot: what lies ahead does not count.
        self.last_sends.retain(|at| *at <= now && now - at < BURST_WINDOW_MS);
        if let Some(first) = self.last_sends.len().checked_sub(burst).and_then(|n| self.last_sends.get(n)) {
            return Err(first + BURST_WINDOW_MS - now);
        }
        let rate = per_minute / 60_000.0;
        let gained = (now - self.at).max(0) as f64 * rate;
        let left = self.bucket.map_or(per_minute, |bucket| (bucket + gained).min(per_minute));
        if left < 1.0 {
            return Err((((1.0 - left) / rate).ceil() as i64).max(1));
        }
        self.last_sends.push(now);
        Ok(Pace { bucket: Some(left - 1.0), at: now, last_sends: self.last_sends })
    }
}

/// Times as they are stored: separated by spaces.
fn times(text: &str) -> Vec<i64> {
    text.split(' ').filter_map(|time| time.parse().ok()).collect()
}

fn refused(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    part: Option<(i64, u32)>,
    limits: QuotaLimits,
    now: i64,
) -> rusqlite::Result<Refused> {
    let (sends, step): (u32, i64) = db
        .prepare_cached("SELECT sends, closed_step FROM peer WHERE account = ?1 AND peer = ?2")?
        .query_row(params![account.0, peer], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // It was counted before it was sent, and was not taken.
    let taken = sends.saturating_sub(1);
    let uncount = |(send, part): (i64, u32)| {
        db.prepare_cached("UPDATE peer SET sends = ?3 WHERE account = ?1 AND peer = ?2")?
            .execute(params![account.0, peer, taken])?;
        db.prepare_cached("UPDATE outbound_part SET counted_for = NULL WHERE outbound = ?1 AND n = ?2")?
            .execute(params![send, part])
    };
    let known = Learned::of(db, account)?;
    if let Some(part) = part
        && known.quota.is_some()
        && taken >= known.limit(limits.quota)
    {
        // It was on its way when another refusal taught what is allowed: nothing new, and nothing to be punished for.
        uncount(part)?;
        return Ok(Refused::QuotaLowered);
    }
    let bot_step: i64 = db
        .prepare_cached("UPDATE account SET closed_step = closed_step + 1 WHERE no = ?1 RETURNING closed_step")?
        .query_row([account.0], |row| row.get(0))?;
    db.prepare_cached("UPDATE account SET closed_until = ?2 WHERE no = ?1")?
        .execute(params![account.0, now + closing(limits.close_ms / BOTS_SHARE, bot_step)])?;
    // Later refusals in a row say that the bot is being punished, and nothing of how many messages it may send.
    if let Some(part) = part
        && step == 0
        && bot_step == 1
        && learned::refused(db, account, taken, limits.quota, now)?
    {
        uncount(part)?;
        return Ok(Refused::QuotaLowered);
    }
    let until_ms = now + closing(limits.close_ms, step + 1);
    db.prepare_cached("UPDATE peer SET closed_step = ?3, closed_until = ?4 WHERE account = ?1 AND peer = ?2")?
        .execute(params![account.0, peer, step + 1, until_ms])?;
    Ok(Refused::Closed { until_ms })
}

/// The server confirmed a message: where it was the last of its window, that is learned.
pub(super) fn confirmed(
    db: &Connection,
    account: AccountNo,
    peer: &str,
    limits: QuotaLimits,
    now: i64,
) -> rusqlite::Result<()> {
    let sends: Option<u32> = db
        .prepare_cached("SELECT sends FROM peer WHERE account = ?1 AND peer = ?2")?
        .query_row(params![account.0, peer], |row| row.get(0))
        .optional()?;
    learned::confirmed(db, account, sends.unwrap_or(0), limits.quota, now)
}

/// A message went through: nothing is closed any more.
pub(super) fn open(db: &Connection, account: AccountNo, peer: &str) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE peer SET closed_until = 0, closed_step = 0 WHERE account = ?1 AND peer = ?2 AND closed_step > 0",
    )?
    .execute(params![account.0, peer])?;
    db.prepare_cached("UPDATE account SET closed_until = 0, closed_step = 0 WHERE no = ?1 AND closed_step > 0")?
        .execute([account.0])
        .map(|_| ())
}

/// The person wrote: the conversation is open again, and a bot that was refused only once may try at once.
pub(super) fn heard_from(db: &Connection, account: AccountNo, peer: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE peer SET closed_until = 0 WHERE account = ?1 AND peer = ?2 AND closed_until > 0")?
        .execute(params![account.0, peer])?;
    db.prepare_cached("UPDATE account SET closed_until = 0 WHERE no = ?1 AND closed_step = 1")?
        .execute([account.0])
        .map(|_| ())
}

fn closing(first: i64, step: i64) -> i64 {
    first.saturating_mul(1 << (step - 1).clamp(0, DOUBLINGS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::MIGRATIONS;

    const LIMITS: QuotaLimits =
        QuotaLimits { quota: 3, token_ttl_ms: 1_000_000, per_minute: 60, burst: 2, close_ms: 60_000 };
    const A: AccountNo = AccountNo(1);

    /// A database with one account, one person (token at time 0) and one send of ten parts.
    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration).unwrap());
        db.execute_batch(
            "INSERT INTO account (no, account_id) VALUES (1, 'a');
             INSERT INTO peer (account, peer, context_token, token_at) VALUES (1, 'p', 't1', 0);
             INSERT INTO outbound (id, account, peer, state, created_at) VALUES (1, 1, 'p', 'pending', 0);",
        )
        .unwrap();
        for n in 0..10 {
            db.execute(
                "INSERT INTO outbound_part (outbound, n, client_id, text, state) VALUES (1, ?1, 'c', 't', 'pending')",
                [n],
            )
            .unwrap();
        }
        db
    }

    fn turn(db: &Connection, part: u32, now: i64) -> SendDecision {
        take_turn(db, A, "p", (1, part), LIMITS, now).unwrap()
    }

    fn go(left: u32) -> SendDecision {
        SendDecision::Go { token: "t1".into(), left }
    }

    fn closed(db: &Connection, now: i64) -> i64 {
        match refused(db, A, "p", None, LIMITS, now).unwrap() {
            Refused::Closed { until_ms } => until_ms,
            lowered => panic!("{lowered:?}"),
        }
    }

    #[test]
    fn the_quota_of_a_token_is_not_exceeded_and_a_retry_is_not_counted() {
        let db = database();
        assert_eq!(turn(&db, 0, 0), go(2));
        assert_eq!(turn(&db, 0, 10_000), go(2));
        assert_eq!(turn(&db, 1, 20_000), go(1));
        assert_eq!(turn(&db, 2, 30_000), go(0));
        assert_eq!(turn(&db, 3, 40_000), SendDecision::Hold { reason: HoldReason::Quota, until_ms: None });
        // A retry of the last one is still allowed.
        assert_eq!(turn(&db, 2, 50_000), go(0));
    }

    #[test]
    fn an_old_token_and_an_unknown_person_are_held() {
        let db = database();
        assert_eq!(turn(&db, 0, 1_000_000), SendDecision::Hold { reason: HoldReason::ContextExpired, until_ms: None });
        let unknown = take_turn(&db, A, "q", (1, 0), LIMITS, 0).unwrap();
        assert_eq!(unknown, SendDecision::Hold { reason: HoldReason::NoContext, until_ms: None });
    }

    fn no_pace() -> Pace {
        Pace { bucket: None, at: 0, last_sends: Vec::new() }
    }

    #[test]
    fn no_second_sees_more_than_the_burst() {
        let pace =
            no_pace().send(LIMITS, 0).unwrap_or_else(|_| panic!()).send(LIMITS, 300).unwrap_or_else(|_| panic!());
        assert_eq!(pace.send(LIMITS, 400).err(), Some(700));
        let pace =
            no_pace().send(LIMITS, 0).unwrap_or_else(|_| panic!()).send(LIMITS, 300).unwrap_or_else(|_| panic!());
        let pace = pace.send(LIMITS, 1_100).unwrap_or_else(|_| panic!());
        assert_eq!(pace.send(LIMITS, 1_200).err(), Some(200));
    }

    #[test]
    fn no_minute_sees_much_more_than_its_share() {
        let limits = QuotaLimits { per_minute: 6, burst: 100, ..LIMITS };
        let mut pace = no_pace();
        for n in 0..6 {
            pace = pace.send(limits, n).unwrap_or_else(|_| panic!());
        }
        let wait = pace.send(limits, 6).err().unwrap();
        assert!((9_990..=10_000).contains(&wait), "{wait}");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_bot() {
        let db = database();
        turn(&db, 0, 900_000);
        turn(&db, 1, 900_000);
        assert_eq!(turn(&db, 2, 100_000), go(0));
    }

    #[test]
    fn refusals_close_for_growing_times_with_one_try_each_and_a_success_opens() {
        let db = database();
        turn(&db, 0, 0);
        assert_eq!(closed(&db, 0), 60_000);
        assert_eq!(turn(&db, 0, 59_999), SendDecision::Hold { reason: HoldReason::Throttled, until_ms: Some(60_000) });
        assert_eq!(turn(&db, 0, 60_000), go(2));
        // The try is under way: nobody else gets one.
        assert!(matches!(turn(&db, 1, 60_001), SendDecision::Hold { reason: HoldReason::Throttled, .. }));
        assert_eq!(closed(&db, 60_100), 180_100);
        assert_eq!(turn(&db, 0, 180_100), go(2));
        open(&db, A, "p").unwrap();
        assert_eq!(turn(&db, 1, 190_000), go(1));
    }

    #[test]
    fn the_persons_next_message_opens_what_one_refusal_closed() {
        let db = database();
        turn(&db, 0, 0);
        closed(&db, 0);
        heard_from(&db, A, "p").unwrap();
        assert_eq!(turn(&db, 0, 2_000), go(2));
    }

    #[test]
    fn what_was_closed_before_the_clock_was_set_back_is_open() {
        let db = database();
        turn(&db, 0, 900_000);
        closed(&db, 900_000_000);
        assert_eq!(turn(&db, 0, 10_000), go(2));
    }

    #[test]
    fn a_refusal_below_the_figure_lowers_it_and_the_rest_waits_for_the_person() {
        let db = database();
        turn(&db, 0, 0);
        turn(&db, 1, 10_000);
        assert_eq!(refused(&db, A, "p", Some((1, 1)), LIMITS, 10_000).unwrap(), Refused::QuotaLowered);
        let allowed = allowance(&db, A, "p", LIMITS, 10_000).unwrap();
        assert_eq!((allowed.left, allowed.limit, allowed.learned), (0, 1, true));
        assert_eq!(
            turn(&db, 1, 500_000),
            SendDecision::Hold { reason: HoldReason::Quota, until_ms: None },
            "also as a retry"
        );
    }

    #[test]
    fn the_first_refused_message_and_later_refusals_in_a_row_say_nothing_of_a_figure() {
        let db = database();
        turn(&db, 0, 0);
        assert_eq!(refused(&db, A, "p", Some((1, 0)), LIMITS, 0).unwrap(), Refused::Closed { until_ms: 60_000 });
        turn(&db, 1, 70_000);
        assert!(matches!(refused(&db, A, "p", Some((1, 1)), LIMITS, 70_000).unwrap(), Refused::Closed { .. }));
        assert!(!allowance(&db, A, "p", LIMITS, 0).unwrap().learned);
    }

    #[test]
    fn an_allowance_says_what_is_left_and_until_when() {
        let db = database();
        let nobody = allowance(&db, A, "q", LIMITS, 0).unwrap();
        assert_eq!((nobody.left, nobody.window_ends_at), (0, None));
        turn(&db, 0, 0);
        let allowed = allowance(&db, A, "p", LIMITS, 300).unwrap();
        assert_eq!((allowed.left, allowed.window_ends_at, allowed.available_at), (2, Some(1_000_000), None));
        turn(&db, 1, 300);
        assert_eq!(allowance(&db, A, "p", LIMITS, 400).unwrap().available_at, Some(1_100), "the bot's pace");
        closed(&db, 400);
        assert_eq!(allowance(&db, A, "p", LIMITS, 500).unwrap().available_at, Some(60_400));
        assert_eq!(allowance(&db, A, "p", LIMITS, 1_000_000).unwrap().left, 0, "too old");
    }

    #[tokio::test]
    async fn a_recovery_is_tried_once_in_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("state.sqlite")).unwrap();
        let no = store.get_or_create_account(&crate::account_id::AccountId::normalize("b")).await.unwrap().no;
        assert!(store.may_recover(no, 1_000_000, 1_000).await.unwrap());
        assert!(!store.may_recover(no, 1_000_999, 1_000).await.unwrap());
        assert!(store.may_recover(no, 1_001_000, 1_000).await.unwrap());
        assert!(store.may_recover(no, 5_000, 1_000).await.unwrap(), "the clock was set back");
    }
}
