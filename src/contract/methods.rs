//! The table of methods and notifications, from which the documents are made. `service::methods` answers them; a test compares
//! the two.

use schemars::{Schema, SchemaGenerator};

use super::*;

/// A request that the gateway may send.
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The schema of its parameters.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its result.
    pub result: fn(&mut SchemaGenerator) -> Schema,
}

/// A notification that the sidecar sends.
pub struct Notification {
    /// Its name on the wire.
    pub name: &'static str,
    /// When it comes.
    pub summary: &'static str,
    /// The schema of its parameters.
    pub params: fn(&mut SchemaGenerator) -> Schema,
}

macro_rules! methods {
    ($($name:literal, $params:ty => $result:ty, $summary:literal;)*) => {
        /// Every method of this build.
        pub const METHODS: &[Method] = &[$(Method {
            name: $name,
            summary: $summary,
            params: |g| g.subschema_for::<$params>(),
            result: |g| g.subschema_for::<$result>(),
        }),*];
    };
}

methods! {
    "initialize", InitializeParams => InitializeResult, "Opens the state directory and agrees on the version; must come first.";
    "config.set", ConfigSetParams => Empty, "Replaces the configuration; running accounts take it over without losing a message.";
    "accounts.list", Empty => AccountsListResult, "Lists the accounts on disk.";
    "accounts.remove", AccountParams => AccountsRemoveResult, "Stops an account, deletes its credentials and its rows.";
    "accounts.export", AccountsExportParams => AccountsExportResult, "Packs the credentials of accounts into one encrypted file.";
    "accounts.import", AccountsImportParams => AccountsImportResult, "Unpacks what accounts.export made.";
    "login.start", LoginStartParams => LoginStartResult, "Fetches a QR code and begins to watch it.";
    "login.wait", LoginWaitParams => LoginWaitResult, "Waits until a login ends.";
    "login.submitCode", LoginSubmitCodeParams => Empty, "Gives the number that the phone shows.";
    "login.cancel", LoginCancelParams => Empty, "Ends a login.";
    "account.start", AccountParams => Empty, "Starts an account's monitor; idempotent.";
    "account.stop", AccountParams => Empty, "Stops an account's monitor; idempotent.";
    "inbound.ack", InboundAckParams => InboundAckResult, "Takes deliveries over; they do not come again.";
    "inbound.fetchMedia", FetchMediaParams => FetchMediaResult, "Fetches the media of a delivery that came with `deferMedia`.";
    "inbound.nack", InboundNackParams => Empty, "Gives a delivery back; it comes again later.";
    "inbound.release", InboundReleaseParams => Empty, "Lets the next delivery of a conversation come before this one is acked.";
    "outbound.sendText", SendTextParams => SendResult, "Sends a text.";
    "outbound.sendMedia", SendMediaParams => SendResult, "Sends a picture, a video, a file or a voice message.";
    "outbound.sendProgress", SendProgressParams => SendResult, "Shows that a tool begins or has ended, where there is room for it.";
    "outbound.sendTyping", SendTypingParams => SendTypingResult, "Shows or ends typing.";
    "outbound.budget", BudgetParams => BudgetResult, "Tells how much may be sent to a person now.";
    "outbound.resetBudget", AccountParams => Empty, "Forgets what was learned about how much a bot may send.";
    "outbound.queue", QueueParams => QueueResult, "Lists messages that wait to be sent.";
    "outbound.cancel", CancelParams => CancelResult, "Gives up a message that waits to be sent.";
    "peers.list", PeersListParams => PeersListResult, "Lists people who have written.";
    "status.get", StatusGetParams => StatusGetResult, "Tells how the process and its accounts are.";
    "shutdown", Empty => Empty, "Stops everything, then the process exits 0.";
}

/// Every notification of this build.
pub const NOTIFICATIONS: &[Notification] = &[
    Notification {
        name: "inbound.message",
        summary: "A person's message; it comes again until it is acked.",
        params: |g| g.subschema_for::<InboundMessage>(),
    },
    Notification {
        name: "login.progress",
        summary: "A login's state changed.",
        params: |g| g.subschema_for::<LoginProgress>(),
    },
    Notification {
        name: "account.status",
        summary: "An account's state changed; with `statusIntervalMs` also at that interval.",
        params: |g| g.subschema_for::<AccountStatus>(),
    },
    Notification {
        name: "outbound.update",
        summary: "A message that was reported as held has ended.",
        params: |g| g.subschema_for::<OutboundUpdate>(),
    },
];
