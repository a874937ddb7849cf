//! QR login: many at once, each a task that watches its code until the login ends.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `sessions` | the logins under way, by `sessionKey` |
//! | `watch` | the state machine of one login |
//! | `qr` | a QR code as an image and for a terminal |
//! | `texts` | what people are told, in both languages |

mod qr;
mod sessions;
mod texts;
mod watch;

pub use qr::{QrCode, QrError};
pub use sessions::{LoginError, LoginSessions, Start};
pub use watch::{Hooks, Snapshot};
