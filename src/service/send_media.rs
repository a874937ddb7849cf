//! The sender: files and tool progress; what may be sent, and as what.

use std::path::{Path, PathBuf};

use super::sender::{Address, Origin, Sender, dropped, peer};
use crate::contract::{
    AccountId, ContractError, ErrorKind, MediaKind as Asked, ProgressPhase, SendMediaParams, SendProgressParams,
    SendResult, SendStatus,
};
use crate::media::{Kind, kind_of, mime_of, safe_name, thumbnail, voice};
use crate::outbound::{
    Content, ItemKind, MediaPart, Progress, Shown, Spooled, Thumb, ToolEnd, discard, measure, spool,
};

impl Sender {
    /// Sends a file, with what is said of it before it.
    pub async fn send_media(&self, params: SendMediaParams, origin: Origin) -> Result<SendResult, ContractError> {
        let to = peer(&params.to)?;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (path, url) = (filled(params.path), filled(params.url));
        if params.media_id.is_some() {
            let message = "params.mediaId: is known only to the hub; give path or url";
            return Err(ContractError::new(ErrorKind::InvalidParams, message));
        }
        let (kind, text, file_name) = (params.kind.unwrap_or_default(), filled(params.text), filled(params.file_name));
        let address = Address {
            account: params.account_id.as_deref(),
            run_id: params.run_id,
            key: filled(params.idempotency_key),
            extra: false,
            origin: origin.clone(),
        };
        let of = to.clone();
        self.send(to, address, async |account: &AccountId| {
            let (spooled, name) = match (path, url) {
                (Some(path), None) => {
                    let name = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
                    (self.spool_path(account, &of, path, origin.folder.clone()).await?, name)
                }
                (None, Some(url)) => self.spool_url(&url).await?,
                _ => {
                    let message = "params: give either path or url";
                    return Err(ContractError::new(ErrorKind::InvalidParams, message));
                }
            };
            let name = safe_name(&file_name.or(name).unwrap_or_default());
            self.as_part(spooled, name, kind).await.map(|part| Content::Media(Box::new(part), text))
        })
        .await
    }

    async fn spool_path(
        &self,
        account: &AccountId,
        to: &str,
        path: String,
        folder: Option<PathBuf>,
    ) -> Result<Spooled, ContractError> {
        let (library, limit, channel) =
            (self.library.clone(), self.clients.settings().media_max_bytes(), self.clients.files().state().channel());
        let (of, named) = (account.clone(), path.clone());
        // What a message brought: its account's folder, its key's.
        let key = blocking(move || Ok(library.key_of(of.as_str(), Path::new(&named)))).await?;
        let number = self.store.get_or_create_account(account).await?.no;
        let is_theirs = match key {
            Some(key) => self.store.is_of(number, to, key).await?,
            None => false,
        };
        let (library, mut roots) = (self.library.clone(), self.media_roots.clone());
        roots.extend(folder);
        blocking(move || {
            let place = place(&library)?;
            match is_theirs {
                true => roots = vec![library.root().to_owned()],
                // Credentials and conversations are nobody's to send, whatever folder above them was named.
                false if std::fs::canonicalize(&path).is_ok_and(|real| is_inside(&real, &channel)) => {
                    roots.retain(|root| std::fs::canonicalize(root).is_ok_and(|root| is_inside(&root, library.root())));
                    roots.retain(|root| std::fs::canonicalize(&path).is_ok_and(|real| is_inside(&real, root)));
                    if roots.is_empty() {
                        let message = format!("{path} belongs to the channel itself and is not sent");
                        return Err(ContractError::new(ErrorKind::MediaDenied, message));
                    }
                }
                false => {}
            }
            Ok(spool(&path, &roots, limit, &place)?)
        })
        .await
    }

    async fn spool_url(&self, url: &str) -> Result<(Spooled, Option<String>), ContractError> {
        let library = self.library.clone();
        let place = blocking(move || place(&library)).await?;
        let fetched = self.clients.cdn().fetch_url(url, self.clients.settings().media_max_bytes(), &place).await?;
        let spooled = blocking(move || Ok(measure(&place)?)).await?;
        Ok((spooled, fetched.file_name))
    }

