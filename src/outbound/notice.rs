//! "The rest follows when you write": what the last message says that a context token allows.

use crate::contract::{Locale, TEXT_CHUNK_LIMIT};

/// `text` with the notice under it; without, where it does not fit.
pub fn with_notice(text: &str, locale: Locale) -> String {
    let notice = match locale {
        Locale::ZhCn => "（还有未发完的消息，回复任意内容即可继续接收）",
        Locale::En => "(There is more. Write anything and the rest follows.)",
    };
    if text.chars().count() + notice.chars().count() + 2 > TEXT_CHUNK_LIMIT {
        return text.to_owned();
    }
    format!("{text}\n\n{notice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_never_makes_a_message_too_long() {
        assert!(with_notice("a", Locale::En).starts_with("a\n\n(There is more."));
        let full = "x".repeat(TEXT_CHUNK_LIMIT);
        assert_eq!(with_notice(&full, Locale::En), full);
    }
}
