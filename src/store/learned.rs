//! How many messages WeChat allows a bot for each that it gets. Users report figures from 4 to 10, different for different
//! bots; nobody knows why. So a refusal below the configured figure lowers it for that bot, and confirmed sends raise it
//! again, slowly: each step is a try that may be refused, and refusals are what a bot is punished for.
//!
//! A *window* is what one message of a person allows. It is full when its last message was confirmed.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{AccountNo, Durability, Store, StoreError};

/// So many windows have to be full before one message more is tried.
const FIRST_PATIENCE: i64 = 50;
/// After a try that was refused so many times as many.
const MORE_PATIENCE: i64 = 3;
/// At most.
const MOST_PATIENCE: i64 = 5_000;
/// After a try that was not: WeChat has changed its mind. Also for a figure that no bot was reported to have: most likely the
/// refusal was for something else.
const LITTLE_PATIENCE: i64 = 4;
/// The lowest figure that users report.
const LOWEST_REPORTED: u32 = 4;
/// A figure that is this old is tried again with the next full window: few bots fill many. As patience grows, so does this.
const STALE_MS: i64 = 24 * 3600 * 1000;

/// What is known of a bot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// What one message of a person allows; `None`: as configured.
    pub quota: Option<u32>,
    at: i64,
    full_windows: i64,
    patience: i64,
    /// Whether the figure was raised and has not been seen to hold.
    probing: bool,
}

impl Learned {
    pub fn of(db: &Connection, account: AccountNo) -> rusqlite::Result<Learned> {
        db.prepare_cached(
            "SELECT learned_quota, learned_at, full_windows, patience, probing FROM account WHERE no = ?1",
        )?
        .query_row([account.0], |row| {
            Ok(Learned {
                quota: row.get(0)?,
                at: row.get(1)?,
                full_windows: row.get(2)?,
                patience: row.get(3)?,
                probing: row.get(4)?,
            })
        })
    }

    /// What one message of a person allows this bot.
    pub fn limit(&self, configured: u32) -> u32 {
        self.quota.map_or(configured, |quota| quota.min(configured))
    }

    fn write(&self, db: &Connection, account: AccountNo) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE account SET learned_quota = ?2, learned_at = ?3, full_windows = ?4, patience = ?5, probing = ?6
             WHERE no = ?1",
        )?
        .execute(params![account.0, self.quota, self.at, self.full_windows, self.patience, self.probing])
        .map(|_| ())
    }

    /// WeChat refused a message after it had taken `taken` in the same window.
    fn refused(self, taken: u32, now: i64) -> Learned {
        let of_a_try = self.probing && self.quota == Some(taken + 1);
        let patience = match of_a_try {
            true => (self.patience * MORE_PATIENCE).clamp(FIRST_PATIENCE, MOST_PATIENCE),
            false if taken < LOWEST_REPORTED => LITTLE_PATIENCE,
            false => FIRST_PATIENCE,
        };
        Learned { quota: Some(taken), at: now, full_windows: 0, patience, probing: false }
    }

    /// The last message of a window was confirmed.
    fn filled(self, configured: u32, now: i64) -> Learned {
        let Some(quota) = self.quota.filter(|quota| *quota < configured) else { return Learned::default() };
        let mut next = self;
        if self.probing {
            (next.probing, next.patience, next.full_windows, next.at) = (false, LITTLE_PATIENCE, 0, now);
        }
        next.full_windows += 1;
        let stale = STALE_MS * (next.patience / FIRST_PATIENCE).max(1);
        if next.full_windows >= next.patience || !(0..stale).contains(&(now - next.at)) {
            (next.quota, next.probing, next.full_windows, next.at) = (Some(quota + 1), true, 0, now);
        }
        next
    }
}

/// Learns from a refusal after `taken` messages of the same window. Returns whether it lowers what the bot may send.
pub(super) fn refused(
    db: &Connection,
    account: AccountNo,
    taken: u32,
    configured: u32,
    now: i64,
) -> rusqlite::Result<bool> {
    let learned = Learned::of(db, account)?;
    if taken == 0 || taken >= learned.limit(configured) {
        return Ok(false);
    }
    learned.refused(taken, now).write(db, account)?;
    Ok(true)
}

