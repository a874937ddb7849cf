//! The official plugin's account files, read and written so that either plugin can follow the other.
//!
//! `accounts.json` is the index (newest last), `accounts/<id>.json` holds an account's credentials. Older files under
//! the raw bot id, and the single-account file before that, are found as well. Changes of the index happen under a file
//! lock, so that two processes that log in at once lose nothing.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::atomic;
use super::state_dir::StateDir;
use crate::contract::AccountId;
use crate::private;
use ilink::BotToken;

/// Why an account's files cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FilesError {
    /// A file is there but makes no sense.
    #[error("{path} is damaged ({cause}); it was left as it is. Log in again to replace it, or repair it by hand")]
    Damaged {
        path: PathBuf,
        /// What is wrong, without its content.
        cause: String,
    },
    /// A file cannot be read.
    #[error("{path} cannot be read ({cause}); check its owner and mode")]
    Unreadable {
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// A file cannot be written.
    #[error("{path} cannot be written ({cause}); check the directory's owner, mode and free space")]
    Unwritable {
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}

/// `accounts/<id>.json`. Keys that this version does not know are kept.
#[skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountFile {
    /// What authorises the bot.
    pub token: Option<BotToken>,
    /// When the token was saved; ISO 8601.
    pub saved_at: Option<String>,
    /// The API host that the login gave.
    pub base_url: Option<String>,
    /// Who scanned the QR code.
    pub user_id: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl AccountFile {
    /// The token, unless it is blank.
    pub fn usable_token(&self) -> Option<BotToken> {
        self.token.as_ref().and_then(|token| BotToken::new(token.reveal()))
    }
}

/// What a login brought.
#[derive(Clone, Debug)]
pub struct Login {
    pub id: AccountId,
    /// What authorises the bot.
    pub token: BotToken,
    /// The API host.
    pub base_url: Option<String>,
    /// Who scanned the QR code.
    pub user_id: Option<String>,
}

/// The files of one state directory. All calls block.
#[derive(Clone, Debug)]
pub struct AccountFiles {
    state: StateDir,
}

impl AccountFiles {
    /// The files under `state`.
    pub fn new(state: StateDir) -> AccountFiles {
        AccountFiles { state }
    }

    /// The state directory.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Account ids in the order of their logins, newest last. A damaged index is reported and the credential files
    /// themselves are listed instead.
    pub fn list(&self) -> Result<Vec<AccountId>, FilesError> {
        let raw = match self.read_index() {
            Err(error @ FilesError::Damaged { .. }) => {
                tracing::warn!(%error, "the index of accounts is damaged; listing the credential files instead");
                self.scan()?
            }
            other => other?,
        };
        let mut ids = Vec::with_capacity(raw.len());
        let mut known = HashSet::with_capacity(raw.len());
        for raw in raw.iter().filter(|raw| !raw.trim().is_empty()) {
            let id = AccountId::normalize(raw);
            if known.insert(id.clone()) {
                ids.push(id);
            }
        }
        // Before there was an index there was one account.
        if ids.is_empty() && self.legacy_token()?.is_some() {
            ids.push(AccountId::normalize("default"));
        }
        Ok(ids)
    }

    /// An account's file; `None` where it has none.
    pub fn load(&self, id: &AccountId) -> Result<Option<AccountFile>, FilesError> {
        for path in self.spellings(id, "json") {
            if let Some(found) = read_json(&path)? {
                return Ok(Some(found));
            }
        }
        // The single-account file of the oldest versions stands for whichever account is listed without its own.
        let Some(token) = self.legacy_token()? else { return Ok(None) };
        let listed = self.list()?.contains(id);
        Ok(listed.then(|| AccountFile { token: Some(token), ..AccountFile::default() }))
    }

    /// Saves a login: the account's file, its place in the index, and the removal of older accounts of the same person.
    /// Returns the accounts that were removed.
    pub fn save_login(&self, login: &Login) -> Result<Vec<AccountId>, FilesError> {
        let _guard = self.lock()?;
        // A damaged file is replaced: that is what its error text promises.
        let existing = self.load(&login.id).ok().flatten().unwrap_or_default();
        let file = AccountFile {
            token: Some(login.token.clone()),
            saved_at: Some(iso_now()),
            base_url: login.base_url.clone().or(existing.base_url),
            user_id: login.user_id.clone().or(existing.user_id),
            other: existing.other,
        };
        let removed: Vec<AccountId> = match login.user_id.as_deref() {
            Some(user) => self.others_of(user, &login.id)?.into_iter().map(|(id, _)| id).collect(),
            None => Vec::new(),
        };
        self.write_account(&login.id, &file, &removed)?;
        Ok(removed)
    }

    /// Puts back an account that was saved elsewhere, unless a login that is as new or newer is here: of that account, or of
    /// the same person, who can have one bot only. Returns the accounts that it replaced; `None` where it was not put back.
    pub fn restore(&self, id: &AccountId, file: AccountFile) -> Result<Option<Vec<AccountId>>, FilesError> {
        let _guard = self.lock()?;
        let others = match file.user_id.as_deref() {
            Some(user) => self.others_of(user, id)?,
            None => Vec::new(),
        };
        let known = self.load(id).ok().flatten().filter(|known| known.usable_token().is_some());
        // ISO 8601 in UTC sorts by time.
        let is_older = |known: &AccountFile| known.saved_at < file.saved_at;
        if known.is_some_and(|known| !is_older(&known)) || others.iter().any(|(_, other)| !is_older(other)) {
            return Ok(None);
        }
        let removed: Vec<AccountId> = others.into_iter().map(|(id, _)| id).collect();
        self.write_account(id, &file, &removed)?;
        Ok(Some(removed))
    }

    /// Whether the person of this account has logged in here again since, as another account.
    pub fn has_newer_login(&self, id: &AccountId) -> bool {
        let Ok(Some(own)) = self.load(id) else { return false };
        let Some(user) = own.user_id.as_deref() else { return false };
        let others = self.others_of(user, id).unwrap_or_default();
        others.iter().any(|(_, other)| other.saved_at > own.saved_at)
    }

    /// The accounts of a person, but for `id`.
    fn others_of(&self, user: &str, id: &AccountId) -> Result<Vec<(AccountId, AccountFile)>, FilesError> {
        let others = self.list()?.into_iter().filter(|other| other != id);
        let files = others.filter_map(|other| Some((self.load(&other).ok().flatten()?, other)));
        Ok(files.filter(|(file, _)| file.user_id.as_deref() == Some(user)).map(|(file, id)| (id, file)).collect())
    }

    /// Writes an account and puts it last in the index, without those that it replaces.
    fn write_account(&self, id: &AccountId, file: &AccountFile, replaced: &[AccountId]) -> Result<(), FilesError> {
        let path = self.path(id, "json");
        make_dir(path.parent().unwrap_or(Path::new(".")))?;
        write_json(&path, file)?;
        let mut index = self.list_for_change()?;
        index.retain(|other| !replaced.contains(other) && other != id);
        index.push(id.clone());
        self.write_index(&index)?;
        replaced.iter().try_for_each(|id| self.delete_files(id).map(|_| ()))
    }

    /// Removes an account from the index and deletes its files. Returns whether there was one.
    pub fn remove(&self, id: &AccountId) -> Result<bool, FilesError> {
        let _guard = self.lock()?;
        let mut index = self.list_for_change()?;
        let before = index.len();
        index.retain(|other| other != id);
        let listed = index.len() < before;
        if listed {
            self.write_index(&index)?;
        }
        let deleted = self.delete_files(id)?;
        Ok(listed || deleted)
    }

    /// Tokens of local bots, newest first: the server recognises bots that are bound here.
    pub fn known_tokens(&self) -> Vec<BotToken> {
        let ids = self.list().unwrap_or_default();
        ids.iter().rev().filter_map(|id| self.load(id).ok().flatten()?.usable_token()).take(10).collect()
    }

    /// The path of an account's file with this ending.
    pub fn path(&self, id: &AccountId, ending: &str) -> PathBuf {
        self.accounts_dir().join(format!("{id}.{ending}"))
    }

    /// Under which paths an account's file may be: the normalised id, then the raw one of older versions.
    pub fn spellings(&self, id: &AccountId, ending: &str) -> Vec<PathBuf> {
        let mut paths = vec![self.path(id, ending)];
        paths.extend(id.raw_bot_id().map(|raw| self.accounts_dir().join(format!("{raw}.{ending}"))));
        paths
    }

    /// When the index or a credential file last changed, as a number that only serves for comparing.
    pub fn stamp(&self) -> Option<(std::time::SystemTime, std::time::SystemTime)> {
        let modified = |path: PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
        Some((modified(self.accounts_dir())?, modified(self.index_path())?))
    }

    fn accounts_dir(&self) -> PathBuf {
        self.state.channel().join("accounts")
    }

    fn index_path(&self) -> PathBuf {
        self.state.channel().join("accounts.json")
    }

    fn read_index(&self) -> Result<Vec<String>, FilesError> {
        let entries: Vec<Value> = read_json(&self.index_path())?.unwrap_or_default();
        Ok(entries.into_iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect())
    }

    /// The index, to be written again. A damaged one is kept under another name first.
    fn list_for_change(&self) -> Result<Vec<AccountId>, FilesError> {
        let ids = self.list()?;
        if matches!(self.read_index(), Err(FilesError::Damaged { .. })) {
            let path = self.index_path();
            let aside = path.with_extension(format!("json.damaged-{}", crate::store::now_ms()));
            let kept = fs::rename(&path, &aside);
            kept.map_err(|error| FilesError::Unwritable { path, cause: error.to_string() })?;
        }
        Ok(ids)
    }

    /// The ids that credential files are named after.
    fn scan(&self) -> Result<Vec<String>, FilesError> {
        let dir = self.accounts_dir();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FilesError::Unreadable { path: dir, cause: error.to_string() }),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let stems = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
        let mut ids: Vec<String> =
            stems.filter(|stem| !stem.ends_with(".sync") && !stem.ends_with(".context-tokens")).collect();
        ids.sort();
        Ok(ids)
    }

    fn write_index(&self, ids: &[AccountId]) -> Result<(), FilesError> {
        write_json(&self.index_path(), &ids)
    }

    fn legacy_token(&self) -> Result<Option<BotToken>, FilesError> {
        let path = self.state.root().join("credentials").join("openclaw-weixin").join("credentials.json");
        let file: Option<AccountFile> = read_json(&path)?;
        Ok(file.and_then(|file| file.usable_token()))
    }

    fn delete_files(&self, id: &AccountId) -> Result<bool, FilesError> {
        let mut deleted = false;
        for ending in ["json", "sync.json", "context-tokens.json"] {
            for path in self.spellings(id, ending) {
                match fs::remove_file(&path) {
                    Ok(()) => deleted = true,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(FilesError::Unwritable { path, cause: error.to_string() }),
                }
            }
        }
        Ok(deleted)
    }

    /// Held while the index changes. The lock ends with the returned file.
    fn lock(&self) -> Result<File, FilesError> {
        let dir = self.state.channel();
        make_dir(&dir)?;
        let path = dir.join("accounts.json.lock");
        private::lock_file(&path)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| FilesError::Unwritable { path, cause: error.to_string() })
    }
}

