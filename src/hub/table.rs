//! Who gets a message: the rules, without where they are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::caller::{Caller, Role, Scope};
use super::config::{Access, AccountRules, BackendConfig, HubConfig};
use crate::store::{RouteContext, TokenRow};

/// A backend, as routing sees it.
#[derive(Clone, Debug)]
pub struct Backend {
    pub name: Arc<str>,
    pub accounts: Scope,
    pub access: Access,
    allow: BTreeSet<String>,
}

/// What is asked about a message.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub account: &'a str,
    pub peer: &'a str,
    /// Who scanned the account's code.
    pub owner: Option<&'a str>,
    /// The id of the message that it answers.
    pub quoted: Option<&'a str>,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This backend.
    To(Arc<str>),
    /// Nobody yet: the person may ask to be let in to this one.
    Ask(Arc<str>),
    /// Nobody: the person may not write to any.
    Refuse,
    /// The account has no backend, or nobody knows its owner: it waits.
    Wait,
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The oldest first, which is the default of an account for which nothing else is said.
    backends: Vec<Backend>,
    rules: HashMap<String, AccountRules>,
}

impl Table {
    /// From the tokens, the oldest first, and the file.
    pub fn new(tokens: &[TokenRow], config: &HubConfig) -> Table {
        let mut order: Vec<&str> = Vec::new();
        let mut scopes: BTreeMap<&str, Scope> = BTreeMap::new();
        let mut add = |name, scope: Scope| {
            if !order.contains(&name) {
                order.push(name);
            }
            let all = match scopes.remove(name) {
                Some(before) => before.and(&scope),
                None => scope,
            };
            scopes.insert(name, all);
        };
        for token in tokens {
            // Admins and viewers look; they are sent nothing.
            if let Some(Caller { role: Role::Backend, accounts, .. }) = Caller::of(token) {
                add(&token.backend, accounts);
            }
        }
        for (name, backend) in &config.backends {
            // One with an address needs no token.
            if backend.webhook.is_some() {
                add(name, Scope::of(backend.accounts.as_deref()));
            }
        }
        let plain = BackendConfig::default();
        let backend = |name: &str| {
            let said = config.backends.get(name).unwrap_or(&plain);
            let accounts = scopes.remove(name).unwrap_or_else(|| Scope::of(Some(&[])));
            let allow = said.allow.iter().cloned().collect();
            Backend { name: name.into(), accounts, access: said.access, allow }
        };
        Table {
            backends: order.into_iter().map(backend).collect(),
            rules: config.accounts.iter().map(|(id, rules)| (id.clone(), rules.clone())).collect(),
        }
    }

    /// The backends of an account, its default first.
    pub fn of_account<'a>(&'a self, account: &str) -> Vec<&'a Backend> {
        let mut found: Vec<&Backend> = self.backends.iter().filter(|backend| backend.accounts.has(account)).collect();
        let default = self.rules.get(account).and_then(|rules| rules.default.as_deref());
        // Stable: the others stay as they were.
        found.sort_by_key(|backend| default != Some(&*backend.name));
        found
    }

    /// All backends.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    pub fn backend(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| &*backend.name == name)
    }

    /// The backends of an account that somebody may write to, its default first.
    pub fn open_to<'a>(&'a self, question: Question<'_>, context: &RouteContext) -> Vec<&'a Backend> {
        let mut found = self.of_account(question.account);
        found.retain(|backend| backend.admits(question, context));
        found
    }

    /// Who gets a message: whoever wrote what it answers; the person's own choice; the account's rule for the person; the default.
    pub fn decide(&self, question: Question<'_>, context: &RouteContext) -> Decision {
        let all = self.of_account(question.account);
        let rule = self.rules.get(question.account).and_then(|rules| rules.people.get(question.peer));
        let author = question.quoted.and_then(|id| context.authors.get(id));
        let named = [author, context.choices.get(question.peer), rule].into_iter().flatten();
        let named = named.filter_map(|name| all.iter().find(|backend| &*backend.name == name.as_str()));
        // The default is the first of all; the others take a person whom the default does not answer.
        let mut order = named.chain(all.iter());
        if let Some(backend) = order.clone().find(|backend| backend.admits(question, context)) {
            return Decision::To(backend.name.clone());
        }
        match order.find(|backend| backend.access == Access::Pairing) {
            Some(backend) => Decision::Ask(backend.name.clone()),
            // Whose account it is may be known later.
            None if all.is_empty() || question.owner.is_none() => Decision::Wait,
            None => Decision::Refuse,
        }
    }
}

