//! Answers to a login: what they say, where they send the client, what is drawn of them.

use ilink::QrStatus;
use openclaw_weixin_sidecar::fuzzing::{read_qr_code, read_qr_status, redirected};
use openclaw_weixin_sidecar::login::QrCode;
use url::Url;

pub fn check(body: &[u8]) {
    match read_qr_status(body) {
        Ok(QrStatus::Redirect(Some(host))) => redirect(&host),
        Ok(QrStatus::Confirmed(login)) => {
            let given = [&login.bot_id, &login.user_id, &login.base_url];
            assert!(given.into_iter().flatten().all(|text| !text.trim().is_empty()), "blank is nothing");
        }
        _ => {}
    }
    if let Ok(text) = std::str::from_utf8(body) {
        redirect(text);
    }
    if let Ok(answer) = read_qr_code(body)
        && let Some(content) = answer.qrcode_img_content
    {
        draw(&content);
    }
}

/// Requests of a redirected login go to the host that was named, by the same scheme, and to the protocol's paths.
fn redirect(host: &str) {
    let Some(base) = redirected("https://home.example", host) else { return };
    let url = Url::parse(&format!("{base}/ilink/bot/get_qrcode_status")).expect("a usable address");
    assert_eq!((url.scheme(), url.path()), ("https", "/ilink/bot/get_qrcode_status"), "{base:?}");
    assert!(url.host_str().is_some_and(|host| !host.is_empty()), "{base:?}");
    let extras = [url.query(), url.fragment(), url.password()];
    assert!(url.username().is_empty() && extras.iter().all(Option::is_none), "{base:?}");
}

fn draw(content: &str) {
    let Ok(code) = QrCode::new(content) else {
        assert!(content.is_empty() || content.len() > 2953, "a text of {} bytes fits", content.len());
        return;
    };
    let width = code.plain_text().lines().next().map_or(0, |line| line.chars().count());
    assert!(code.plain_text().lines().all(|line| line.chars().count() == width));
    assert_eq!(code.terminal_text().lines().count(), width.div_ceil(2));
    assert!(code.png_data_url().starts_with("data:image/png;base64,"));
}
