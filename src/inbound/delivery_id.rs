//! The name of a delivery: `<account id>:<key>`. It is made of what the server said, so it is the same in every attempt,
//! after a restart, and even after the loss of the database.

use std::fmt;

use crate::contract::AccountId;

/// Names one message of one account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId {
    pub account: AccountId,
    /// The message's key in its account.
    pub key: u64,
}

impl DeliveryId {
    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<DeliveryId> {
        let (account, key) = text.rsplit_once(':')?;
        let id = AccountId::normalize(account);
        (id.as_str() == account).then_some(())?;
        Some(DeliveryId { account: id, key: key.parse().ok()? })
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.account, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_writes() {
        let id = DeliveryId { account: AccountId::normalize("b1@im.bot"), key: u64::MAX };
        assert_eq!(id.to_string(), "b1-im-bot:18446744073709551615");
        assert_eq!(DeliveryId::parse(&id.to_string()), Some(id));
        for wrong in ["", "b1-im-bot", "b1-im-bot:", "b1-im-bot:x", "B1:1", "b1:-1"] {
            assert_eq!(DeliveryId::parse(wrong), None, "{wrong}");
        }
    }
}
