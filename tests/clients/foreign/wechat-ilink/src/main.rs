//! A bot on wechat-ilink (crates.io), as its README does it, for somebody who is logged in already: the credentials are read from
//! `credentials.json`, and the cursor, which the crate leaves to its user, is kept in `cursor`.
//!
//! Its CDN is a constant. The server has to give full addresses, as the real one does: `upload_full_url` and `full_url`.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use wechat_ilink::{Credentials, IncomingMessage, Result, SendContent, WechatEvent, WechatIlinkClient};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = PathBuf::from(env::args().nth(1).expect("usage: foreign-wechat-ilink FOLDER"));
    let credentials: Credentials = serde_json::from_slice(&fs::read(folder.join("credentials.json"))?)?;
    let client = Arc::new(WechatIlinkClient::builder().credentials(credentials).build());
    let mut events = Arc::clone(&client).events_from_cursor(fs::read_to_string(folder.join("cursor")).ok());
    println!("polling");
    while let Some(event) = events.next().await {
        match event? {
            WechatEvent::Message(message) => {
                if let Err(error) = answer(&client, &message, &folder).await {
                    eprintln!("cannot answer: {error}");
                }
            }
            WechatEvent::CursorAdvanced { cursor, .. } => fs::write(folder.join("cursor"), cursor)?,
            other => println!("{other:?}"),
        }
    }
    Ok(())
}

async fn answer(client: &WechatIlinkClient, message: &IncomingMessage, folder: &Path) -> Result<()> {
    if let Some(context) = &message.context {
        client.send_typing_with_context(context).await?;
    }
    if let Some(media) = client.download(message).await? {
        let name = media.file_name.unwrap_or_else(|| format!("a-{}", media.media_type));
        fs::write(folder.join(name), media.data)?;
    } else if let Some(path) = message.text.strip_prefix("#send ") {
        let path = Path::new(path);
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = SendContent::File { data: fs::read(path)?, file_name, caption: Some("here".into()) };
        client.reply_media(message, content).await?;
    } else {
        client.reply(message, &format!("echo: {}", message.text)).await?;
    }
    Ok(())
}
