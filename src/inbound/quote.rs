//! The part of a quoted text that a person selected.

use md5::{Digest as _, Md5};

use ilink::PartialText;

/// Finds the selected part of `text`. `None` where it cannot be found, or the MD5 says that it is not what was found.
///
/// Phones were seen to count the occurrences of the end in two ways: over the whole text, and from behind the start.
/// The MD5 decides; without one the first way is taken.
pub fn selected(text: &str, partial: &PartialText) -> Option<String> {
    let (start, end) = (partial.start.as_deref()?, partial.end.as_deref()?);
    let from = nth(text, start, partial.startindex.unwrap_or(0), 0)?;
    let nth_end = partial.endindex.unwrap_or(0);
    let ends = [nth(text, end, nth_end, 0), nth(text, end, nth_end, from + start.len())];
    let mut found = ends.into_iter().flatten().filter(|at| *at >= from).map(|at| &text[from..at + end.len()]);
    match partial.quotemd5.as_deref().filter(|md5| !md5.is_empty()) {
        Some(md5) => found.find(|part| hex::encode(Md5::digest(part.as_bytes())).eq_ignore_ascii_case(md5)),
        None => found.next(),
    }
    .map(str::to_owned)
}

/// Where the `n`th occurrence (from 0) of `what` begins, looking from byte `from`; occurrences do not overlap.
fn nth(text: &str, what: &str, n: u64, from: usize) -> Option<usize> {
    if what.is_empty() {
        return None;
    }
    let n = usize::try_from(n).ok()?;
    text.get(from..)?.match_indices(what).nth(n).map(|(at, _)| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(start: &str, end: &str, startindex: u64, endindex: u64, of: Option<&str>) -> PartialText {
        PartialText {
            start: Some(start.to_owned()),
            end: Some(end.to_owned()),
            startindex: Some(startindex),
            endindex: Some(endindex),
            quotemd5: of.map(|text| hex::encode(Md5::digest(text.as_bytes()))),
        }
    }

    #[test]
    fn both_ways_of_counting_are_tried_and_the_md5_decides() {
        let text = "甲乙 one two. one two. one two.";
        // Of the whole text, the second "two." ends the second sentence; from behind the second "one" it is the third.
        let whole = partial("one", "two.", 1, 1, None);
        assert_eq!(selected(text, &whole).as_deref(), Some("one two."));
        let relative = partial("one", "two.", 1, 1, Some("one two. one two."));
        assert_eq!(selected(text, &relative).as_deref(), Some("one two. one two."));
        let neither = partial("one", "two.", 1, 1, Some("something else"));
        assert_eq!(selected(text, &neither), None);
        let cjk = partial("甲", "乙", 0, 0, Some("甲乙"));
        assert_eq!(selected(text, &cjk).as_deref(), Some("甲乙"));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for gone in [
            partial("three", "two", 0, 0, None),
            partial("one", "three", 0, 0, None),
            partial("one", "two", 9, 0, None),
            partial("one", "two", 0, u64::MAX, None),
            partial("two", "one", 2, 0, None),
            partial("", "", 0, 0, None),
            PartialText::default(),
        ] {
            assert_eq!(selected("one two. one two. one two.", &gone), None, "{gone:?}");
        }
    }
}
