//! Markdown as WeChat shows it: what its clients render stays, what they would show as debris goes.
//!
//! Kept: code (fences and inline), tables, rules, bold, strikethrough, quotes, links, H1–H4, italics around text that is
//! not CJK. Removed: images, the markers of H5 and H6, the markers of italics and bold italics around CJK text. These are
//! the rules of the official plugin's filter (`@tencent-weixin/openclaw-weixin`, `src/messaging/markdown-filter.ts`).
//!
//! That filter decides one character at a time, for streaming. A reply is whole when it comes here, so this one reads
//! blocks and inline syntax as [CommonMark](https://spec.commonmark.org/0.31.2/) does, and thereby leaves alone what only
//! looks like a marker: `年度_报告_终稿`, `5*3，数量4*2`, `*.rs`, addresses, and everything in inline code. The text is never
//! rebuilt from a syntax tree; the result is the source minus some ranges of it, so whatever is not understood survives.
//!
//! Decisions beyond the rules:
//! - A link whose whole text is an image, `[![Watch](thumb)](video)`, becomes `[Watch](video)`: the link is content.
//! - `![alt][ref]` is an image even if nothing defines `ref` (it may have been sent with an earlier part); the bare `![alt]`
//!   is one only if something does. A definition that only images use goes with them.
//! - Text indented by four spaces is text. Models fence their code, and indent under list items.

mod inline;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::fence::{self, Fence, FenceLine, Lead};

/// How often the result is read again. Removing one thing may complete another (`!![a](b)[c](d)`, `![a](b)##### c`), and
/// a filter should leave nothing to a second run; but only hostile text needs many passes, and the bound keeps it linear.
const MAX_PASSES: usize = 8;

/// Returns `markdown` without what WeChat cannot render.
///
/// Takes linear time, accepts any text, and returns text with nothing to remove unchanged.
pub fn for_wechat(markdown: &str) -> String {
    let mut text = markdown.to_owned();
    for _ in 0..MAX_PASSES {
        match pass(&text) {
            Some(shorter) => text = shorter,
            None => break,
        }
    }
    text
}

/// Returns `markdown` with `＜` for each `<` outside code behind which a tag could begin (a letter, `/` or `!` follows).
/// WeChat was reported to hide what stands behind one: a whole answer may be gone with it.
pub fn without_tags(markdown: &str) -> Cow<'_, str> {
    if !markdown.contains('<') {
        return Cow::Borrowed(markdown);
    }
    let Blocks { scopes, mut definitions, .. } = Blocks::of(markdown);
    let mut found = Vec::new();
    for scope in scopes {
        inline::tags(markdown, scope, &mut definitions, &mut found);
    }
    found.sort_unstable();
    let mut text = String::with_capacity(markdown.len() + 2 * found.len());
    let mut at = 0;
    for tag in found {
        text.push_str(&markdown[at..tag]);
        text.push('＜');
        at = tag + 1;
    }
    text.push_str(&markdown[at..]);
    Cow::Owned(text)
}

/// Removes what can be seen at first reading; `None` if that is nothing.
pub fn pass(text: &str) -> Option<String> {
    let Blocks { scopes, mut definitions, mut removals, .. } = Blocks::of(text);
    for scope in scopes {
        inline::scan(text, scope, &mut definitions, &mut removals);
    }
    removals.extend(definitions.only_for_images());
    if removals.is_empty() {
        return None;
    }
    removals.sort_unstable_by_key(|range| range.start);
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for range in removals {
        kept.push_str(&text[at..range.start.max(at)]);
        at = at.max(range.end);
    }
    kept.push_str(&text[at..]);
    Some(kept)
}

/// The block structure of a text, as far as it matters here.
#[derive(Default)]
struct Blocks {
    /// Where inline syntax is to be looked for. No emphasis, link or image reaches from one scope into another.
    scopes: Vec<Range<usize>>,
    definitions: Definitions,
    /// Markers of H5 and H6.
    removals: Vec<Range<usize>>,
    fence: Option<Fence>,
    paragraph: Option<Paragraph>,
}

/// A paragraph that the next line may continue.
struct Paragraph {
    range: Range<usize>,
    quotes: usize,
}

