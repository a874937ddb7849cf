//! Accounts: the official plugin's files, who may poll an account, and what is told of it.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `state_dir` | where the files are |
//! | `files` | reading and writing the official plugin's account files |
//! | `atomic` | replacing a file so that no reader sees half of it |
//! | `import` | its cursor and context tokens, read once |
//! | `archive` | credentials in one encrypted file |
//! | `status_registry` | what is known of every account's state, for `status.get` and `account.status` |

mod archive;
mod atomic;
mod files;
mod import;
mod state_dir;
mod status_registry;

pub use archive::{Archive, ArchiveError, ArchivedAccount};
pub use files::{AccountFile, AccountFiles, FilesError, Login};
pub use import::{Legacy, read_legacy};
pub use state_dir::StateDir;
pub use status_registry::{Entry, StatusRegistry, status};
