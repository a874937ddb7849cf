//! Who asks: what a token stands for, and what it may.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::contract::{AccountId, ContractError, ErrorKind};
use crate::store::TokenRow;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Receive and send for its backend.
    Backend,
    /// Everything.
    Admin,
    /// See everything but what people write.
    Viewer,
}

impl Role {
    /// As it is written down.
    pub fn name(self) -> &'static str {
        match self {
            Role::Backend => "backend",
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        }
    }

    fn from_name(name: &str) -> Option<Role> {
        [Role::Backend, Role::Admin, Role::Viewer].into_iter().find(|role| role.name() == name)
    }
}

/// Accounts: all of them, or these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Option<BTreeSet<String>>);

impl Scope {
    /// These accounts, by id; `None`: all.
    pub fn of(accounts: Option<&[String]>) -> Scope {
        let normal = |id: &String| AccountId::normalize(id).as_str().to_owned();
        Scope(accounts.map(|ids| ids.iter().map(normal).collect()))
    }

    /// Whether an account is among them.
    pub fn has(&self, account: &str) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.contains(account))
    }

    /// The ids, where it is not all accounts.
    pub fn ids(&self) -> Option<Vec<String>> {
        self.0.as_ref().map(|ids| ids.iter().cloned().collect())
    }

    /// These and others.
    pub fn and(self, other: &Scope) -> Scope {
        Scope(self.0.zip(other.0.clone()).map(|(mine, theirs)| mine.into_iter().chain(theirs).collect()))
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's id.
    pub id: String,
    pub backend: Arc<str>,
    pub role: Role,
    /// Which accounts it sees.
    pub accounts: Scope,
}

impl Caller {
    /// Whoever has this token.
    /// `None`: of a role that this version does not know.
    pub fn of(row: &TokenRow) -> Option<Caller> {
        Some(Caller {
            id: row.id.clone(),
            backend: row.backend.as_str().into(),
            role: Role::from_name(&row.role)?,
            accounts: Scope::of(row.accounts.as_deref()),
        })
    }

    /// An error where it may not change anything.
    pub fn require_admin(&self) -> Result<(), ContractError> {
        self.is_one_of(&[Role::Admin], "needs an admin's token (hub token create --role admin)")
    }

    /// An error where it may not look at everything.
    pub fn require_observer(&self) -> Result<(), ContractError> {
        self.is_one_of(&[Role::Admin, Role::Viewer], "needs a token of an admin or a viewer")
    }

    /// An error where it does not send.
    pub fn require_sender(&self) -> Result<(), ContractError> {
        self.is_one_of(&[Role::Admin, Role::Backend], "a viewer's token only looks; this needs a backend's")
    }

    /// An error where it has no messages of its own.
    pub fn require_receiver(&self) -> Result<(), ContractError> {
        self.is_one_of(&[Role::Backend], "only a backend's token has messages to receive")
    }

    fn is_one_of(&self, roles: &[Role], why: &str) -> Result<(), ContractError> {
        if roles.contains(&self.role) { Ok(()) } else { Err(ContractError::new(ErrorKind::Forbidden, why)) }
    }

    /// An error where it does not see an account.
    pub fn sees(&self, account: &AccountId) -> Result<(), ContractError> {
        if self.accounts.has(account.as_str()) {
            return Ok(());
        }
        // That there is such an account is not its business either.
        let message = format!("there is no account {account} for this token; see accounts.list");
        Err(ContractError::new(ErrorKind::AccountNotFound, message))
    }
}
