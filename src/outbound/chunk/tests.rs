use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::chunk;
use crate::outbound::fence::{Fence, FenceLine, Lead};

fn len(text: &str) -> usize {
    text.chars().count()
}

#[test]
fn a_text_that_fits_is_one_chunk() {
    for text in ["a", "两段\n\n文字。", "```\ncode\n```", "```\nnever closed", "  indented\n    more"] {
        assert_eq!(chunk(text, 4000), [text]);
        assert_eq!(chunk(text, len(text)), [text]);
    }
}

#[test]
fn the_limit_counts_characters_not_bytes() {
    assert_eq!(chunk("微信消息", 4), ["微信消息"]);
    assert_eq!(chunk("𠮷𠮷𠮷", 2), ["𠮷𠮷", "𠮷"]);
}

#[test]
fn white_space_alone_is_no_chunk() {
    for text in ["", " ", "\n\n", " \t\r\n\u{3000}\u{a0}"] {
        assert!(chunk(text, 10).is_empty(), "{text:?}");
    }
}

#[test]
fn white_space_around_a_text_and_at_breaks_is_dropped() {
    assert_eq!(chunk("\n\n  a  \n\n", 10), ["  a"]);
    assert_eq!(chunk("one   two", 5), ["one", "two"]);
    assert_eq!(chunk("one\n\n\n\ntwo", 5), ["one", "two"]);
    assert_eq!(chunk("one\r\n\r\ntwo", 5), ["one", "two"]);
}

#[test]
fn a_line_that_begins_a_chunk_keeps_its_indentation() {
    assert_eq!(chunk("- item one\n  - item two", 12), ["- item one", "  - item two"]);
    assert_eq!(chunk(&format!("a\n{}b", " ".repeat(50)), 10), ["a", "b"], "unless there is no room for it");
}

#[test]
fn the_best_break_in_the_last_half_wins() {
    assert_eq!(chunk("aaa bbb.\n\nccc ddd\neee. fff ggg", 20), ["aaa bbb.\n\nccc ddd", "eee. fff ggg"]);
    assert_eq!(chunk("aaa bbb ccc.\n\nddd\neee fff", 20), ["aaa bbb ccc.", "ddd\neee fff"], "paragraph before line");
    assert_eq!(chunk("aaa bbb ccc\nddd. eee fff", 20), ["aaa bbb ccc", "ddd. eee fff"], "line before sentence");
    assert_eq!(chunk("aaa bbb ccc. ddd eee fff", 20), ["aaa bbb ccc.", "ddd eee fff"], "sentence before word");
    assert_eq!(chunk("aaa bbb ccc ddd eee fff", 20), ["aaa bbb ccc ddd eee", "fff"]);
}

#[test]
fn an_early_paragraph_break_does_not_beat_a_late_line_break() {
    let text = format!("a\n\n{}\n{}", "b".repeat(90), "c".repeat(90));
    assert_eq!(chunk(&text, 100), [format!("a\n\n{}", "b".repeat(90)), "c".repeat(90)]);
}

#[test]
fn a_long_word_is_kept_whole_if_it_fits_in_a_chunk() {
    let address = format!("https://a.com/{}", "x".repeat(80));
    assert_eq!(chunk(&format!("see this: {address}"), 100), ["see this:", &address]);
}