impl Blocks {
    fn of(text: &str) -> Self {
        let mut blocks = Self::default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            blocks.line(at, line);
            at += line.len();
        }
        blocks.end_paragraph();
        blocks
    }

    fn line(&mut self, base: usize, full_line: &str) {
        let line = full_line.trim_end_matches(['\n', '\r']);
        match self.fence.as_ref().map(|fence| fence.line(line)) {
            Some(FenceLine::Inside) => return,
            Some(FenceLine::Closes) => {
                self.fence = None;
                return;
            }
            Some(FenceLine::Beyond) | None => self.fence = None,
        }

        let mut lead = Lead::of(line);
        let mut start = lead.len;
        let mut end = line.len();
        let mut heading = heading_level(&line[start..]).is_some();
        // What stands behind a removed marker is the start of the line from now on, so it is read as one.
        let mut lowered = false;
        while let Some(level @ 5..) = heading_level(&line[start..end]) {
            let marker = level + fence::blank_len(&line[start + level..end]);
            self.removals.push(base + start..base + start + marker);
            start += marker;
            if !lowered {
                let closing = closing_sequence_len(&line[start..end]);
                if closing > 0 {
                    self.removals.push(base + end - closing..base + end);
                }
                end -= closing;
            }
            (heading, lowered) = (true, true);
            let inner = Lead::of(&line[start..end]);
            start += inner.len;
            lead = Lead { quotes: lead.quotes + inner.quotes, ..inner };
        }

        let text = &line[start..end];
        let scope = base + start..base + end;
        if text.is_empty() || fence::is_rule(text) {
            self.end_paragraph();
        } else if let Some(fence) = Fence::opened_by(text, lead) {
            self.end_paragraph();
            self.fence = Some(fence);
        } else if heading {
            self.end_paragraph();
            self.scopes.push(scope);
        } else if text.starts_with('|') {
            self.end_paragraph();
            self.table_row(scope, text);
        } else if let Some(label) = self.definition(text) {
            self.definitions.add(&label, base..base + full_line.len());
        } else {
            self.paragraph_line(scope, lead);
        }
    }

    fn paragraph_line(&mut self, scope: Range<usize>, lead: Lead) {
        match &mut self.paragraph {
            Some(paragraph) if paragraph.quotes == lead.quotes && !lead.item => paragraph.range.end = scope.end,
            _ => {
                self.end_paragraph();
                self.paragraph = Some(Paragraph { range: scope, quotes: lead.quotes });
            }
        }
    }

    fn end_paragraph(&mut self) {
        self.scopes.extend(self.paragraph.take().map(|paragraph| paragraph.range));
    }

    /// Each cell is a scope of its own: an asterisk in one has nothing to do with an asterisk in the next.
    fn table_row(&mut self, row: Range<usize>, text: &str) {
        let mut cell = row.start;
        let mut escaped = false;
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'|' && !escaped {
                self.scopes.push(cell..row.start + at);
                cell = row.start + at + 1;
            }
            escaped = byte == b'\\' && !escaped;
        }
        self.scopes.push(cell..row.end);
    }

    /// The label, if `text` is a link reference definition: `[label]: address "title"`.
    fn definition(&self, text: &str) -> Option<String> {
        if self.paragraph.is_some() || text.starts_with("[^") {
            return None; // It cannot interrupt a paragraph; and a footnote is text.
        }
        let label = inline::label_len(text.strip_prefix('[')?)?;
        let rest = text[1 + label..].strip_prefix("]:")?;
        let rest = &rest[fence::blank_len(rest)..];
        let address = inline::destination_len(rest).filter(|len| *len > 0)?;
        let title = rest[address..].trim();
        let complete = title.is_empty() || inline::title_len(title) == Some(title.len());
        complete.then(|| text[1..1 + label].to_owned())
    }
}

/// The level of the heading that `text` is: one to six `#` with white space or nothing behind.
fn heading_level(text: &str) -> Option<usize> {
    let level = text.bytes().take(7).take_while(|b| *b == b'#').count();
    let ends = matches!(text.as_bytes().get(level), None | Some(b' ' | b'\t'));
    ((1..=6).contains(&level) && ends).then_some(level)
}

/// Length of the `###` that may decorate the end of a heading, with the white space around it.
fn closing_sequence_len(text: &str) -> usize {
    let title = text.trim_end_matches([' ', '\t']).trim_end_matches('#');
    if title.is_empty() || title.ends_with([' ', '\t']) {
        text.len() - title.trim_end_matches([' ', '\t']).len()
    } else {
        0
    }
}

/// The link reference definitions of a text and who uses them.
#[derive(Default)]
struct Definitions(HashMap<String, Definition>);

#[derive(Default)]
struct Definition {
    lines: Vec<Range<usize>>,
    used_by_image: bool,
    used_by_link: bool,
}

impl Definitions {
    fn add(&mut self, label: &str, line: Range<usize>) {
        self.0.entry(normalized(label)).or_default().lines.push(line);
    }

    /// The definition of `label`; costs the length of the label, unless there are no definitions at all.
    fn get(&mut self, label: &str) -> Option<&mut Definition> {
        if self.0.is_empty() { None } else { self.0.get_mut(&normalized(label)) }
    }

    fn only_for_images(self) -> impl Iterator<Item = Range<usize>> {
        self.0.into_values().filter(|d| d.used_by_image && !d.used_by_link).flat_map(|d| d.lines)
    }
}

/// Labels match without regard to case and to how they are spaced.
fn normalized(label: &str) -> String {
    label.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests;
