//! WeChat's media host: files go there and come from there as AES-128-ECB ciphertext, streamed, so that memory does not
//! grow with them.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `key` | a file's key in its encodings |
//! | `cipher` | encryption and decryption of a stream |
//! | `client` | the HTTP client, and which hosts it may talk to |
//! | `download` | from the host into a file |
//! | `upload` | from a file to the host |
//! | `progress` | how far a transfer has come |
//! | `error` | what can go wrong |

mod cipher;
mod client;
mod download;
mod error;
mod key;
mod progress;
mod upload;

pub use cipher::{Decryptor, Encryptor, cipher_len};
pub use client::{Cdn, Stalls};
pub use download::{Downloaded, MediaSource};
pub use error::CdnError;
pub use key::{KeyError, MediaKey};
pub use progress::Progress;
pub use upload::{UploadTarget, Uploaded};