    /// What a file is sent as.
    async fn as_part(&self, spooled: Spooled, name: String, asked: Asked) -> Result<MediaPart, ContractError> {
        let mime = mime_of(&spooled.head, Some(&name)).into_owned();
        let kind = match (asked, kind_of(&mime)) {
            (Asked::Image, _) | (Asked::Auto, Kind::Image) => ItemKind::Image,
            (Asked::Video, _) | (Asked::Auto, Kind::Video) => ItemKind::Video,
            (Asked::Voice, _) => return self.as_voice(spooled, name, mime).await,
            (Asked::File | Asked::Auto, _) => ItemKind::File,
        };
        let thumb = match kind {
            ItemKind::Image if self.clients.settings().thumbnails() => {
                let file = spooled.file.clone();
                // A picture that breaks the decoder is sent all the same.
                let small = tokio::task::spawn_blocking(move || thumbnail(&file)).await.unwrap_or_default();
                small.map(|small| Thumb::new(&small.jpeg, small.width, small.height))
            }
            _ => None,
        };
        Ok(MediaPart { thumb, ..MediaPart::new(spooled, kind, name, mime) })
    }

    /// As a voice message where that is on and possible, else as a file where that is allowed.
    async fn as_voice(&self, spooled: Spooled, name: String, mime: String) -> Result<MediaPart, ContractError> {
        let (sends_voice, falls_back) = self.clients.settings().voice();
        let library = self.library.clone();
        blocking(move || {
            let encoded = match sends_voice {
                true => {
                    let out = place(&library)?;
                    voice::encode(&spooled.file, &mime, &out).map(|duration| (out, duration))
                }
                false => Err("voice.send is off".to_owned()),
            };
            match encoded {
                Ok((out, duration)) => {
                    discard(&spooled.file);
                    let voice = MediaPart::new(measure(&out)?, ItemKind::Voice, name, "audio/silk".to_owned());
                    Ok(MediaPart { duration_ms: Some(duration), ..voice })
                }
                Err(why) if falls_back => {
                    tracing::debug!(why, "a voice message is sent as a file");
                    Ok(MediaPart::new(spooled, ItemKind::File, name, mime))
                }
                Err(why) => {
                    discard(&spooled.file);
                    let message = format!("{why}; turn on voice.fallback to send it as a file");
                    Err(ContractError::new(ErrorKind::MediaDenied, message))
                }
            }
        })
        .await
    }

    /// Shows tool progress where there is room for it.
    pub async fn send_progress(&self, params: SendProgressParams) -> Result<SendResult, ContractError> {
        let to = peer(&params.to)?;
        let account = self.directory.account_for(params.account_id.as_deref(), &to).await?;
        let number = self.directory.number(&account).await?;
        let end = match params.phase {
            ProgressPhase::Start => None,
            ProgressPhase::End => Some(ToolEnd::from_text(params.status.as_deref().unwrap_or("completed"))),
        };
        let progress = Progress {
            account,
            number,
            to,
            run_id: params.run_id,
            call: params.tool_call_id.filter(|id| !id.is_empty()).unwrap_or_else(|| params.tool_name.clone()),
            tool: params.tool_name,
            end,
        };
        Ok(match self.outbox.show(progress).await? {
            Shown::Sent(client_id, message_id) => SendResult {
                status: if message_id.is_some() { SendStatus::Sent } else { SendStatus::Unconfirmed },
                parts: 1,
                client_ids: vec![client_id],
                message_ids: message_id.into_iter().collect(),
                queue_id: None,
                held_reason: None,
            },
            Shown::Dropped => dropped(),
        })
    }
}

fn place(library: &crate::media::Library) -> Result<PathBuf, ContractError> {
    library.spool().map_err(|error| {
        let message =
            format!("{} cannot be written ({error}); make it writable for this user", library.root().display());
        ContractError::new(ErrorKind::StoreFailed, message)
    })
}

fn is_inside(real: &Path, dir: &Path) -> bool {
    std::fs::canonicalize(dir).is_ok_and(|dir| real.starts_with(dir))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContractError> + Send + 'static,
) -> Result<T, ContractError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ContractError::new(ErrorKind::Internal, error.to_string()))?
}
