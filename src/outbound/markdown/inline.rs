//! The inline syntax of one scope: finds images and the emphasis that WeChat cannot show.
//!
//! One walk over the text collects emphasis markers and open brackets, stepping over escapes, inline code and addresses;
//! a closing bracket decides whether it ends an image, a link or nothing. Emphasis is matched when a link or the scope is
//! complete, because no emphasis reaches out of a link. Every search is bounded or amortised: see the notes.

mod emphasis;

use std::collections::HashMap;
use std::ops::Range;

use emphasis::Run;

use super::Definitions;
use crate::outbound::fence::run_len;

/// CommonMark's bound on the length of a label, here in bytes.
const MAX_LABEL: usize = 999;

/// Finds what is to be removed from `text[scope]` and adds it to `removals`, as ranges of `text`.
pub(super) fn scan(text: &str, scope: Range<usize>, definitions: &mut Definitions, removals: &mut Vec<Range<usize>>) {
    let base = scope.start;
    let scanned = Scanner::over(&text[scope], definitions);
    removals.extend(scanned.removals.into_iter().map(|range| base + range.start..base + range.end));
}

/// Finds each `<` of `text[scope]` behind which a tag could begin, outside code, and adds where it is to `found`.
pub(super) fn tags(text: &str, scope: Range<usize>, definitions: &mut Definitions, found: &mut Vec<usize>) {
    let base = scope.start;
    found.extend(Scanner::over(&text[scope], definitions).tags.into_iter().map(|at| base + at));
}

impl<'a> Scanner<'a> {
    /// What was found in `text`.
    fn over(text: &'a str, definitions: &'a mut Definitions) -> Scanner<'a> {
        let mut scanner = Scanner::new(text, definitions);
        scanner.scan();
        scanner
    }

    fn new(text: &'a str, definitions: &'a mut Definitions) -> Scanner<'a> {
        Scanner {
            text,
            definitions,
            removals: Vec::new(),
            tags: Vec::new(),
            runs: Vec::new(),
            cjk: Vec::new(),
            brackets: Vec::new(),
            no_link_below: 0,
            last_image: None,
            backticks: None,
        }
    }
}

/// Whether a tag could begin with a `<` that this follows.
fn could_be_tag(next: Option<&u8>) -> bool {
    next.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!'))
}

struct Scanner<'a> {
    text: &'a str,
    definitions: &'a mut Definitions,
    removals: Vec<Range<usize>>,
    /// Each `<` behind which a tag could begin.
    tags: Vec<usize>,
    /// Emphasis markers that are not matched yet.
    runs: Vec<Run>,
    /// Where CJK characters stand, ascending; those in addresses and images are not counted.
    cjk: Vec<usize>,
    brackets: Vec<Bracket>,
    /// Links hold no links: `[` below this height of the stack cannot open one any more.
    no_link_below: usize,
    last_image: Option<Image>,
    /// Built when the first backtick is met.
    backticks: Option<Backticks>,
}

/// A `[` or `![` without its `]` yet, and how much had been found when it came.
struct Bracket {
    at: usize,
    image: bool,
    /// Another bracket has opened inside, so what it encloses cannot be a label. This also keeps the labels that are
    /// looked up from overlapping, and so their total length linear.
    nested: bool,
    runs: usize,
    cjk: usize,
    removals: usize,
}

struct Image {
    range: Range<usize>,
    alt: Range<usize>,
}

