//! What the hub itself writes to people.

use crate::contract::Locale;

/// A backend, as `/agents` lists it.
pub struct Listed<'a> {
    pub name: &'a str,
    /// Whether the person's messages go there now.
    pub current: bool,
    pub online: bool,
}

/// The answer to `/agents`.
pub fn agents(locale: Locale, backends: &[Listed<'_>]) -> String {
    let (head, tail, now, away) = match locale {
        Locale::ZhCn => ("可用的智能体：", "发送“/切换 名称”来切换。", "（当前）", "（离线）"),
        Locale::En => ("Agents:", "Send “/use NAME” to choose one.", " (current)", " (offline)"),
    };
    let line = |backend: &Listed<'_>| {
        let (now, away) = (if backend.current { now } else { "" }, if backend.online { "" } else { away });
        format!("- {}{now}{away}", backend.name)
    };
    let lines: Vec<String> = backends.iter().map(line).collect();
    format!("{head}\n{}\n{tail}", lines.join("\n"))
}

/// The answer to `/use NAME`.
pub fn chosen(locale: Locale, name: &str) -> String {
    match locale {
        Locale::ZhCn => format!("已切换到 {name}。"),
        Locale::En => format!("Your messages go to {name} now."),
    }
}

/// The answer to `/use` with a name that is none of theirs.
pub fn no_such(locale: Locale, name: &str, backends: &[Listed<'_>]) -> String {
    let shown: String = name.chars().take(64).collect();
    let head = match locale {
        Locale::ZhCn => format!("没有名为“{shown}”的智能体。"),
        Locale::En => format!("There is no agent “{shown}”."),
    };
    format!("{head}\n{}", agents(locale, backends))
}

/// What a stranger is told.
pub fn pairing(locale: Locale, code: &str) -> String {
    match locale {
        Locale::ZhCn => format!("这个机器人还不认识你。请把配对码 {code} 告诉它的主人，由主人批准后再发消息。"),
        Locale::En => {
            format!(
                "This bot does not know you yet. Give its owner the pairing code {code}, and write again once you are approved."
            )
        }
    }
}

/// What they are told once they were approved.
pub fn approved(locale: Locale) -> String {
    match locale {
        Locale::ZhCn => "主人已批准，现在可以发消息了。".to_owned(),
        Locale::En => "The owner has approved you: you can write now.".to_owned(),
    }
}
