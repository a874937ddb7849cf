//! The commands, their options and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a login is needed; 4 the network failed; 5 the state directory or its \
database cannot be used; 6 WeChat took the message and did not confirm it.

Environment: OPENCLAW_STATE_DIR (where the state is), OPENCLAW_WEIXIN_LOG (error, warn, info, debug, trace; logs go to \
stderr), WEIXIN_ILINK_BASE_URL and WEIXIN_CDN_BASE_URL (other hosts, for tests and proxies), WEIXIN_CHANNEL_VERSION (the \
version of the WeChat interface that is declared), WEIXIN_HOST_ADDRESSES (name=address,address;… instead of what the \
resolver says), HTTPS_PROXY, NO_PROXY.";

/// A native WeChat channel for OpenClaw and any other agent gateway.
#[derive(Debug, Parser)]
#[command(name = "openclaw-weixin-sidecar", version, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// OpenClaw's state directory [default: OPENCLAW_STATE_DIR, else ~/.openclaw]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Speak the channel contract on stdin and stdout (what a gateway starts; the default)
    Serve,
    /// Serve many agents over the network, with a console in the browser
    #[command(
        after_help = "Examples:\n  openclaw-weixin-sidecar hub\n  openclaw-weixin-sidecar hub token create --backend hermes\n\
        docs/hub.md explains backends, routing and what each client needs."
    )]
    Hub(HubArgs),
    /// Log in with a QR code
    #[command(
        after_help = "Shows a QR code to scan with WeChat, asks for the number on the phone where WeChat wants one, \
        and saves the account where OpenClaw and the official plugin look for it. A running gateway takes over a renewed \
        login within a second; a new account starts when the gateway starts it."
    )]
    Login(LoginArgs),
    /// List accounts, remove one, or export and import them
    Accounts(AccountsArgs),
    /// Send a text to somebody who has written to the bot
    #[command(after_help = "Examples:\n  openclaw-weixin-sidecar send --to abc@im.wechat 'Good morning'\n  \
        fortune | openclaw-weixin-sidecar send --to abc@im.wechat -")]
    Send(SendArgs),
    /// List messages that wait to be sent, give one up, or try all of them now
    #[command(after_help = "A message waits when WeChat would refuse it: most often until the person writes again. \
        docs/outbox.md explains the reasons.")]
    Outbox(OutboxArgs),
    /// List people who have written: `send` reaches those who did lately
    Peers(PeersArgs),
    /// Show accounts, who polls them and what waits
    Status(StatusArgs),
    /// Check everything that must be right: directory, database, accounts, hosts
    Doctor(DoctorArgs),
    /// Run an iLink backend on this machine: build a bot without a phone
    #[command(after_help = "Prints {\"url\": …} and runs until it is ended. Point the sidecar to it with \
        WEIXIN_ILINK_BASE_URL. docs/simulator.md explains the control API under /_sim/.")]
    Simulate(SimulateArgs),
    /// Print what makes a shell complete these commands
    #[command(
        after_help = "bash: openclaw-weixin-sidecar completion bash > ~/.local/share/bash-completion/completions/openclaw-weixin-sidecar\n\
        zsh:  openclaw-weixin-sidecar completion zsh > \"${fpath[1]}/_openclaw-weixin-sidecar\"\n\
        fish: openclaw-weixin-sidecar completion fish > ~/.config/fish/completions/openclaw-weixin-sidecar.fish\n\
        powershell: openclaw-weixin-sidecar completion powershell >> $PROFILE"
    )]
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print a manual page: of all commands, or of one
    #[command(after_help = "To read it: openclaw-weixin-sidecar man send | man -l -\n\
        To keep it: openclaw-weixin-sidecar man > ~/.local/share/man/man1/openclaw-weixin-sidecar.1")]
    Man {
        /// Of this command, such as: accounts export
        command: Vec<String>,
    },
}

/// Options of `hub`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HubArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8790", value_name = "ADDRESS:PORT")]
    pub listen: std::net::SocketAddr,
    /// The certificate chain (PEM), to be reached from other machines
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A proxy on this machine ends TLS
    #[arg(long)]
    pub behind_proxy: bool,
    #[command(subcommand)]
    pub action: Option<HubAction>,
}

/// What to do with the hub.
#[derive(Clone, Debug, Subcommand)]
pub enum HubAction {
    /// Make, list or revoke what lets backends and people in
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Approve somebody who was given a pairing code
    Approve {
        /// The code
        #[arg(value_name = "CODE")]
        code: String,
    },
}