/// What follows a `]`, with its length.
enum Tail {
    /// `(address "title")`
    Inline(usize),
    /// `[label]`, and where the label is
    Full(usize, Range<usize>),
    /// `[]`
    Collapsed,
    None,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        let text = self.text;
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at = match byte {
                // An escaped one too: whoever takes it for a tag knows no escapes.
                b'<' if could_be_tag(bytes.get(at + 1)) => {
                    self.tags.push(at);
                    at + 1
                }
                b'\\' if bytes.get(at + 1) == Some(&b'<') => at + 1,
                b'\\' if bytes.get(at + 1).is_some_and(u8::is_ascii_punctuation) => at + 2,
                b'`' => self.code(at),
                b'!' if bytes.get(at + 1) == Some(&b'[') => self.open_bracket(at, true),
                b'[' => self.open_bracket(at, false),
                b']' => self.close_bracket(at),
                b'*' | b'_' => {
                    let run = Run::at(text, at);
                    let end = run.end;
                    self.runs.push(run);
                    end
                }
                b'h' => at + address_len(&text[at..]).max(1),
                _ if byte.is_ascii() => at + 1,
                _ => self.beyond_ascii(at),
            };
        }
        emphasis::strip(&mut self.runs, 0, &self.cjk, &mut self.removals);
    }

    fn beyond_ascii(&mut self, at: usize) -> usize {
        let Some(c) = self.text[at..].chars().next() else {
            return self.text.len();
        };
        if is_cjk(c) {
            self.cjk.push(at);
        }
        at + c.len_utf8()
    }

    /// Steps over the inline code that the backticks at `at` open, or over the backticks alone.
    fn code(&mut self, at: usize) -> usize {
        let text = self.text;
        let len = run_len(&text[at..], b'`');
        let backticks = self.backticks.get_or_insert_with(|| Backticks::of(text));
        let Some(closing) = backticks.next(len, at + len) else {
            return at + len;
        };
        let code = at + len..closing;
        self.cjk.extend(text[code.clone()].char_indices().filter(|(_, c)| is_cjk(*c)).map(|(i, _)| code.start + i));
        closing + len
    }

    fn open_bracket(&mut self, at: usize, image: bool) -> usize {
        if let Some(outer) = self.brackets.last_mut() {
            outer.nested = true;
        }
        let (runs, cjk, removals) = (self.runs.len(), self.cjk.len(), self.removals.len());
        self.brackets.push(Bracket { at, image, nested: false, runs, cjk, removals });
        at + if image { 2 } else { 1 }
    }

    /// Decides what the `]` at `at` ends; returns where to go on.
    fn close_bracket(&mut self, at: usize) -> usize {
        let Some(bracket) = self.brackets.pop() else {
            return at + 1;
        };
        let may_be_link = self.brackets.len() >= self.no_link_below;
        self.no_link_below = self.no_link_below.min(self.brackets.len());
        if !bracket.image && !may_be_link {
            return at + 1;
        }
        let content = bracket.at + if bracket.image { 2 } else { 1 }..at;
        let (end, label) = match tail(&self.text[at + 1..]) {
            Tail::Inline(len) => (at + 1 + len, None),
            Tail::Full(len, label) => (at + 1 + len, Some(at + 1 + label.start..at + 1 + label.end)),
            Tail::Collapsed => (at + 3, Some(content.clone())),
            Tail::None => (at + 1, Some(content.clone())),
        };
        let explicit = end > at + 1;
        let by_label = label.is_some();
        let can_be_label = |l: &Range<usize>| *l != content || (!bracket.nested && l.len() <= MAX_LABEL);
        let definition = label.filter(can_be_label).and_then(|label| self.definitions.get(&self.text[label]));
        let defined = definition.is_some();
        if let Some(definition) = definition {
            definition.used_by_image |= bracket.image;
            definition.used_by_link |= !bracket.image;
        }
        if bracket.image {
            if !explicit && !defined {
                return at + 1;
            }
            self.image(&bracket, content, end);
        } else {
            if by_label && !defined {
                return at + 1;
            }
            self.link(&bracket, content);
        }
        end
    }

    /// Removes an image, and forgets all that was found in it.
    fn image(&mut self, bracket: &Bracket, alt: Range<usize>, end: usize) {
        self.runs.truncate(bracket.runs);
        self.cjk.truncate(bracket.cjk);
        self.removals.truncate(bracket.removals);
        self.removals.push(bracket.at..end);
        self.last_image = Some(Image { range: bracket.at..end, alt });
    }

    /// Completes a link; its text is never empty because of an image.
    fn link(&mut self, bracket: &Bracket, content: Range<usize>) {
        emphasis::strip(&mut self.runs, bracket.runs, &self.cjk, &mut self.removals);
        self.no_link_below = self.brackets.len();
        let Some(image) = self.last_image.take_if(|image| image.range.start >= content.start) else {
            return;
        };
        let blank = |range: Range<usize>| self.text[range].trim().is_empty();
        if blank(content.start..image.range.start) && blank(image.range.end..content.end) && !blank(image.alt.clone()) {
            self.removals.truncate(bracket.removals);
            self.removals.push(image.range.start..image.alt.start);
            self.removals.push(image.alt.end..image.range.end);
        }
    }
}

/// Where runs of backticks begin, by their length. A run is looked for at ascending positions only, so each list is
/// walked once.
struct Backticks(HashMap<usize, std::iter::Peekable<std::vec::IntoIter<usize>>>);

impl Backticks {
    fn of(text: &str) -> Self {
        let mut starts: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('`') {
            let start = at + found;
            let len = run_len(&text[start..], b'`');
            starts.entry(len).or_default().push(start);
            at = start + len;
        }
        Self(starts.into_iter().map(|(len, starts)| (len, starts.into_iter().peekable())).collect())
    }

    /// The first run of exactly `len` backticks at or behind `from`.
    fn next(&mut self, len: usize, from: usize) -> Option<usize> {
        let starts = self.0.get_mut(&len)?;
        while starts.next_if(|start| *start < from).is_some() {}
        starts.peek().copied()
    }
}

