//! What people ask of the hub itself, in a message.

/// What a person asks of the hub itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonCommand<'a> {
    List,
    Use(&'a str),
}

/// Reads one; anything else is a message for a backend.
pub fn parse(text: &str) -> Option<PersonCommand<'_>> {
    let text = text.trim();
    let (word, rest) = match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    };
    match word.to_ascii_lowercase().as_str() {
        "/agents" | "/智能体" if rest.is_empty() => Some(PersonCommand::List),
        "/use" | "/切换" if rest.is_empty() => Some(PersonCommand::List),
        "/use" | "/切换" if !rest.contains(char::is_whitespace) => Some(PersonCommand::Use(rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_in_both_languages_and_nothing_else_is_one() {
        for (text, asked) in [
            ("/agents", Some(PersonCommand::List)),
            (" /智能体 ", Some(PersonCommand::List)),
            ("/use hermes", Some(PersonCommand::Use("hermes"))),
            ("/切换　小明", Some(PersonCommand::Use("小明"))),
            ("/USE Hermes", Some(PersonCommand::Use("Hermes"))),
            ("/use", Some(PersonCommand::List)),
            ("/use a tool to do it", None),
            ("/agents please", None),
            ("use hermes", None),
            ("", None),
        ] {
            assert_eq!(parse(text), asked, "{text}");
        }
    }
}
