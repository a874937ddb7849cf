//! A long text as several messages. The first byte is the limit; 0 stands for the sidecar's own, 4000.

use openclaw_weixin_sidecar::outbound::chunk;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

pub fn check(data: &[u8]) {
    let [limit, data @ ..] = data else { return };
    let limit = if *limit == 0 { 4000 } else { usize::from(*limit) };
    let text = String::from_utf8_lossy(data);
    let chunks = chunk(&text, limit);
    for chunk in &chunks {
        assert!(chunk.chars().count() <= limit, "longer than {limit}: {chunk:?}");
        assert!(!chunk.trim().is_empty(), "blank");
    }
    if text.contains("```") || text.contains("~~~") {
        fenced(&text, &chunks);
    } else {
        plain(&text, &chunks, limit);
    }
}

/// Without fences the chunks are the text, minus white space between them; and no cluster is cut that fits.
fn plain(text: &str, chunks: &[String], limit: usize) {
    let blank = |text: &str| text.len() - text.trim_start().len();
    let clusters_fit = text.graphemes(true).all(|cluster| cluster.chars().count() <= limit);
    let mut at = 0;
    for (i, chunk) in chunks.iter().enumerate() {
        let gap = blank(&text[at..]).checked_sub(blank(chunk)).expect("no white space is added");
        assert!(text[at + gap..].starts_with(chunk.as_str()), "lost a part at {at}: {chunk:?}");
        at += gap + chunk.len();
        if clusters_fit && i + 1 < chunks.len() {
            let whole = GraphemeCursor::new(at, text.len(), true).is_boundary(text, 0);
            assert_eq!(whole, Ok(true), "a cluster is cut at {at} by {limit}");
        }
    }
    assert!(text[at..].trim().is_empty(), "lost {:?}", &text[at..]);
}

/// With fences some lines stand twice, and quote markers with them: still nothing else is lost, and nothing is reordered.
fn fenced(text: &str, chunks: &[String]) {
    let says = |c: &char| !c.is_whitespace() && !matches!(c, '`' | '~' | '>');
    let mut shown = chunks.iter().flat_map(|chunk| chunk.chars()).filter(says);
    for (at, c) in text.char_indices().filter(|(_, c)| says(c)) {
        assert!(shown.any(|s| s == c), "lost {c:?}, at {at} or before");
    }
}