/// Reads what stands behind a `]`.
fn tail(text: &str) -> Tail {
    if text.starts_with("[]") {
        return Tail::Collapsed;
    }
    if let Some(rest) = text.strip_prefix('[') {
        return match label_len(rest) {
            Some(len) => Tail::Full(len + 2, 1..1 + len),
            None => Tail::None,
        };
    }
    inline_tail_len(text).map_or(Tail::None, Tail::Inline)
}

/// Length of `(address "title")` at the start of `text`.
fn inline_tail_len(text: &str) -> Option<usize> {
    let space = |at: usize| text[at..].bytes().take_while(u8::is_ascii_whitespace).count();
    let mut at = text.starts_with('(').then_some(1)?;
    at += space(at);
    at += destination_len(&text[at..])?;
    let gap = space(at);
    if gap > 0
        && let Some(title) = title_len(&text[at + gap..])
    {
        at += gap + title;
    }
    at += space(at);
    text[at..].starts_with(')').then_some(at + 1)
}

/// Length of the label at the start of `text`, which begins behind its `[`; its `]` follows.
pub(super) fn label_len(text: &str) -> Option<usize> {
    let (len, end) = find_unescaped(text.as_bytes(), MAX_LABEL, b"[]")?;
    (end == b']' && !text[..len].trim().is_empty()).then_some(len)
}

/// Length of the link address at the start of `text`: `<anything on the line>`, or no white space and balanced
/// parentheses. It may be empty.
///
/// Nesting is limited as CommonMark allows: it is what bounds how often a text of `](](](` is read.
pub(super) fn destination_len(text: &str) -> Option<usize> {
    const MAX_NESTING: usize = 32;
    if let Some(rest) = text.strip_prefix('<') {
        let (len, end) = find_unescaped(rest.as_bytes(), rest.len(), b"<>\n")?;
        return (end == b'>').then_some(len + 2);
    }
    let mut open = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if byte.is_ascii_whitespace() || byte.is_ascii_control() => {
                return (open == 0).then_some(at);
            }
            b'(' if !escaped => open += 1,
            b')' if !escaped && open == 0 => return Some(at),
            b')' if !escaped => open -= 1,
            _ => {}
        }
        if open > MAX_NESTING {
            return None;
        }
        escaped = byte == b'\\' && !escaped;
    }
    (open == 0).then_some(text.len())
}

/// Length of the link title at the start of `text`, quotes included.
pub(super) fn title_len(text: &str) -> Option<usize> {
    let stops: &[u8] = match text.as_bytes().first()? {
        b'"' => b"\"",
        b'\'' => b"'",
        b'(' => b"()",
        _ => return None,
    };
    let (len, end) = find_unescaped(&text.as_bytes()[1..], text.len(), stops)?;
    (end != b'(').then_some(len + 2)
}

/// The first of `stops` within `limit` bytes that no backslash escapes, and where it is.
fn find_unescaped(bytes: &[u8], limit: usize, stops: &[u8]) -> Option<(usize, u8)> {
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate().take(limit + 1) {
        if !escaped && stops.contains(&byte) {
            return Some((at, byte));
        }
        escaped = byte == b'\\' && !escaped;
    }
    None
}

/// Length of the web address at the start of `text`, or 0. Its underscores and asterisks are no markers.
fn address_len(text: &str) -> usize {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return 0;
    }
    let in_address =
        |b: &u8| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'[' | b']' | b'`' | b'|' | b'"' | b'\\');
    let mut address = &text[..text.bytes().take_while(in_address).count()];
    let mut surplus = address.matches(')').count().saturating_sub(address.matches('(').count());
    // What ends a sentence, or the emphasis or parentheses around the address, is not part of it.
    while let Some(last) = address.bytes().next_back() {
        match last {
            b'?' | b'!' | b'.' | b',' | b':' | b';' | b'*' | b'_' | b'~' | b'\'' => {}
            b')' if surplus > 0 => surplus -= 1,
            _ => break,
        }
        address = &address[..address.len() - 1];
    }
    address.len()
}

/// Whether `c` belongs to the scripts, radicals and punctuation of Chinese, Japanese and Korean.
fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11FF}' // Hangul letters
        | '\u{2E80}'..='\u{9FFF}' // radicals, punctuation, kana, bopomofo, ideographs
        | '\u{A960}'..='\u{A97F}' // Hangul letters
        | '\u{AC00}'..='\u{D7FF}' // Hangul syllables
        | '\u{F900}'..='\u{FAFF}' // compatibility ideographs
        | '\u{FF66}'..='\u{FFDC}' // half-width kana and Hangul
        | '\u{20000}'..='\u{3FFFF}') // further ideographs
}