impl Backend {
    fn admits(&self, question: Question<'_>, context: &RouteContext) -> bool {
        let is_owner = question.owner == Some(question.peer);
        match self.access {
            Access::Gateway | Access::Open => true,
            Access::Owner => is_owner,
            Access::Allowlist => is_owner || self.allow.contains(question.peer),
            Access::Pairing => {
                let approved = context.approved.get(question.peer);
                is_owner || approved.is_some_and(|names| names.iter().any(|name| *name == *self.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::make;
    use super::*;

    fn table(config: &str) -> Table {
        let token =
            |name: &str, accounts: Option<&str>| make(name, Role::Backend, accounts.map(|id| vec![id.to_owned()])).0;
        let admin = make("console", Role::Admin, None).0;
        let tokens = [admin, token("one", None), token("two", None), token("other", Some("b2"))];
        Table::new(&tokens, &HubConfig::parse(config).unwrap())
    }

    fn asked<'a>(peer: &'a str, quoted: Option<&'a str>) -> Question<'a> {
        Question { account: "b1", peer, owner: Some("owner"), quoted }
    }

    #[test]
    fn a_quote_comes_before_the_choice_the_choice_before_the_rule_the_rule_before_the_default() {
        let rules = "[accounts.b1]\ndefault = \"two\"\n[accounts.b1.people]\nowner = \"one\"";
        let mut context = RouteContext::default();
        let to = |name: &str| Decision::To(name.into());
        assert_eq!(table("").decide(asked("owner", None), &context), to("one"), "the oldest");
        let ruled = table("[accounts.b1]\ndefault = \"two\"");
        assert_eq!(ruled.decide(asked("owner", None), &context), to("two"), "the default");
        let ruled = table(rules);
        assert_eq!(ruled.decide(asked("owner", None), &context), to("one"), "the rule");
        context.choices.insert("owner".into(), "two".into());
        assert_eq!(ruled.decide(asked("owner", None), &context), to("two"), "the choice");
        context.authors.insert("7".into(), "one".into());
        assert_eq!(ruled.decide(asked("owner", Some("7")), &context), to("one"), "the quote");
        assert_eq!(ruled.decide(asked("owner", Some("8")), &context), to("two"), "another's");
        context.choices.insert("owner".into(), "other".into());
        assert_eq!(ruled.decide(asked("owner", None), &context), to("one"), "a backend of another account is none");
    }

    #[test]
    fn a_stranger_reaches_who_answers_strangers() {
        let mut context = RouteContext::default();
        assert_eq!(table("").decide(asked("eve", None), &context), Decision::Refuse);
        assert_eq!(
            table("[backends.two]\naccess = \"open\"").decide(asked("eve", None), &context),
            Decision::To("two".into())
        );
        let listed = table("[backends.one]\naccess = \"allowlist\"\nallow = [\"eve\"]");
        assert_eq!(listed.decide(asked("eve", None), &context), Decision::To("one".into()));
        let pairing = table("[backends.two]\naccess = \"pairing\"");
        assert_eq!(pairing.decide(asked("eve", None), &context), Decision::Ask("two".into()));
        context.approved.insert("eve".into(), vec!["two".into()]);
        assert_eq!(pairing.decide(asked("eve", None), &context), Decision::To("two".into()));
        let names: Vec<_> = pairing.open_to(asked("eve", None), &context).iter().map(|b| b.name.clone()).collect();
        assert_eq!(names, ["two".into()]);
    }

    #[test]
    fn an_account_without_a_backend_keeps_its_messages() {
        let none = Table::new(&[make("console", Role::Admin, None).0], &HubConfig::default());
        assert_eq!(none.decide(asked("owner", None), &RouteContext::default()), Decision::Wait);
    }
}