#[test]
fn a_word_longer_than_the_limit_is_cut() {
    assert_eq!(chunk(&"x".repeat(25), 10), ["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
}

#[test]
fn chinese_and_japanese_sentences_end_at_their_punctuation() {
    assert_eq!(chunk("今天天气很好。我们去公园散步", 10), ["今天天气很好。", "我们去公园散步"]);
    assert_eq!(chunk("他说：“走吧！”然后就离开了", 10), ["他说：“走吧！”", "然后就离开了"]);
    assert_eq!(chunk("**真的吗？！**我不太相信你", 12), ["**真的吗？！**", "我不太相信你"]);
    assert_eq!(chunk("そうですか。「はい」と言いました", 10), ["そうですか。", "「はい」と言いました"]);
}

#[test]
fn chinese_words_are_not_torn_from_their_punctuation() {
    assert_eq!(chunk("一二三四五六七八九，十", 9), ["一二三四五六七八", "九，十"]);
    assert_eq!(chunk("一二三四五六七（八）九", 8), ["一二三四五六七", "（八）九"]);
    assert_eq!(chunk("一二三四五hello世界", 8), ["一二三四五", "hello世界"]);
}

#[test]
fn a_number_or_a_name_is_no_end_of_a_sentence() {
    assert_eq!(chunk("version 1.2.3 of it", 14), ["version 1.2.3", "of it"]);
}

#[test]
fn grapheme_clusters_stay_whole() {
    let family = "👨‍👩‍👧‍👦"; // Seven characters.
    assert_eq!(chunk(&family.repeat(3), 20), [family.repeat(2), family.to_owned()]);
    assert_eq!(chunk("🇨🇳🇯🇵🇰🇷", 5), ["🇨🇳🇯🇵", "🇰🇷"]);
    assert_eq!(chunk(&"e\u{301}".repeat(3), 3), ["e\u{301}"; 3]);
}

#[test]
fn a_cluster_larger_than_the_limit_is_cut_between_characters() {
    let cluster = format!("e{}", "\u{301}".repeat(24));
    let chunks = chunk(&cluster, 10);
    assert_eq!(chunks.iter().map(|chunk| len(chunk)).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(chunks.concat(), cluster);
    assert_eq!(chunk("ab", 0), ["a", "b"], "a limit of nothing is one");
}

#[test]
fn a_fence_is_closed_and_opened_again_with_its_line() {
    let text = "before\n\n```rust ignore\nline one;\nline two;\nline three;\n```\n\nafter";
    assert_eq!(
        chunk(text, 40),
        ["before\n\n```rust ignore\nline one;\n```", "```rust ignore\nline two;\nline three;\n```", "after"]
    );
}

#[test]
fn a_fence_keeps_its_kind_and_length() {
    assert_eq!(
        chunk("~~~~\none two\n```\nthree\n~~~~", 18),
        ["~~~~\none two\n~~~~", "~~~~\n```\n~~~~", "~~~~\nthree\n~~~~"]
    );
}

#[test]
fn a_fence_in_a_quote_or_a_list_stays_there() {
    assert_eq!(
        chunk("> ```\n> one two\n> three four\n> ```", 27),
        ["> ```\n> one two\n> ```", "> ```\n> three four\n> ```"]
    );
    assert_eq!(chunk("> ```\n> one two three\n> ```", 22), ["> ```\n> one two\n> ```", "> ```\n> three\n> ```"]);
    assert_eq!(
        chunk("- ```sh\n  one\n  two three\n  ```", 25),
        ["- ```sh\n  one\n  ```", "  ```sh\n  two three\n  ```"]
    );
}

#[test]
fn no_fence_is_left_empty() {
    let text = format!("{}\n```\n{}\n```\n{}", "a".repeat(30), "b".repeat(25), "c".repeat(30));
    let expected = ["a".repeat(30), format!("```\n{}\n```", "b".repeat(25)), "c".repeat(30)];
    assert_eq!(chunk(&text, 36), expected);
    // The closing line is longer than the one that is added: it does not fit, and is not needed.
    assert_eq!(chunk("```\n1234567890\n````````\nafter", 20), ["```\n1234567890\n```", "after"]);
}

#[test]
fn blank_lines_of_code_are_dropped_at_breaks_only() {
    let text = format!("```\na\n\n\nb{}c\n```", "\n".repeat(60));
    assert_eq!(chunk(&text, 20), ["```\na\n\n\nb\n```", "```\nc\n```"]);
}

#[test]
fn a_fence_that_is_never_closed_is_closed_where_it_was_opened_again() {
    assert_eq!(chunk("```\n123456\n123456\n123456", 18), ["```\n123456\n```", "```\n123456\n```", "```\n123456\n```"]);
}

#[test]
fn a_fence_too_long_for_the_limit_is_text() {
    let text = format!("```{}\ncode\n```", "x".repeat(40));
    let chunks = chunk(&text, 20);
    assert!(chunks.iter().all(|chunk| len(chunk) <= 20), "{chunks:?}");
    assert_eq!(chunks.concat().replace('\n', ""), text.replace('\n', ""));
}

#[test]
fn no_chunk_begins_with_backticks_from_the_middle_of_a_line() {
    assert_eq!(chunk("one two three ```four``` five", 16), ["one two", "three ```four```", "five"]);
}

const PROSE: &[&str] = &[
    "a",
    "word",
    "longer",
    "incomprehensibilities",
    "3.14",
    "https://a.com/x_y?z=1",
    "snake_case",
    "**bold**",
    "`code`",
    "don’t",
    "中",
    "文字",
    "微信消息通道",
    "。",
    "，",
    "！",
    "「引」",
    "（注）",
    "……",
    "カナ",
    "한국어",
    "สวัสดี",
    ".",
    "!",
    "? ",
    ", ",
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\u{3000}",
    "\n",
    "\n",
    "\n\n",
    "\r\n",
    "\n  ",
    " \n\n \n",
    "- ",
    "# ",
    "e\u{301}",
    "\u{301}",
    "👨‍👩‍👧‍👦",
    "👍🏽",
    "🇨🇳",
    "한",
    "नमस्ते",
    "\u{200b}",
];

fn prose(rng: &mut StdRng, pieces: usize) -> String {
    (0..pieces).map(|_| *PROSE.choose(rng).unwrap()).collect()
}

#[test]
fn random_prose_is_split_without_loss_within_the_limit_between_clusters() {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..3_000 {
        let pieces = rng.random_range(0..120);
        let text = prose(&mut rng, pieces);
        let limit = rng.random_range(1..80);
        let chunks = chunk(&text, limit);
        let clusters_fit = text.graphemes(true).all(|cluster| len(cluster) <= limit);

        let mut at = 0;
        for (i, chunk) in chunks.iter().enumerate() {
            assert!(len(chunk) <= limit, "{} > {limit}: {text:?}", len(chunk));
            assert!(!chunk.trim().is_empty(), "blank: {text:?}");
            // The white space before a chunk is gone, but for the indentation that it has kept.
            let blank = |text: &str| text.len() - text.trim_start().len();
            let gap = blank(&text[at..]).checked_sub(blank(chunk)).unwrap();
            assert!(text[at + gap..].starts_with(chunk.as_str()), "lost a part at {at} of {text:?}: {chunk:?}");
            at += gap + chunk.len();
            if clusters_fit && i + 1 < chunks.len() {
                let whole = GraphemeCursor::new(at, text.len(), true).is_boundary(&text, 0).unwrap();
                assert!(whole, "a cluster is cut at {at} of {text:?} by {limit}");
            }
        }
        assert!(text[at..].trim().is_empty(), "lost {:?} from {text:?}", &text[at..]);
    }
}

/// Every visible character with the opening line of the fence it is in, if any; and whether a fence is still open.
fn visible(text: &str) -> (Vec<(char, Option<String>)>, bool) {
    let mut seen = Vec::new();
    let mut open: Option<(Fence, String)> = None;
    for line in text.lines() {
        let mut inside = None;
        if let Some((fence, opening)) = &open {
            match fence.line(line) {
                FenceLine::Closes => {
                    open = None;
                    continue;
                }
                FenceLine::Beyond => open = None,
                FenceLine::Inside => inside = Some(opening.clone()),
            }
        }
        let lead = Lead::of(line);
        let content = &line[lead.len..];
        if inside.is_none()
            && let Some(fence) = Fence::opened_by(content, lead)
        {
            open = Some((fence, content.trim_end().to_owned()));
            continue;
        }
        // Quote markers are repeated in a line of code that is cut.
        let shown = line.chars().filter(|c| !c.is_whitespace() && *c != '>');
        seen.extend(shown.map(|c| (c, inside.clone())));
    }
    (seen, open.is_some())
}

#[test]
fn random_fences_are_closed_and_opened_again_and_code_stays_code() {
    let mut rng = StdRng::seed_from_u64(11);
    for _ in 0..3_000 {
        let mut text = String::new();
        for _ in 0..rng.random_range(1..6) {
            let pieces = rng.random_range(0..12);
            text += &prose(&mut rng, pieces).replace(['-', '#'], "");
            let (lead, inner) = *[("", ""), ("", ""), ("> ", "> "), ("- ", "  "), ("  ", "  "), ("> - ", ">   ")]
                .choose(&mut rng)
                .unwrap();
            let marks = *["```", "```", "~~~", "````", "~~~~~"].choose(&mut rng).unwrap();
            let info = *["", "rust", "c++ x", " py "].choose(&mut rng).unwrap();
            text += &format!("\n\n{lead}{marks}{info}\n");
            for _ in 0..rng.random_range(0..12) {
                let line = *[
                    "fn main() {",
                    "    indented;",
                    "",
                    "x = \"长长的字符串。\"",
                    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
                    "    }",
                    "  ",
                    "a b c d e f g",
                ]
                .choose(&mut rng)
                .unwrap();
                text += &format!("{inner}{line}\n");
            }
            if rng.random_bool(0.9) {
                text += &format!("{inner}{marks}{}\n", if rng.random_bool(0.2) { &marks[..2] } else { "" });
            }
        }
        let limit = rng.random_range(40..200);
        let chunks = chunk(&text, limit);
        let (expected, unclosed) = visible(&text);
        let mut seen = Vec::new();
        for (i, chunk) in chunks.iter().enumerate() {
            assert!(len(chunk) <= limit, "{} > {limit}: {text:?}", len(chunk));
            assert!(!chunk.trim().is_empty());
            let (inside, open) = visible(chunk);
            assert!(!open || (unclosed && i + 1 == chunks.len()), "left open by {limit}: {chunk:?} of {text:?}");
            seen.extend(inside);
        }
        assert_eq!(seen, expected, "by {limit}: {text:?} -> {chunks:#?}");
    }
}

/// Each takes a second or two at worst; whatever is quadratic takes minutes, at least.
#[test]
fn hostile_text_takes_linear_time() {
    const SIZE: usize = 200_000;
    let pieces = [
        "x",
        "中",
        "。",
        "）",
        " ",
        "\n",
        "x ",
        "x\n",
        "x\n\n",
        "\u{301}",
        "👨‍👩‍👧‍👦",
        "`",
        "```\n",
        "```\nx\n",
        "> ```\nx\n",
        "> ",
        "- ",
        "x。",
        ".",
        ")",
        "*",
    ];
    let mut texts: Vec<String> = pieces.iter().map(|piece| piece.repeat(SIZE / piece.len())).collect();
    texts.push("一个普通的句子，not too long。\n".repeat(1_000_000 / 50));
    texts.push(format!("```rust\n{}", "let a = 1;\n".repeat(SIZE / 11)));
    texts.push(format!("```{}\n{}", "i".repeat(1400), "x".repeat(SIZE)));
    texts.push(format!("a\n{}", "x".repeat(3900)).repeat(SIZE / 3902));
    texts.push(format!("{}{}b", "a ".repeat(1990), " ".repeat(SIZE)));
    for text in texts {
        for limit in [20, 4000] {
            let start = Instant::now();
            let chunks = chunk(&text, limit);
            let took = start.elapsed();
            assert!(chunks.iter().all(|chunk| len(chunk) <= limit && !chunk.trim().is_empty()));
            assert!(took < Duration::from_secs(20), "{:?}… took {took:?}", text.chars().take(20).collect::<String>());
        }
    }
}
