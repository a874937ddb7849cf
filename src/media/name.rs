//! File names come from people: they may hold paths, control characters, or be longer than any file system takes.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::plain::is_hidden;

/// The longest name, in bytes; file systems take 255, and numbers are put before it.
const LONGEST: usize = 160;
/// The longest extension that survives where a name is cut.
const EXTENSION: usize = 16;

/// What is no file on Windows, whatever its extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A name that is one file name on every system: no path, nothing hidden, nothing that a terminal would obey. Nothing is
/// left of a name that was only that: then it is `file`.
pub fn safe_name(given: &str) -> String {
    let given = decoded(given);
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible = last.chars().filter(|c| !is_hidden(*c));
    let clean: String = visible.map(|c| if r#"<>:"|?*"#.contains(c) { '_' } else { c }).collect();
    let clean = clean.trim_matches(is_edge);
    if clean.is_empty() {
        return "file".to_owned();
    }
    let stem = clean.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    if DEVICES.contains(&stem.as_str()) || is_numbered_device(&stem) {
        let short: String = clean.chars().take(EXTENSION).collect();
        return format!("_{}", short.trim_end_matches(is_edge));
    }
    if clean.len() <= LONGEST {
        return clean.to_owned();
    }
    let extension =
        clean.rsplit_once('.').map(|(_, extension)| extension).filter(|e| !e.is_empty() && e.len() <= EXTENSION);
    let room = LONGEST - extension.map_or(0, |extension| extension.len() + 1);
    let mut short = String::new();
    for grapheme in clean.graphemes(true) {
        if short.len() + grapheme.len() > room {
            break;
        }
        short.push_str(grapheme);
    }
    match extension {
        Some(extension) => format!("{short}.{extension}"),
        None => short.trim_end_matches(is_edge).to_owned(),
    }
}

/// A name that came percent-encoded, as Chinese ones do from some phones. One that only has a `%` in it stays as it is.
fn decoded(given: &str) -> Cow<'_, str> {
    match percent_decode_str(given).decode_utf8() {
        Ok(name) if !name.is_ascii() && given.is_ascii() => name,
        _ => Cow::Borrowed(given),
    }
}

/// What a name neither begins nor ends with.
fn is_edge(c: char) -> bool {
    c == '.' || c.is_whitespace()
}

fn is_numbered_device(stem: &str) -> bool {
    let number = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    number.is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_controls_and_tricks_are_taken_out() {
        for (given, safe) in [
            ("报告 (终稿).pdf", "报告 (终稿).pdf"),
            ("../../x", "x"),
            ("..\\..\\windows\\system.ini", "system.ini"),
            ("/etc/passwd", "passwd"),
            ("a\0b\n\x1b[31mc.txt", "ab[31mc.txt"),
            (".bashrc", "bashrc"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\u{e0041}\u{e007f}b\u{2028}c\u{2029}d\u{ad}e\u{180e}.txt", "abcde.txt"),
            ("a:b?.txt", "a_b_.txt"),
            ("%E6%8A%A5%E5%91%8A.pdf", "报告.pdf"),
            ("%2e%2e%2fx%E6%8A%A5", "x报"),
            ("100%.pdf", "100%.pdf"),
            ("a%20b.pdf", "a%20b.pdf"),
            ("..", "file"),
            ("", "file"),
            ("///", "file"),
            (" . ", "file"),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
        for device in ["CON", "con.txt", "Lpt1", "com0.log"] {
            assert!(safe_name(device).starts_with('_'), "{device}");
        }
        assert_eq!(safe_name("console.txt"), "console.txt");
    }

    #[test]
    fn a_long_name_keeps_its_extension_and_whole_characters() {
        let name = safe_name(&format!("{}.jpeg", "图".repeat(2000)));
        assert!(name.len() <= LONGEST && name.ends_with("图.jpeg"), "{name}");
        assert!(safe_name(&"x".repeat(4096)).len() <= LONGEST);
        assert!(safe_name(&format!("a.{}", "x".repeat(4096))).len() <= LONGEST);
    }
}
