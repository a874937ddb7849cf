//! Where a line of Markdown really starts, and which lines are code.
//!
//! The filter (`markdown.rs`) must leave code alone and the splitter (`chunk.rs`) must not tear it, so both read fences
//! through this module and cannot disagree. It follows [CommonMark](https://spec.commonmark.org/0.31.2/#fenced-code-blocks)
//! with one liberty: a fence may be indented by any amount, because in a list it is, and this module keeps no list state.

/// Quote and list markers that one line may stack up before its text. People use three; the bound keeps a line of a
/// million markers linear.
const MAX_MARKERS: usize = 32;

/// What stands before the text of a line: quote markers, list markers, white space.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lead {
    /// Bytes before the text.
    pub(super) len: usize,
    /// How many `>` are among them.
    pub(super) quotes: usize,
    /// Characters after the last `>`: the indentation that the text has inside its quote.
    pub(super) indent: usize,
    /// Whether a list item starts on this line.
    pub(super) item: bool,
}

impl Lead {
    /// Reads the lead of `line` (which has no line end).
    pub(super) fn of(line: &str) -> Self {
        let mut lead = Self::default();
        let mut after_quote = 0;
        for _ in 0..MAX_MARKERS {
            lead.len += blank_len(&line[lead.len..]);
            let rest = &line[lead.len..];
            if rest.starts_with('>') {
                lead.len += 1;
                lead.quotes += 1;
                after_quote = lead.len;
            } else if let Some(marker) = list_marker_len(rest).filter(|_| !is_rule(rest)) {
                lead.len += marker;
                lead.item = true;
            } else {
                break;
            }
        }
        lead.len += blank_len(&line[lead.len..]);
        lead.indent = lead.len - after_quote; // All of it is ASCII: bytes are characters.
        lead
    }
}

/// An open code fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    mark: u8,
    len: usize,
    lead: Lead,
}

/// What a line is to an open fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FenceLine {
    Inside,
    /// The closing fence.
    Closes,
    /// No part of it: the quote that held the fence is over, and the fence with it.
    Beyond,
}

impl Fence {
    /// The fence that `text`, the part of a line after its `lead`, opens.
    pub(super) fn opened_by(text: &str, lead: Lead) -> Option<Self> {
        let mark = *text.as_bytes().first().filter(|b| matches!(b, b'`' | b'~'))?;
        let len = run_len(text, mark);
        // With a backtick in the rest of the line it is inline code: ```like this```.
        if len < 3 || (mark == b'`' && text[len..].contains('`')) {
            return None;
        }
        Some(Self { mark, len, lead })
    }

    /// What `line` is to this fence.
    pub(super) fn line(&self, line: &str) -> FenceLine {
        let mut rest = line;
        for _ in 0..self.lead.quotes {
            match rest[blank_len(rest)..].strip_prefix('>') {
                Some(inner) => rest = inner,
                None => return FenceLine::Beyond,
            }
        }
        let indent = blank_len(rest);
        let run = run_len(&rest[indent..], self.mark);
        let closes = indent <= self.lead.indent + 3 && run >= self.len && rest[indent + run..].trim_ascii().is_empty();
        if closes { FenceLine::Closes } else { FenceLine::Inside }
    }

    /// The fence characters alone, as many as opened it.
    pub(super) fn marks(&self) -> String {
        char::from(self.mark).to_string().repeat(self.len)
    }
}

/// Whether `text` is a thematic break: three or more of one of `-`, `*`, `_`, and nothing else but white space.
pub(super) fn is_rule(text: &str) -> bool {
    let Some(&mark) = text.as_bytes().first().filter(|b| matches!(b, b'-' | b'*' | b'_')) else {
        return false;
    };
    let mut count = 0;
    for byte in text.bytes() {
        match byte {
            b' ' | b'\t' => {}
            b if b == mark => count += 1,
            _ => return false,
        }
    }
    count >= 3
}

/// Length of the run of `byte` at the start of `text`.
pub(super) fn run_len(text: &str, byte: u8) -> usize {
    text.bytes().take_while(|b| *b == byte).count()
}

/// Length of the spaces and tabs at the start of `text`.
pub(super) fn blank_len(text: &str) -> usize {
    text.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// Length of `-`, `+`, `*`, `1.` or `1)` at the start of `text`, when white space follows.
fn list_marker_len(text: &str) -> Option<usize> {
    let len = match text.as_bytes().first()? {
        b'-' | b'+' | b'*' => 1,
        b'0'..=b'9' => {
            let digits = text.bytes().take(10).take_while(u8::is_ascii_digit).count();
            let closed = matches!(text.as_bytes().get(digits), Some(b'.' | b')'));
            (digits < 10 && closed).then_some(digits + 1)?
        }
        _ => return None,
    };
    matches!(text.as_bytes().get(len), Some(b' ' | b'\t')).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(line: &str) -> Option<Fence> {
        let lead = Lead::of(line);
        Fence::opened_by(&line[lead.len..], lead)
    }

    #[test]
    fn the_lead_of_a_line_is_its_quote_and_list_markers() {
        let lead = |len, quotes, indent, item| Lead { len, quotes, indent, item };
        assert_eq!(Lead::of("text"), lead(0, 0, 0, false));
        assert_eq!(Lead::of("  text"), lead(2, 0, 2, false));
        assert_eq!(Lead::of("> > text"), lead(4, 2, 1, false));
        assert_eq!(Lead::of("> - text"), lead(4, 1, 3, true));
        assert_eq!(Lead::of("12) text"), lead(4, 0, 4, true));
        assert_eq!(Lead::of("- [ ] task"), lead(2, 0, 2, true));
        assert_eq!(Lead::of("* * *"), lead(0, 0, 0, false), "a rule is no list");
        assert_eq!(Lead::of("1.5 metres"), lead(0, 0, 0, false));
        assert_eq!(Lead::of("*emphasis*"), lead(0, 0, 0, false));
    }

    #[test]
    fn a_fence_opens_with_three_backticks_or_tildes() {
        assert_eq!(open("```rust").unwrap().marks(), "```");
        assert_eq!(open("> ~~~~").unwrap().marks(), "~~~~");
        assert_eq!(open("1. ```sh").unwrap().marks(), "```");
        assert!(open("``").is_none());
        assert!(open("```inline```").is_none());
        assert!(open("text ```").is_none());
        assert!(open("~~~ a`b").is_some(), "a backtick may follow tildes");
    }

    #[test]
    fn a_fence_closes_with_as_many_of_the_same_mark_and_nothing_after() {
        let fence = open("````md").unwrap();
        assert_eq!(fence.line("```"), FenceLine::Inside);
        assert_eq!(fence.line("~~~~"), FenceLine::Inside);
        assert_eq!(fence.line("```` x"), FenceLine::Inside);
        assert_eq!(fence.line("    ````"), FenceLine::Inside, "indented by four");
        assert_eq!(fence.line("  `````  "), FenceLine::Closes);
        assert_eq!(open("   - ```").unwrap().line("     ```"), FenceLine::Closes);
    }

    #[test]
    fn a_fence_in_a_quote_ends_with_the_quote() {
        let fence = open("> ```").unwrap();
        assert_eq!(fence.line("> code"), FenceLine::Inside);
        assert_eq!(fence.line("```"), FenceLine::Beyond);
        assert_eq!(fence.line("> ```"), FenceLine::Closes);
    }
}
