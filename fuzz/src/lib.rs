//! What is fuzzed, and what must hold of it. Each target is a function of bytes that panics where a promise is broken; the
//! files in `fuzz_targets/` hand it to libFuzzer; the sidecar's `tests/fuzz_inputs.rs` compiles this file too, and feeds it the
//! seeds and regressions on every test run.
//!
//! | file | who writes these bytes | what must hold |
//! | --- | --- | --- |
//! | `frames` | the gateway, or a broken one | the same frames in any chunking, bounded memory, no waiting for what is there |
//! | `dispatch` | the same | every line gets the answers that JSON-RPC asks for |
//! | `wire` | WeChat: answers to polls | what can be attributed is delivered, ids are exact |
//! | `login` | WeChat: answers to a login | a redirect is a host and nothing else; what can be drawn is drawn |
//! | `markdown` | a model | the reply minus some parts, plain text untouched, nothing left for a second run |
//! | `chunks` | a model | within the limit, between clusters, nothing lost |
//! | `names` | a host, old state directories, settings | identifiers are safe, and reading what was written is no change |
//! | `media` | whoever writes to the bot | keys, ciphertext and names are read or refused; what is encrypted decrypts |
//! | `silk` | the same: voice messages | sound or an error, in bounded memory and time |

pub mod chunks;
pub mod dispatch;
pub mod frames;
pub mod login;
pub mod markdown;
pub mod media;
pub mod names;
pub mod silk;
pub mod wire;

/// A target: its name and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 9] = [
    ("frames", frames::check),
    ("dispatch", dispatch::check),
    ("wire", wire::check),
    ("login", login::check),
    ("markdown", markdown::check),
    ("chunks", chunks::check),
    ("names", names::check),
    ("media", media::check),
    ("silk", silk::check),
];