/// What to do with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenAction {
    /// Make a token; it is shown once
    Create {
        /// Whose it is: a name that people choose agents by
        #[arg(long, value_name = "NAME")]
        backend: String,
        /// Only for this account; may be repeated [default: all]
        #[arg(long, value_name = "ID")]
        account: Vec<String>,
        /// What it may do
        #[arg(long, value_enum, default_value = "backend")]
        role: crate::hub::Role,
    },
    /// List the tokens
    List,
    /// Revoke a token: its connections end
    Revoke {
        /// Its id, as listed
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Options of `peers`.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Only of this account, by id or name
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Only those whose id contains this
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// So many at most, whoever wrote last first
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u32,
}

/// Options of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The account whose login this renews
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// A label to keep with the account
    #[arg(long)]
    pub label: Option<String>,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 480, value_name = "SECONDS")]
    pub timeout: u64,
}

/// Options of `accounts`.
#[derive(Debug, Args)]
pub struct AccountsArgs {
    #[command(subcommand)]
    pub action: Option<AccountsAction>,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum AccountsAction {
    /// List the accounts (the default)
    List,
    /// Delete an account's credentials and everything that waits in its inbox
    Remove {
        /// The account
        #[arg(value_name = "ID")]
        account: String,
    },
    /// Export credentials to an encrypted file: a bot whose credentials were lost cannot be bound again
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// The accounts [default: all]
        #[arg(value_name = "ID")]
        accounts: Vec<String>,
        /// The file to write; must not exist yet
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
    /// Import an exported file; an account whose login here is as new or newer is left unchanged
    #[command(after_help = EXPORT_HELP)]
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

const EXPORT_HELP: &str = "\
The passphrase is asked for in the terminal; without a terminal it is the first line of stdin, or the value of \
OPENCLAW_WEIXIN_PASSPHRASE. The file is an age file (https://age-encryption.org). Use the credentials in one place at a time: \
two that poll the same bot take each other's messages.";

/// Options of `send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The person's WeChat user id, such as abc@im.wechat
    #[arg(long, value_name = "USER")]
    pub to: String,
    /// From which account [default: the only one, or the one that knows the person]
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Makes a repeated call the same message instead of a second one
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// A picture, a video or any other file, by its path or its http(s) URL; the text goes before it
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
    /// The text (Markdown); - reads it from stdin
    #[arg(required_unless_present = "file")]
    pub text: Option<String>,
}

/// Options of `outbox`.
#[derive(Debug, Args)]
pub struct OutboxArgs {
    /// Only of this account
    #[arg(long, value_name = "ID", global = true)]
    pub account: Option<String>,
    /// Only to this person
    #[arg(long, value_name = "USER", global = true)]
    pub to: Option<String>,
    /// Show how much may be sent to this person now
    #[arg(long, value_name = "USER", conflicts_with = "to")]
    pub budget: Option<String>,
    #[command(subcommand)]
    pub action: Option<OutboxAction>,
}

/// What to do with the outbox.
#[derive(Debug, Subcommand)]
pub enum OutboxAction {
    /// List what waits (the default)
    List,
    /// Give a message up; parts of it that were sent stay sent
    Cancel {
        /// Its id, as listed
        #[arg(value_name = "ID")]
        queue_id: String,
    },
    /// Try everything now, as far as WeChat's limits allow
    Flush,
    /// Forget what was learned from refusals about how much an account's bot may send
    ResetBudget {
        /// The account
        #[arg(value_name = "ID")]
        account: String,
    },
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this account
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Ask the server whether it accepts each account
    #[arg(long)]
    pub probe: bool,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Do not contact any host
    #[arg(long)]
    pub offline: bool,
    /// Write a report for Tencent to this file: times, ids and answers; no texts or tokens, user ids shortened
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The port on 127.0.0.1; 0 takes any
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Scan and confirm every QR code by itself
    #[arg(long)]
    pub auto_login: bool,
    /// Refuse requests that do not say everything that the official plugin says
    #[arg(long)]
    pub strict: bool,
    /// Refuse the QR codes of clients that declare an older version, as phones do
    #[arg(long, value_name = "VERSION")]
    pub min_version: Option<ilink_simulator::Version>,
    /// How long an empty poll is held, in milliseconds
    #[arg(long, default_value_t = 35_000, value_name = "MS")]
    pub hold: u64,
}