/// Learns from a confirmed message, the `sends`th of its window.
pub(super) fn confirmed(
    db: &Connection,
    account: AccountNo,
    sends: u32,
    configured: u32,
    now: i64,
) -> rusqlite::Result<()> {
    let learned = Learned::of(db, account)?;
    match learned.quota {
        Some(_) if sends >= learned.limit(configured) => learned.filled(configured, now).write(db, account),
        _ => Ok(()),
    }
}

impl Store {
    /// How many messages one message of a person allows a bot, and whether that was learned.
    pub async fn quota(&self, account: AccountNo, configured: u32) -> Result<(u32, bool), StoreError> {
        self.read(move |db| {
            let limit = Learned::of(db, account)?.limit(configured);
            Ok((limit, limit < configured))
        })
        .await
    }

    /// What was learned of each bot that is allowed fewer messages than others, by account id.
    pub async fn learned_quotas(&self) -> Result<HashMap<String, u32>, StoreError> {
        self.read(|db| {
            db.prepare_cached("SELECT account_id, learned_quota FROM account WHERE learned_quota IS NOT NULL")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .await
    }

    /// Forgets what was learned of a bot.
    pub async fn reset_quota(&self, account: AccountNo) -> Result<(), StoreError> {
        self.write(Durability::Process, move |db| Learned::default().write(db, account)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows with a server that allows `allowed` in each: returns refusals and the figure after them.
    fn windows(learned: &mut Learned, allowed: u32, count: usize, now: i64) -> (usize, Option<u32>) {
        let mut refusals = 0;
        for _ in 0..count {
            let limit = learned.limit(10);
            if limit > allowed {
                refusals += 1;
                *learned = learned.refused(allowed, now);
            } else if learned.quota.is_some() {
                *learned = learned.filled(10, now);
            }
        }
        (refusals, learned.quota)
    }

    #[test]
    fn a_server_that_allows_four_refuses_at_most_three_in_a_thousand_sends() {
        let mut learned = Learned::default();
        let (refusals, quota) = windows(&mut learned, 4, 250, 1);
        assert!(refusals <= 3, "{refusals}");
        assert_eq!(quota, Some(4));
        let (refusals, _) = windows(&mut learned, 4, 2_500, 1);
        assert!(refusals <= 3, "{refusals} in ten thousand more");
    }

    #[test]
    fn so_it_does_to_a_bot_that_fills_few_windows_a_day() {
        let refused = |a_day: i64| {
            let mut learned = Learned::default();
            let windows = |window| windows(&mut learned, 4, 1, window / a_day * STALE_MS).0;
            (0..250).map(windows).sum::<usize>()
        };
        let in_a_thousand_sends = [1, 2, 10, 50].map(refused);
        assert_eq!(in_a_thousand_sends, [7, 6, 4, 3], "by windows a day");
    }

    #[test]
    fn a_figure_that_nobody_has_is_soon_raised_again() {
        let mut learned = Learned::default().refused(1, 1);
        let (refusals, quota) = windows(&mut learned, 10, 45, 1);
        assert_eq!((refusals, quota), (0, None), "a refusal for something else is made good");
        // And where it is true it is found out once more, and believed.
        let mut learned = Learned::default().refused(1, 1);
        assert_eq!(windows(&mut learned, 1, 1_000, 1).0, 4);
    }

    #[test]
    fn a_server_that_allows_more_again_is_believed_step_by_step() {
        let mut learned = Learned::default();
        windows(&mut learned, 4, 60, 1);
        let (refusals, quota) = windows(&mut learned, 10, 200, 1);
        assert_eq!((refusals, quota), (0, None), "as configured again");
    }

    #[test]
    fn a_figure_of_yesterday_is_tried_again_with_the_next_full_window() {
        let mut learned = Learned::default().refused(5, 1);
        assert_eq!(windows(&mut learned, 10, 1, 1 + STALE_MS).1, Some(6));
        assert!(learned.probing);
        let (refusals, _) = windows(&mut learned, 5, 1, 2 + STALE_MS);
        assert_eq!((refusals, learned.patience), (1, 150));
    }
}
