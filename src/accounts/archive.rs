//! Credentials of accounts in one encrypted file. WeChat lets nobody bind a bot again whose credentials were lost.
//!
//! The file is an [age](https://age-encryption.org) file with a passphrase: `age -d` opens it, too. Inside is JSON: the
//! account files as they are, and the labels.

use std::io::{Read as _, Write as _};

use age::secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::files::AccountFile;

/// The only version there is.
const VERSION: u32 = 1;
/// A thousand accounts are some hundred kilobytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Why an archive cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// There is no passphrase.
    #[error("the passphrase is empty; the archive holds what authorises your bots, so choose a good one")]
    NoPassphrase,
    /// It was not encrypted with this passphrase, or not at all.
    #[error(
        "the archive cannot be opened ({0}); see that the passphrase is the one it was made with, and the file whole"
    )]
    Closed(String),
    /// It was opened, and holds something else.
    #[error("the archive was opened and holds no accounts of this program ({0})")]
    Foreign(String),
    /// It could not be made.
    #[error("the archive could not be made ({0})")]
    Unmade(String),
}

/// What an archive holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    version: u32,
    /// In the order of their logins, newest last.
    pub accounts: Vec<ArchivedAccount>,
}

/// An account in an archive.
#[skip_serializing_none]
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivedAccount {
    pub account_id: String,
    pub file: AccountFile,
    pub label: Option<String>,
}

impl Archive {
    /// With these accounts.
    pub fn of(accounts: Vec<ArchivedAccount>) -> Archive {
        Archive { version: VERSION, accounts }
    }

    /// Encrypts it. Takes about a second on purpose: so does every guess of the passphrase.
    pub fn seal(&self, passphrase: &str) -> Result<Vec<u8>, ArchiveError> {
        let unmade = |error: &dyn ToString| ArchiveError::Unmade(error.to_string());
        let json = serde_json::to_vec(self).map_err(|error| unmade(&error))?;
        let encryptor = age::Encryptor::with_user_passphrase(secret(passphrase)?);
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| unmade(&error))?;
        writer.write_all(&json).map_err(|error| unmade(&error))?;
        writer.finish().map_err(|error| unmade(&error))?;
        Ok(sealed)
    }

    /// Decrypts what [`Archive::seal`] made.
    pub fn open(sealed: &[u8], passphrase: &str) -> Result<Archive, ArchiveError> {
        let closed = |error: &dyn ToString| ArchiveError::Closed(error.to_string());
        let identity = age::scrypt::Identity::new(secret(passphrase)?);
        let decryptor = age::Decryptor::new(sealed).map_err(|error| closed(&error))?;
        let opened = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
        let mut json = Vec::new();
        let mut reader = opened.map_err(|error| closed(&error))?.take(MAX_BYTES);
        reader.read_to_end(&mut json).map_err(|error| closed(&error))?;
        let archive: Archive = serde_json::from_slice(&json)
            // Only where: the content is a secret.
            .map_err(|error| ArchiveError::Foreign(format!("line {} column {}", error.line(), error.column())))?;
        match archive.version {
            VERSION => Ok(archive),
            other => Err(ArchiveError::Foreign(format!("version {other}; update openclaw-weixin-sidecar"))),
        }
    }
}

fn secret(passphrase: &str) -> Result<SecretString, ArchiveError> {
    if passphrase.trim().is_empty() {
        return Err(ArchiveError::NoPassphrase);
    }
    Ok(SecretString::from(passphrase.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Archive {
        let file = serde_json::from_str(r#"{"token":"s3cret","userId":"u@im.wechat","later":1}"#).unwrap();
        Archive::of(vec![ArchivedAccount { account_id: "b1-im-bot".into(), file, label: Some("work".into()) }])
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_passphrase_only() {
        let sealed = archive().seal("open sesame").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("s3cret"));
        let opened = Archive::open(&sealed, "open sesame").unwrap();
        let account = &opened.accounts[0];
        assert_eq!((account.account_id.as_str(), account.label.as_deref()), ("b1-im-bot", Some("work")));
        assert_eq!(account.file, archive().accounts[0].file, "unknown keys too");
        assert!(matches!(Archive::open(&sealed, "open sesam"), Err(ArchiveError::Closed(_))));
        assert!(matches!(Archive::open(&sealed[..sealed.len() - 9], "open sesame"), Err(ArchiveError::Closed(_))));
        assert!(matches!(Archive::open(b"no archive", "open sesame"), Err(ArchiveError::Closed(_))));
        assert!(matches!(Archive::open(&sealed, " "), Err(ArchiveError::NoPassphrase)));
    }
}
