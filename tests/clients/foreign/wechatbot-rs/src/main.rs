//! A bot on wechatbot (crates.io), as its README does it, for somebody who is logged in already: it finds `credentials.json`. It
//! keeps no cursor.
//!
//! The CDN of its `WeChatBot` is a constant, and it looks at no full addresses. Its lower half takes another one, so files go
//! through that: `CdnClient` for what comes, `ILinkClient` for what goes.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use serde_json::json;
use tokio::sync::mpsc;
use wechatbot::protocol::{build_cdn_upload_url, build_media_message, GetUploadUrlParams, ILinkClient};
use wechatbot::{
    encode_aes_key_base64, encode_aes_key_hex, encrypt_aes_ecb, generate_aes_key, BotOptions, CdnClient, Credentials,
    IncomingMessage, Result, WeChatBot, WeChatBotError,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(cdn), Some(folder)) = (arguments.next(), arguments.next()) else {
        panic!("usage: foreign-wechatbot CDN FOLDER");
    };
    let folder = PathBuf::from(folder);
    let bot = Arc::new(WeChatBot::new(BotOptions {
        cred_path: Some(folder.join("credentials.json").to_string_lossy().into_owned()),
        on_error: Some(Box::new(|error| eprintln!("{error}"))),
        ..BotOptions::default()
    }));
    let credentials = bot.login(false).await?;
    // Its handlers cannot wait, so they hand over.
    let (sender, mut receiver) = mpsc::unbounded_channel::<IncomingMessage>();
    bot.on_message(Box::new(move |message| drop(sender.send(message.clone())))).await;
    let files = Files { cdn, credentials, api: ILinkClient::new() };
    let answering = {
        let bot = Arc::clone(&bot);
        async move {
            while let Some(message) = receiver.recv().await {
                if let Err(error) = answer(&bot, &files, &message, &folder).await {
                    eprintln!("cannot answer: {error}");
                }
            }
        }
    };
    println!("polling");
    tokio::select! {
        end = bot.run() => end,
        () = answering => Ok(()),
    }
}

async fn answer(bot: &WeChatBot, files: &Files, message: &IncomingMessage, folder: &Path) -> Result<()> {
    bot.send_typing(&message.user_id).await?;
    if let Some((name, data)) = files.received(message).await? {
        fs::write(folder.join(name), data)?;
    } else if let Some(path) = message.text.strip_prefix("#send ") {
        bot.reply(message, "here").await?;
        files.send(message, Path::new(path)).await?;
    } else {
        bot.reply(message, &format!("echo: {}", message.text)).await?;
    }
    Ok(())
}

struct Files {
    cdn: String,
    credentials: Credentials,
    api: ILinkClient,
}

impl Files {
    /// What `WeChatBot::download` does, with another CDN.
    async fn received(&self, message: &IncomingMessage) -> Result<Option<(String, Vec<u8>)>> {
        let image = message.images.first().and_then(|image| Some((image.media.as_ref()?, image.aes_key.as_deref())));
        let file = message.files.first().and_then(|file| Some((file.media.as_ref()?, None)));
        let Some((media, key)) = image.or(file) else { return Ok(None) };
        let data = CdnClient::new().with_base_url(&self.cdn).download(media, key).await?;
        let name = message.files.first().and_then(|file| file.file_name.clone()).unwrap_or_else(|| "an-image".into());
        Ok(Some((name, data)))
    }

    /// What `WeChatBot::reply_media` does, with another CDN.
    async fn send(&self, message: &IncomingMessage, path: &Path) -> Result<()> {
        let Credentials { base_url, token, .. } = &self.credentials;
        let data = fs::read(path)?;
        let is_image = path.extension().is_some_and(|extension| extension == "png");
        let key = generate_aes_key();
        let encrypted = encrypt_aes_ecb(&data, &key);
        // Hexadecimal, and of any value: the keys are made at random.
        let (filekey, rawfilemd5) = (encode_aes_key_hex(&generate_aes_key()), digest(&data));
        let parameters = GetUploadUrlParams {
            filekey: filekey.clone(),
            media_type: if is_image { 1 } else { 3 },
            to_user_id: message.user_id.clone(),
            rawsize: data.len(),
            rawfilemd5,
            filesize: encrypted.len(),
            no_need_thumb: true,
            aeskey: encode_aes_key_hex(&key),
        };
        let place = self.api.get_upload_url(base_url, token, &parameters).await?;
        let parameter = place.upload_param.ok_or_else(|| WeChatBotError::Media("there is no upload_param".into()))?;
        let reference =
            self.api.upload_to_cdn(&build_cdn_upload_url(&self.cdn, &parameter, &filekey), &encrypted).await?;
        let media =
            json!({ "encrypt_query_param": reference, "aes_key": encode_aes_key_base64(&key), "encrypt_type": 1 });
        let item = if is_image {
            json!({ "type": 2, "image_item": { "media": media, "mid_size": encrypted.len() } })
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            json!({ "type": 4, "file_item": { "media": media, "file_name": name, "len": data.len().to_string() } })
        };
        let message = build_media_message(&message.user_id, message.context_token(), vec![item]);
        self.api.send_message(base_url, token, &message).await
    }
}

fn digest(data: &[u8]) -> String {
    use md5::{Digest, Md5};
    Md5::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}
