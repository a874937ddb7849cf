//! The rest of an answer as one text file, where the person's message allows only one more message and more would follow.
//! It is the answer's text as it was converted for WeChat, not the messages it was split into: their fences are not closed and opened
//! again in it, and nothing is written wide.

use std::borrow::Cow;

use super::chunk::chunks;
use super::markdown::without_tags;
use super::media::{ItemKind, MediaPart};
use super::source::Spooled;
use crate::contract::{Locale, TEXT_CHUNK_LIMIT};
use crate::store::OutboundPart;

/// What an answer's parts from the first of `rest` on say. `whole` is the answer that was split.
pub fn text_of(whole: &str, rest: &[&OutboundPart]) -> String {
    let Some(first) = rest.first() else { return String::new() };
    // Where the part began is found by splitting again, as it was split then.
    for split in [Cow::Borrowed(whole), without_tags(whole)] {
        let Some(chunk) = chunks(&split, TEXT_CHUNK_LIMIT).into_iter().nth(first.n as usize) else { continue };
        if chunk.text == first.text {
            // Characters are replaced one by one: only their sizes differ.
            let at = split[..chunk.at].chars().count();
            let own = whole.trim_end().char_indices().nth(at).map_or("", |(at, _)| &whole.trim_end()[at..]);
            return format!("{}{own}", &chunk.text[..chunk.reopening]);
        }
    }
    rest.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n\n")
}

/// The part that the file is.
pub fn file(spooled: Spooled, locale: Locale) -> MediaPart {
    let name = match locale {
        Locale::ZhCn => "剩余内容.txt",
        Locale::En => "rest.txt",
    };
    MediaPart { rest: true, ..MediaPart::new(spooled, ItemKind::File, name.to_owned(), "text/plain".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(split: &str) -> Vec<OutboundPart> {
        let part = |(n, chunk): (usize, super::super::chunk::Chunk)| OutboundPart {
            n: n as u32,
            client_id: String::new(),
            text: chunk.text,
            media: None,
            tried: false,
            taken: false,
            message_id: None,
        };
        chunks(split, TEXT_CHUNK_LIMIT).into_iter().enumerate().map(part).collect()
    }

    fn rest(whole: &str, split: &str, from: usize) -> String {
        let parts = parts(split);
        text_of(whole, &parts[from..].iter().collect::<Vec<_>>())
    }

    #[test]
    fn it_is_the_answers_own_text_from_where_a_message_began() {
        let paragraph = "A sentence of some length. ".repeat(600);
        let whole = rest(&paragraph, &paragraph, 0);
        assert_eq!(whole, paragraph.trim_end());
        let second = rest(&paragraph, &paragraph, 1);
        assert!(second.len() > 8_000 && paragraph.trim_end().ends_with(&second), "no break is added: {}", second.len());
    }

    #[test]
    fn a_fence_that_it_begins_in_is_opened_once() {
        let code = format!("Text\n\n```rust\n{}```\n\nThe end.", "let x = \"<b>\";\n".repeat(800));
        let second = rest(&code, &code, 1);
        assert!(second.starts_with("```rust\nlet x"), "{}", &second[..40]);
        assert_eq!(second.matches("```").count(), 2, "opened once, closed once");
        assert!(second.ends_with("The end."));
    }

    #[test]
    fn what_was_written_wide_for_a_message_is_not_in_the_file() {
        let whole = "Write <b>bold</b> words. ".repeat(600);
        let split = without_tags(&whole);
        let second = rest(&whole, &split, 1);
        assert!(second.contains("<b>") && !second.contains('＜'), "{}", &second[..60]);
        assert!(whole.trim_end().ends_with(&second));
    }

    #[test]
    fn what_was_split_otherwise_is_its_messages() {
        let parts = parts("one");
        assert_eq!(text_of("something else", &[&parts[0], &parts[0]]), "one\n\none");
    }
}
