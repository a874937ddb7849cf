//! Text of strangers where people read it: names of files, lines in a terminal.

/// Characters that take no place, or turn the direction of text: they hide what a name or a line is. Terminals obey control
/// characters, so those count too.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line of what can be seen in a text; what separates its lines is a blank.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\n' | '\t' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .filter(|c| !is_hidden(*c))
        .collect()
}

/// What can be seen of a text, with its lines.
pub fn lines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !is_hidden(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys_or_that_hides() {
        let text = "a\x1b]0;title\x07b\r\n\tc\u{9b}31m\u{202e}d\u{e0041}\u{ad}\u{2028}e 微信 👍🏽";
        assert_eq!(line(text), "a]0;titleb  c31md e 微信 👍🏽");
        assert_eq!(lines(text), "a]0;titleb\nc31mde 微信 👍🏽");
    }
}
