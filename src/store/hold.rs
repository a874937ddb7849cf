//! Why a send is held, as its row says it.

/// Why a send is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// The sends that the person's last message allows are used up.
    Quota,
    /// The server limits the bot.
    Throttled,
    /// The person has not written yet.
    NoContext,
    /// The person's last message is too old.
    ContextExpired,
    /// The account needs a new login.
    SessionExpired,
    /// The host is not reached.
    Offline,
}

impl HoldReason {
    const ALL: [HoldReason; 6] = [
        HoldReason::Quota,
        HoldReason::Throttled,
        HoldReason::NoContext,
        HoldReason::ContextExpired,
        HoldReason::SessionExpired,
        HoldReason::Offline,
    ];

    /// What the row has. Never changed: rows outlive programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            HoldReason::Quota => "quota",
            HoldReason::Throttled => "throttled",
            HoldReason::NoContext => "no_context",
            HoldReason::ContextExpired => "context_expired",
            HoldReason::SessionExpired => "session_expired",
            HoldReason::Offline => "offline",
        }
    }

    /// What a row says; nothing where a newer program wrote it.
    pub(super) fn from_name(name: &str) -> Option<HoldReason> {
        HoldReason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether nothing has to happen for it to pass.
    pub(super) fn passes_with_time(self) -> bool {
        match self {
            HoldReason::Throttled | HoldReason::Offline => true,
            HoldReason::Quota | HoldReason::NoContext | HoldReason::ContextExpired | HoldReason::SessionExpired => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_is_written() {
        // A new reason does not compile here before it is counted; one that is counted and not in `ALL` is not read.
        let counted = |reason| match reason {
            HoldReason::Quota
            | HoldReason::Throttled
            | HoldReason::NoContext
            | HoldReason::ContextExpired
            | HoldReason::SessionExpired
            | HoldReason::Offline => 6,
        };
        assert_eq!(HoldReason::ALL.len(), counted(HoldReason::Quota));
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::from_name(reason.name()), Some(reason));
        }
    }
}
