//! Tokens whose `Debug` and `Display` show nothing, so that no log, error or panic can.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a token; `None` where it is blank.
            pub fn new(token: &str) -> Option<$name> {
                let token = token.trim();
                (!token.is_empty()).then(|| $name(token.to_owned()))
            }

            /// The token itself, for the wire and for the account file only.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret! {
    /// What authorises a bot.
    BotToken
}
secret! {
    /// What a person's message allows the bot to answer with.
    ContextToken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_shows_itself() {
        let token = BotToken::new(" s3cret ").unwrap();
        assert_eq!(format!("{token:?}"), "BotToken(…)");
        assert_eq!(token.reveal(), "s3cret");
        assert!(ContextToken::new("  ").is_none());
    }
}
