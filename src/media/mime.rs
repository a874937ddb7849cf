//! What a file is. Its content decides; the name only helps where the content is text or says nothing.

use std::borrow::Cow;

/// How WeChat shows a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Image,
    Video,
    Audio,
    /// Anything else.
    File,
}

/// The kind of a MIME type.
pub fn kind_of(mime: &str) -> Kind {
    match mime.split('/').next() {
        // A drawing is a program to a browser, and nothing to WeChat.
        Some("image") if mime != "image/svg+xml" => Kind::Image,
        Some("video") => Kind::Video,
        Some("audio") => Kind::Audio,
        _ => Kind::File,
    }
}

/// The usual extension of what comes from WeChat without a name: pictures, videos, voice messages.
pub fn extension_of(mime: &str) -> Option<&'static str> {
    const EXTENSIONS: [(&str, &str); 16] = [
        ("image/jpeg", "jpg"),
        ("image/png", "png"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
        ("image/heif", "heic"),
        ("image/bmp", "bmp"),
        ("video/mp4", "mp4"),
        ("video/quicktime", "mov"),
        ("video/webm", "webm"),
        ("audio/silk", "silk"),
        ("audio/amr", "amr"),
        ("audio/mpeg", "mp3"),
        ("audio/ogg", "ogg"),
        ("audio/x-speex", "spx"),
        ("audio/L16", "pcm"),
        ("audio/x-adpcm", "adpcm"),
    ];
    EXTENSIONS.iter().find(|(known, _)| *known == mime).map(|(_, extension)| *extension)
}

/// The MIME type of a voice message by its `encode_type`: for those whose bytes do not tell.
pub fn voice_mime(encode_type: i64) -> Option<&'static str> {
    Some(match encode_type {
        1 => "audio/L16",
        2 => "audio/x-adpcm",
        4 => "audio/x-speex",
        5 => "audio/amr",
        6 => "audio/silk",
        7 => "audio/mpeg",
        8 => "audio/ogg",
        _ => return None,
    })
}

/// How WeChat's voice messages begin.
const VOICE: [(&[u8], &str); 4] = [
    (b"#!SILK_V3", "audio/silk"),
    (b"\x02#!SILK_V3", "audio/silk"),
    (b"#!AMR-WB\n", "audio/amr-wb"),
    (b"#!AMR\n", "audio/amr"),
];

/// The MIME type of a file that begins with `head`.
pub fn mime_of(head: &[u8], name: Option<&str>) -> Cow<'static, str> {
    // Before all others: `#!` is also how scripts begin.
    for (mark, mime) in VOICE {
        if head.starts_with(mark) {
            return Cow::Borrowed(mime);
        }
    }
    if let Some(found) = infer::get(head) {
        return Cow::Borrowed(match found.mime_type() {
            "audio/x-wav" => "audio/wav",
            other => other,
        });
    }
    let by_name = name.and_then(|name| mime_guess::from_path(name).first());
    let text = is_text(head);
    match by_name {
        // What a name may say: which text it is, or which of the formats that have no mark.
        Some(mime) if text && (mime.type_() == "text" || is_text_format(mime.essence_str())) => {
            Cow::Owned(mime.essence_str().to_owned())
        }
        Some(mime) if !text && mime.type_() == "application" && !is_text_format(mime.essence_str()) => {
            Cow::Owned(mime.essence_str().to_owned())
        }
        _ if text && !head.is_empty() => Cow::Borrowed("text/plain"),
        _ => Cow::Borrowed("application/octet-stream"),
    }
}

fn is_text_format(mime: &str) -> bool {
    matches!(
        mime,
        "application/json" | "application/xml" | "application/javascript" | "application/toml" | "image/svg+xml"
    ) || mime.ends_with("+json")
        || mime.ends_with("+xml")
}

/// Whether the beginning of a file is text: UTF-8 without control characters; its last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            // Valid up to there by the error's own word.
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    #[test]
    fn content_decides_and_the_name_only_helps() {
        for (head, name, mime) in [
            (PNG, Some("a.html"), "image/png"),
            (b"<!DOCTYPE html><html></html>".as_slice(), Some("a.png"), "text/html"),
            (b"%PDF-1.7\n", None, "application/pdf"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some("x"), "image/jpeg"),
            (b"#!AMR\n", Some("x.bin"), "audio/amr"),
            (b"\x02#!SILK_V3", None, "audio/silk"),
            (b"RIFF\0\0\0\0WAVEfmt ", None, "audio/wav"),
            (b"hello", Some("a.png"), "text/plain"),
            (b"hello", Some("a.md"), "text/markdown"),
            (b"{\"a\":1}", Some("a.json"), "application/json"),
            ("你好".as_bytes(), None, "text/plain"),
            (&"你好".as_bytes()[..5], Some("a.csv"), "text/csv"),
            (b"\0\x01\x02", Some("a.png"), "application/octet-stream"),
            (b"\0\x01\x02", Some("a.txt"), "application/octet-stream"),
            (b"\0\x01\x02", Some("a.bin"), "application/octet-stream"),
            (b"", Some("a.png"), "application/octet-stream"),
        ] {
            assert_eq!(mime_of(head, name), mime, "{name:?}");
        }
        assert_eq!(kind_of("image/svg+xml"), Kind::File);
        assert_eq!(kind_of("image/png"), Kind::Image);
    }
}
