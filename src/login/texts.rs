//! What people are told during a login.

use crate::contract::Locale;
use ilink::ProtocolVersion;

/// What is known of codes that phones refuse, for a login on which nothing happens. The server says nothing of it: the status
/// stays `wait`.
pub fn hint(locale: Locale, declared: ProtocolVersion) -> String {
    match locale {
        Locale::ZhCn => format!(
            "还没有进展。常见原因：\n\
             · 手机提示“请在 OpenClaw 中升级微信接口版本”：提高声明的接口版本（当前 {declared}，设置 channelVersion）；\n\
             · 手机提示“网络错误”：换一个网络再扫（例如关闭 Wi-Fi，改用移动数据）；\n\
             · 微信版本过旧：请升级到最新版；\n\
             · 国际版 WeChat 可能无法绑定：请使用中国大陆版微信。"
        ),
        Locale::En => format!(
            "Still waiting. Known causes:\n\
             - The phone says that the WeChat interface must be upgraded (请在 OpenClaw 中升级微信接口版本): raise the version \
             that is declared (now {declared}; the setting is channelVersion).\n\
             - The phone says \"network error\": scan from another network, such as mobile data instead of Wi-Fi.\n\
             - WeChat on the phone is out of date: update it.\n\
             - International WeChat was refused where mainland Weixin (微信) was not."
        ),
    }
}

/// A text for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The code is shown.
    Scan,
    /// Scanned; confirm on the phone.
    Confirm,
    /// Give the number.
    Code,
    /// The number was wrong.
    CodeWrong,
    /// Too many wrong numbers.
    CodeBlocked,
    /// A new code replaces the old one.
    Refreshed,
    /// It goes on at another host.
    Redirected,
    Connected,
    /// This bot is connected here already.
    Already,
    /// Codes ran out.
    Expired,
    /// The time ran out.
    TimedOut,
    /// Too many wrong numbers, and no code left.
    GivenUp,
    /// It was cancelled.
    Cancelled,
    /// The server left something out.
    Incomplete,
}

impl Text {
    /// The text in a language.
    pub fn say(self, locale: Locale) -> &'static str {
        let (zh, en) = match self {
            Text::Scan => ("请用手机微信扫描二维码。", "Scan the QR code with WeChat on your phone."),
            Text::Confirm => ("已扫码，请在手机上确认。", "Scanned. Confirm on your phone."),
            Text::Code => ("请输入手机微信上显示的数字。", "Enter the number that WeChat shows on your phone."),
            Text::CodeWrong => ("数字不正确，请重新输入。", "That number was wrong. Enter it again."),
            Text::CodeBlocked => ("输错次数过多，将更换二维码。", "Too many wrong numbers. A new QR code follows."),
            Text::Refreshed => ("二维码已更新，请重新扫描。", "Here is a new QR code. Scan this one."),
            Text::Redirected => ("正在切换服务器，请稍候。", "The login goes on at another server. Please wait."),
            Text::Connected => ("微信已连接。", "WeChat is connected."),
            Text::Already => {
                ("该机器人已连接，无需重复登录。", "This bot is connected here already. Nothing was changed.")
            }
            Text::Expired => (
                "二维码多次过期，登录已停止，请重新发起登录。",
                "The QR codes ran out. Start the login again when you are ready to scan.",
            ),
            Text::TimedOut => {
                ("登录超时，请重新发起登录。", "The login took too long. Start it again when you are ready to scan.")
            }
            Text::GivenUp => (
                "数字多次输错，登录已停止，请稍后重新发起登录。",
                "Too many wrong numbers. Wait a little, then start the login again.",
            ),
            Text::Cancelled => ("登录已取消。", "The login was cancelled."),
            Text::Incomplete => (
                "登录失败：服务器返回的信息不完整，请重新发起登录。",
                "The login failed: the server's answer was incomplete. Start it again.",
            ),
        };
        match locale {
            Locale::ZhCn => zh,
            Locale::En => en,
        }
    }
}

/// Why a login failed whose account the server sees at an address that is not asked: it is `inside` a private network, or none
/// that a login may use.
pub fn refused_host(locale: Locale, address: &str, inside: bool) -> String {
    match (locale, inside) {
        (Locale::ZhCn, true) => format!(
            "服务器为该账号指定的地址 {address} 指向内网，不能使用。如果这是您自己的服务器，请把它加入 \
             WEIXIN_MEDIA_ALLOWED_HOSTS 后重新登录。"
        ),
        (Locale::ZhCn, false) => {
            format!(
                "服务器为该账号指定的地址 {address} 不是可用的网址（应为 https 主机，可带路径）。请重新登录；若仍如此，请反馈。"
            )
        }
        (Locale::En, true) => format!(
            "the server put the account at {address}, which is inside a private network. If this host is yours, add it to \
             WEIXIN_MEDIA_ALLOWED_HOSTS and log in again."
        ),
        (Locale::En, false) => format!(
            "the server put the account at {address}, which is no address that a login may use (https, a host, perhaps a path). \
             Log in again; if it happens again, report it."
        ),
    }
}
