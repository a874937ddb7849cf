//! What can go wrong for the one who runs or drives a simulator. What goes wrong for its clients is in `ilink`.

use std::io;

/// A simulator could not be started or kept running.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The port is taken, or may not be bound.
    #[error("the simulator cannot listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for any free one")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The handlers for SIGINT and SIGTERM could not be installed.
    #[error("the simulator cannot wait for signals: {0}")]
    Signals(io::Error),
    /// The line with the address could not be written.
    #[error("the simulator cannot print its address: {0}")]
    Stdout(io::Error),
}

/// The control API was asked for something it cannot do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A request over HTTP named a file, and did not say what only the simulator's owner knows.
    #[error(
        "media.path is read only for requests with the simulator's secret: send the header x-simulator-secret with what it printed at its start"
    )]
    NoSecret,
    /// No bot has that id.
    #[error("there is no bot {0:?}; GET /_sim/state lists the bots")]
    NoSuchBot(String),
    /// No login has that QR code, or there is none at all yet.
    #[error("there is no login {0:?}; a client has to ask for a QR code first")]
    NoSuchLogin(String),
    /// The login has ended: a client has to fetch a new QR code.
    #[error("login {qrcode:?} is over ({status}); nothing can be done to it any more")]
    LoginOver {
        /// The QR code.
        qrcode: String,
        /// The status it ended with.
        status: &'static str,
    },
    /// The client declares too old a version.
    #[error(
        "the phone says: 请在 OpenClaw 中升级微信接口版本 (Please upgrade WeChat interface version in OpenClaw); the status stays wait"
    )]
    RefusedByPhone,
    /// A bot id or token that another bot already has.
    #[error("{what} {value:?} belongs to another bot")]
    Taken {
        /// `botId` or `token`.
        what: &'static str,
        /// The value that is taken.
        value: String,
    },
    /// No sent message has that number or id.
    #[error("there is no sent message {0:?}; GET /_sim/sent lists them")]
    NoSuchSent(String),
    /// The sent message has no media.
    #[error("sent message {0} has no media")]
    NoMedia(u64),
    /// The receiver of sent media could not see them.
    #[error("the media cannot be shown: {0}")]
    Content(String),
    /// A file of the simulator could not be written or read.
    #[error("a file of the simulator: {0}")]
    File(#[from] io::Error),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// A JSON error, as the control API reports it.
pub(super) fn invalid(error: serde_json::Error) -> ControlError {
    ControlError::Invalid(error.to_string())
}