fn make_dir(dir: &Path) -> Result<(), FilesError> {
    private::make_dir(dir).map_err(|error| FilesError::Unwritable { path: dir.to_owned(), cause: error.to_string() })
}

/// A JSON file; `None` where there is none.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, FilesError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(FilesError::Unreadable { path: path.to_owned(), cause: error.to_string() }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| FilesError::Damaged {
        path: path.to_owned(),
        // Only where: the content is a secret.
        cause: format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column()),
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FilesError> {
    let failed = |cause: String| FilesError::Unwritable { path: path.to_owned(), cause };
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.to_string()))?;
    atomic::replace(path, &text).map_err(|error| failed(error.to_string()))
}

/// Now, as JavaScript's `toISOString` writes it.
fn iso_now() -> String {
    let ms = crate::store::now_ms();
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days since 1970 to a civil date: Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s, ms) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, AccountFiles) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::resolve(Some(dir.path())).unwrap();
        (dir, AccountFiles::new(state))
    }

    fn login(id: &str, user: &str) -> Login {
        Login {
            id: AccountId::normalize(id),
            token: BotToken::new("token").unwrap(),
            base_url: Some("https://host".into()),
            user_id: Some(user.into()),
        }
    }

    #[test]
    fn a_login_is_saved_as_the_official_plugin_saves_it() {
        let (_dir, files) = files();
        files.save_login(&login("b1@im.bot", "u1")).unwrap();
        let text = fs::read_to_string(files.path(&AccountId::normalize("b1@im.bot"), "json")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["token"], "token");
        assert_eq!(value["baseUrl"], "https://host");
        assert_eq!(value["userId"], "u1");
        assert_eq!(value["savedAt"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
        assert_eq!(fs::read_to_string(files.index_path()).unwrap(), "[\n  \"b1-im-bot\"\n]");
    }

    #[cfg(unix)]
    #[test]
    fn credentials_are_for_the_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let (_dir, files) = files();
        files.save_login(&login("b1", "u1")).unwrap();
        let mode = fs::metadata(files.path(&AccountId::normalize("b1"), "json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_new_account_of_the_same_person_replaces_the_old_one() {
        let (_dir, files) = files();
        files.save_login(&login("b1", "u1")).unwrap();
        files.save_login(&login("b2", "u2")).unwrap();
        let removed = files.save_login(&login("b3", "u1")).unwrap();
        assert_eq!(removed, [AccountId::normalize("b1")]);
        let ids: Vec<String> = files.list().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["b2", "b3"]);
        assert!(files.load(&AccountId::normalize("b1")).unwrap().is_none());
    }

    #[test]
    fn files_of_older_versions_are_found() {
        let (dir, files) = files();
        let accounts = dir.path().join("openclaw-weixin/accounts");
        fs::create_dir_all(&accounts).unwrap();
        fs::write(accounts.join("b1@im.bot.json"), r#"{"token":"old"}"#).unwrap();
        let found = files.load(&AccountId::normalize("b1@im.bot")).unwrap().unwrap();
        assert_eq!(found.usable_token().unwrap().reveal(), "old");

        let credentials = dir.path().join("credentials/openclaw-weixin");
        fs::create_dir_all(&credentials).unwrap();
        fs::write(credentials.join("credentials.json"), r#"{"token":"older"}"#).unwrap();
        assert_eq!(files.list().unwrap(), [AccountId::normalize("default")]);
        let found = files.load(&AccountId::normalize("default")).unwrap().unwrap();
        assert_eq!(found.usable_token().unwrap().reveal(), "older");
    }

    #[test]
    fn a_damaged_file_is_named_and_its_content_is_not_shown() {
        let (_dir, files) = files();
        files.save_login(&login("b1", "u1")).unwrap();
        let path = files.path(&AccountId::normalize("b1"), "json");
        fs::write(&path, r#"{"token": "s3cret"#).unwrap();
        let text = files.load(&AccountId::normalize("b1")).unwrap_err().to_string();
        assert!(text.contains("b1.json") && !text.contains("s3cret"), "{text}");
        // A new login repairs it.
        files.save_login(&login("b1", "u1")).unwrap();
        assert!(files.load(&AccountId::normalize("b1")).unwrap().is_some());
    }

    #[test]
    fn a_damaged_index_is_kept_aside_and_no_account_is_lost() {
        let (_dir, files) = files();
        files.save_login(&login("b1", "u1")).unwrap();
        fs::write(files.index_path(), "[\"b1").unwrap();
        assert_eq!(files.list().unwrap(), [AccountId::normalize("b1")]);
        files.save_login(&login("b2", "u2")).unwrap();
        assert_eq!(files.list().unwrap().len(), 2);
        let names = fs::read_dir(files.state.channel()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.map(|name| name.into_string().unwrap()).find(|name| name.contains("damaged")).unwrap();
        assert_eq!(fs::read_to_string(files.state.channel().join(aside)).unwrap(), "[\"b1");
    }

    #[test]
    fn unknown_keys_survive_a_login() {
        let (_dir, files) = files();
        files.save_login(&login("b1", "u1")).unwrap();
        let path = files.path(&AccountId::normalize("b1"), "json");
        fs::write(&path, r#"{"token":"a","later":{"x":1}}"#).unwrap();
        files.save_login(&login("b1", "u1")).unwrap();
        let value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(value["later"]["x"], 1);
        assert_eq!(value["token"], "token");
    }

    #[test]
    fn two_processes_that_log_in_at_once_lose_no_account() {
        let (_dir, files) = files();
        std::thread::scope(|scope| {
            for n in 0..16 {
                let files = files.clone();
                scope.spawn(move || files.save_login(&login(&format!("b{n}"), &format!("u{n}"))).unwrap());
            }
        });
        assert_eq!(files.list().unwrap().len(), 16);
    }
}
