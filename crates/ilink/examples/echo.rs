//! A bot that answers with what it got, texts and files, in a page: `cargo run -p ilink --example echo`.
//!
//! Against the simulator (`openclaw-weixin-sidecar simulate --port 8080`): `… --example echo http://127.0.0.1:8080 http://127.0.0.1:8080/c2c`.
//! It logs in anew each time, and keeps nothing: a real bot keeps its token and its cursor.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use ilink::cdn::{Cdn, MediaKey, MediaSource, Stalls, UploadTarget, cipher_len};
use ilink::*;
use md5::{Digest, Md5};

type Fallible<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let base_url = arguments.next().unwrap_or("https://ilinkai.weixin.qq.com".into());
    let cdn_url = arguments.next().unwrap_or("https://novac2c.cdn.weixin.qq.com/c2c".into());
    run(base_url, cdn_url).await
}

/// Runs until something fails.
pub async fn run(base_url: String, cdn_url: String) -> Fallible<()> {
    let cdn = Cdn::new(&cdn_url, Vec::new(), Stalls::default());
    let ilink = Ilink::new(Hosts::system(""))?;
    let bot_agent = bot_agent(None, &[("echo", "1.0")]);
    let endpoint = Endpoint { base_url, route_tag: None, bot_agent, version: ProtocolVersion::NEWEST };

    let session = log_in(&ilink, endpoint).await?;
    ilink.notify_start(&session).await?;
    let mut cursor = FIRST_CURSOR.to_owned();
    loop {
        let hold = Duration::from_secs(35);
        let Some(updates) = ilink.get_updates(&session, &cursor, hold).await? else { continue };
        if let Messages::Here(messages) = updates.msgs {
            for raw in messages {
                let message: WireMessage = serde_json::from_str(raw.get())?;
                if message.message_type != Some(MESSAGE_TYPE_BOT) {
                    answer(&ilink, &session, &cdn, &message).await?;
                }
            }
        }
        // Only now: what is behind this cursor is never sent again.
        cursor = updates.get_updates_buf.unwrap_or(cursor);
    }
}

async fn log_in(ilink: &Ilink, mut endpoint: Endpoint) -> Fallible<Session> {
    let code = ilink.get_bot_qrcode(&endpoint, &[]).await?;
    let qrcode = code.qrcode.ok_or("no QR code")?;
    println!("Open this with WeChat: {}", code.qrcode_img_content.unwrap_or_default());
    let mut number: Option<String> = None;
    loop {
        match ilink.get_qrcode_status(&endpoint, &qrcode, number.take().as_deref()).await? {
            QrStatus::Confirmed(confirmed) => {
                if let Some(url) = confirmed.base_url.filter(|url| !url.is_empty()) {
                    endpoint.base_url = assigned_address(&endpoint.base_url, &url).ok_or("a host that is none")?;
                }
                println!("Connected as {}", confirmed.bot_id.unwrap_or_default());
                return Ok(Session { endpoint, token: confirmed.bot_token.ok_or("no token")? });
            }
            QrStatus::Redirect(Some(host)) => {
                endpoint.base_url = redirected_address(&endpoint.base_url, &host).ok_or("a host that is none")?;
            }
            QrStatus::NeedVerifyCode => {
                println!("The number on the phone:");
                number = std::io::stdin().lines().next().transpose()?;
            }
            QrStatus::Expired => return Err("the code has expired".into()),
            QrStatus::AlreadyBound | QrStatus::VerifyCodeBlocked => return Err("WeChat refuses this login".into()),
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

async fn answer(ilink: &Ilink, session: &Session, cdn: &Cdn, message: &WireMessage) -> Fallible<()> {
    let Some(to) = message.from_user_id.as_deref() else { return Ok(()) };
    for item in &message.item_list.first {
        // The same on every try: WeChat shows it once.
        let client_id = format!("echo-{:016x}", rand::random::<u64>());
        let reply = |item| OutgoingMessage {
            to,
            client_id: &client_id,
            item,
            context_token: message.context_token.as_ref(),
            run_id: None,
        };
        if let (Some(file), Some(media)) =
            (&item.file_item, item.file_item.as_ref().and_then(|file| file.media.as_ref()))
        {
            let copy = std::env::temp_dir().join(&client_id);
            let key = media.aes_key.as_deref().map(MediaKey::from_base64).transpose()?;
            let source =
                MediaSource { full_url: media.full_url.clone(), query_param: media.encrypt_query_param.clone(), key };
            let admit = |_bytes| -> futures_util::future::BoxFuture<'_, _> { Box::pin(async { Ok(()) }) };
            let got = cdn.download(&source, 20 << 20, &copy, &admit).await?;
            let there = upload(ilink, session, cdn, to, &copy).await?;
            std::fs::remove_file(&copy)?;
            let media = OutgoingMedia {
                query_param: &there.query_param,
                aes_key: &there.aes_key,
                cipher_size: there.cipher_size,
            };
            let name = file.file_name.as_deref().unwrap_or("file");
            ilink.send(session, &reply(OutgoingItem::File { media, name, len: got.size })).await?;
        } else if let Some(text) = item.text() {
            ilink.send(session, &reply(OutgoingItem::Text(&format!("echo: {text}")))).await?;
        }
    }
    Ok(())
}

async fn upload(ilink: &Ilink, session: &Session, cdn: &Cdn, to: &str, file: &Path) -> Fallible<cdn::Uploaded> {
    let bytes = std::fs::read(file)?;
    let (key, filekey) = (MediaKey::random(), format!("{:032x}", rand::random::<u128>()));
    let request = UploadRequest {
        filekey: &filekey,
        media_type: 3,
        to_user_id: to,
        rawsize: bytes.len() as u64,
        rawfilemd5: &hex::encode(Md5::digest(&bytes)),
        filesize: cipher_len(bytes.len() as u64),
        no_need_thumb: true,
        thumb: None,
        aeskey: UploadKey(&key.to_hex()),
    };
    let place = ilink.get_upload_url(session, &request).await?;
    let target =
        UploadTarget { full_url: place.upload_full_url, upload_param: place.upload_param.unwrap_or_default(), filekey };
    Ok(cdn.upload(&target, &key, file, bytes.len() as u64).await?)
}
