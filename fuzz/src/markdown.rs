//! Markdown as WeChat shows it.

use openclaw_weixin_sidecar::fuzzing::markdown_pass;
use openclaw_weixin_sidecar::outbound::for_wechat;

/// As many as the filter makes before it lets hostile text be.
const PASSES: usize = 8;

pub fn check(data: &[u8]) {
    let source = String::from_utf8_lossy(data);
    let shown = for_wechat(&source);
    let mut rest = source.chars();
    assert!(shown.chars().all(|c| rest.any(|s| s == c)), "not a part of the source: {source:?} -> {shown:?}");
    if !source.contains(['*', '_', '#', '!']) {
        assert_eq!(shown, source, "plain text is not touched");
    }

    // A second run changes nothing, unless the text needs more passes than any text of good will.
    let mut text = source.into_owned();
    for _ in 0..PASSES {
        match markdown_pass(&text) {
            Some(shorter) => {
                assert!(shorter.len() < text.len(), "a pass that removes nothing: {text:?}");
                text = shorter;
            }
            None => {
                assert_eq!(for_wechat(&shown), shown);
                break;
            }
        }
    }
    assert_eq!(text, shown);
}
