//! How good a place is to end a chunk: paragraphs, lines, sentences and words, in scripts with spaces and without.

use unicode_segmentation::UnicodeSegmentation;

/// How good a place to end a chunk is; a better one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Break {
    Word,
    Sentence,
    Line,
    Paragraph,
}

/// The break between `last` and `next`, with the white space `blank` at the start of `next`.
pub(super) fn kind_of_break(blank: &str, sentence: Sentence, last: char, next: &str) -> Option<Break> {
    let first = next.chars().next().unwrap_or(' ');
    match blank.matches('\n').count() {
        0 if blank.is_empty() && sentence == Sentence::Ends && !continues_end(first) => Some(Break::Sentence),
        0 if blank.is_empty() => is_cjk_break(last, first).then_some(Break::Word),
        0 if sentence != Sentence::Open => Some(Break::Sentence),
        0 => Some(Break::Word),
        1 => Some(Break::Line),
        _ => Some(Break::Paragraph),
    }
}

/// Whether `next`, in the middle of a line but at the start of a chunk, would be taken for a fence.
pub(super) fn would_open_a_fence(blank: &str, next: &str) -> bool {
    !blank.contains('\n') && (next.starts_with("```") || next.starts_with("~~~"))
}

/// Whether the text up to here ends a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    Open,
    /// It ends if white space follows; else the full stop belongs to a number or a name.
    MayEnd,
    /// It ends whatever follows: the punctuation is Chinese or Japanese.
    Ends,
}

impl Sentence {
    pub(super) fn then(self, c: char) -> Self {
        match c {
            '。' | '！' | '？' | '｡' => Self::Ends,
            '.' | '!' | '?' | '…' if self == Self::Open => Self::MayEnd,
            _ if continues_end(c) => self,
            _ => Self::Open,
        }
    }
}

/// Whether `c` behind the end of a sentence still belongs to it: more such punctuation, quotes, brackets, emphasis.
fn continues_end(c: char) -> bool {
    is_cjk_closing(c)
        || matches!(c, '.' | '!' | '?' | '…' | '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '}' | '*' | '_' | '~' | '`')
}

/// Whether a line of Chinese or Japanese may end between `last` and `first`, which no white space separates.
fn is_cjk_break(last: char, first: char) -> bool {
    let ends = is_ideograph_or_kana(last) || is_cjk_closing(last);
    let begins =
        (is_ideograph_or_kana(first) && !matches!(first, '々' | 'ー' | '・' | 'ゝ' | 'ヽ')) || is_cjk_opening(first);
    (ends && first.is_alphanumeric() && !is_ideograph_or_kana(first)) || (begins && (ends || last.is_alphanumeric()))
}

/// Brackets that close, and the punctuation that no line begins with.
fn is_cjk_closing(c: char) -> bool {
    matches!(
        c,
        '。' | '｡'
            | '！'
            | '？'
            | '，'
            | '、'
            | '；'
            | '：'
            | '）'
            | '」'
            | '』'
            | '】'
            | '》'
            | '〉'
            | '〕'
            | '］'
            | '｝'
    )
}

fn is_cjk_opening(c: char) -> bool {
    matches!(c, '（' | '「' | '『' | '【' | '《' | '〈' | '〔' | '［' | '｛')
}

fn is_ideograph_or_kana(c: char) -> bool {
    matches!(c,
        '\u{2E80}'..='\u{2FDF}'
        | '々'..='〇'
        | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Length of the white space at the start of `text`; a space that carries a combining mark is none.
///
/// Looks at two characters where the white space ends, not at the cluster there, which may be as long as the text.
pub(super) fn white_space_len(text: &str) -> usize {
    let mut before = 0;
    let mut len = 0;
    for c in text.chars().take_while(|c| c.is_whitespace()) {
        before = len;
        len += c.len_utf8();
    }
    let next = text[len..].chars().next().map_or(0, char::len_utf8);
    let joined = len > 0 && next > 0 && text[before..len + next].graphemes(true).count() == 1;
    if joined { before } else { len }
}

pub(super) fn is_white_space(cluster: &str) -> bool {
    cluster.chars().all(char::is_whitespace)
}
