// What the console says. Both objects have the same keys; {name} is filled in by t().

export const languages = { en: "English", "zh-CN": "简体中文" };

const en = {
  product: "WeChat Hub", language: "Language", signOut: "Sign out", skip: "Skip to content", navigation: "Main navigation",
  overview: "Overview", accounts: "Accounts", backends: "Backends", approvals: "Approvals", held: "Held", trace: "Trace",
  loading: "Loading…", none: "—", close: "Close", cancel: "Cancel", copy: "Copy", copied: "Copied.",
  notCopied: "The browser does not let this page copy. Select the text and copy it yourself.",
  search: "Search", details: "Details", actions: "Actions", previous: "Previous", next: "Next", range: "{from}–{to} of {total}", found: "{n} found",
  unreachable: "The hub does not answer. Trying again…", failedToLoad: "This could not be loaded: {message}", notFound: "There is no such page.",

  signIn: "Sign in", token: "Token of an admin or a viewer", signInHint: "The hub prints a one-time link when it starts. Open that link, or enter a token here.",
  signInWrong: "The hub does not know this token.", signInRole: "This token is a backend's. The console needs one of an admin or a viewer.", signInLink: "This link was used already, or is too old. Enter a token, or start the hub again: it prints a new one.",
  signInMany: "Too many tries. Wait a minute, then try again.", signInAgain: "Your session has ended. Sign in again.",

  state_starting: "Starting", state_polling: "Receiving", state_backoff: "Retrying", state_paused: "Login expired", state_stopped: "Stopped", state_superseded: "Run elsewhere",
  version: "Version {version}", since: "running since {time}", accountsTotal: "accounts", heldTotal: "held messages", approvalsTotal: "people wait for approval",
  needsYou: "Needs attention", allWell: "Nothing needs attention.", alert_login_expired: "Login expired", alert_muted: "Sends are not confirmed", alert_backend_offline: "Backend offline",
  hint_login_expired: "WeChat no longer accepts these logins. Somebody has to scan a new code; held messages stay.",
  hint_muted: "WeChat takes the messages of these bots and names no id for them: most likely nobody sees them. It ends by itself after hours or weeks.",
  hint_backend_offline: "Messages for these backends wait until they connect again.", showAll: "Show all {n}", logInAll: "Log in again, one after the other",

  searchAccounts: "Name, account ID or user ID", state: "State", anyState: "Any state", account: "Account", lastInbound: "Last message", delivery: "Delivery", queues: "Waiting",
  backendsOf: "Backends", delivery_ok: "Confirmed", delivery_unconfirmed: "Not confirmed", delivery_unknown: "Unknown", noMatch: "No account matches.", clearFilters: "Show all accounts",
  noAccounts: "There is no account yet. Add one and scan the code with WeChat.", addAccount: "Add account", selectPage: "Select all on this page",
  selectOne: "Select {name}", selected: "{n} selected", clear: "Clear selection", logInAgain: "Log in again", start: "Start", stop: "Stop", remove: "Remove",
  heldShort: "{n} held", inboxShort: "{n} for backends", started: "Started: {n}.", stopped: "Stopped: {n}.", sortBy: "Sort by {column}",

  backToAccounts: "Accounts", noAccount: "There is no account {id}.", accountId: "Account ID", name: "Name", label: "Label", userId: "WeChat user", problem: "Problem",
  lastError: "Last error", pausedReason: "Why paused", paused_stale: "WeChat refuses its token", probableCause: "Probable cause",
  cause_taken_over: "The same WeChat user logged in elsewhere", cause_expired: "The login grew too old", lastPoll: "Last poll", lastConfirmed: "Last confirmed send",
  budgetLimit: "Sends per message received", inboxPending: "Waiting for backends", heldMessages: "Held messages", defaultBackend: "Default backend", people: "People",
  noPeople: "Nobody has written to this account yet.", noPeopleMatch: "Nobody matches.", person: "Person", searchPeople: "WeChat user ID", openTrace: "Trace",
  removeTitle: "Remove {name}?", removeText: "The hub forgets this login and everything that waits for it. To use the bot again, somebody has to scan a new code.",
  removeAction: "Remove account", removed: "Removed {name}.", startedOne: "Started {name}.", stoppedOne: "Stopped {name}.",

  noBackends: "There is no backend yet. A name and a token are all that one needs.", online: "Online", offline: "Offline", access: "Who may write", connections: "Connections",
  access_gateway: "the backend decides", access_owner: "only the owner", access_pairing: "people who were approved", access_allowlist: "people on the list", access_open: "everybody",
  queued: "Queued", queuedOldest: "{n}, the oldest from {time}", webhook: "Webhook", allAccounts: "All accounts", noneAccounts: "No accounts", tokens: "Tokens of {backend}",
  tokenId: "Token", role: "Role", role_backend: "Backend", role_admin: "Admin", role_viewer: "Viewer", created: "Created", lastUsed: "Last used", neverUsed: "never", noTokens: "No tokens.", notRouted: "No new messages go here: none of its tokens is a backend's.",
  newBackend: "New backend", backendName: "Name", backendNameHint: "1 to 64 letters, digits, - _ . — people choose agents by it.", createToken: "Create token", createTokenFor: "New token for {backend}", roleHint_backend: "Receives and sends messages.", roleHint_admin: "May do everything, this console included.",
  roleHint_viewer: "Sees this console and changes nothing.", tokenAccounts: "Accounts, one per line", tokenAccountsHint: "Empty: every account of the backend.",
  tokenOnce: "Copy it now. The hub keeps only a hash, so nobody can show it again.", revoke: "Revoke", revokeTitle: "Revoke token {id}?",
  revokeText: "Whoever uses it is cut off at once. This cannot be undone.", revokeAction: "Revoke token", revoked: "Token {id} was revoked.",

  approvalsHint: "These people wrote to a bot and received a code. Approve those whom you know.", noApprovals: "Nobody waits for approval.", backend: "Backend", code: "Code",
  asked: "Asked", approve: "Approve", deny: "Deny", approved: "Approved {peer}.", denied: "Denied {peer}.",

  heldHint: "WeChat does not take these messages now. They go out by themselves, in order, as soon as it does.", noHeld: "No message is held.", noHeldMatch: "No held message matches.", searchHeld: "Recipient or message ID",
  onlyAccount: "Only {name}", to: "To", kind: "Kind", reason: "Why it waits", kind_text: "Text", kind_image: "Image", kind_video: "Video", kind_file: "File", kind_voice: "Voice",
  reason_quota: "The person has to write first: quota used up", reason_throttled: "WeChat limits the bot",
  reason_offline: "WeChat is not reached", reason_no_context: "The person has not written yet",
  reason_context_expired: "The person's last message is too old", reason_session_expired: "The login expired", sendNow: "Send now",
  cancelTitle: "Cancel this message?", cancelText: "It is deleted and never sent to {to}. Parts that were sent before stay sent.", cancelAction: "Cancel message", keep: "Keep it",
  cancelled: "The message was cancelled.", notCancelled: "It was too late: the message no longer waits.",

  traceHint: "Every step of one conversation's messages, newest first. It stays up to date while it is open.", follow: "Show conversation", noEvents: "Nothing is recorded for this conversation.", time: "Time", direction: "Direction",
  in: "Received", out: "Sent", message: "Message", attemptN: "attempt {n}", text: "Content", stepWhy: "{step}: {reason}", showContent: "Show content", hideContent: "Hide content", noText: "No text",
  step_waiting: "Waits for the backend", step_taken: "Dealt with", step_pending: "On its way", step_held: "Held", step_sent: "Sent", step_unconfirmed: "Sent, not confirmed", step_failed: "Refused by WeChat", step_expired: "Waited too long", step_cancelled: "Cancelled",

  loginTitle: "Log in with WeChat", loginFor: "Log in again: {name}", loginStep: "{at} of {total}", qrAlt: "QR code to scan with WeChat", copyLink: "Copy the code's link",
  login_preparing: "Fetching a code…", login_waiting: "Scan the code with WeChat on your phone.", login_scanned: "Scanned. Confirm on your phone.", login_code_required: "Enter the number that your phone shows.",
  login_code_rejected: "That number was wrong. Enter it again.", login_code_blocked: "Too many wrong numbers. A new code follows.", login_refreshed: "Here is a new code. Scan this one.",
  login_redirected: "The login goes on at another server. Please wait.", login_confirmed: "Connected.", login_already_connected: "This bot is connected here already. Nothing was changed.",
  login_expired: "The codes ran out. Start again when you are ready to scan.", login_failed: "The login failed.", login_cancelled: "The login was cancelled.",
  loginNumber: "Number on the phone", submit: "Submit", tryAgain: "Try again", skipAccount: "Skip this account", loginOther: "The phone logged in another account: {id}.", loginDone: "Logged in: {n} of {total}.",
  done: "Done", loginLabel: "Label (optional)", loginWithLabel: "New code with this label", loginAddLabel: "Give the account a label",
};

const zhCN = {
  product: "微信 Hub", language: "语言", signOut: "退出登录", skip: "跳到正文", navigation: "主导航",
  overview: "概览", accounts: "账号", backends: "后端", approvals: "待批准", held: "暂存", trace: "追踪",
  loading: "正在加载…", none: "—", close: "关闭", cancel: "取消", copy: "复制", copied: "已复制。",
  notCopied: "浏览器不允许本页面写入剪贴板，请手动选中并复制。",
  search: "搜索", details: "详情", actions: "操作", previous: "上一页", next: "下一页", range: "第 {from}–{to} 条，共 {total} 条", found: "共 {n} 个",
  unreachable: "Hub 没有响应，正在重试…", failedToLoad: "加载失败：{message}", notFound: "页面不存在。",

  signIn: "登录", token: "管理员令牌或只读令牌", signInHint: "Hub 启动时会打印一次性登录链接。打开该链接，或在此输入令牌。",
  signInWrong: "令牌无效。", signInRole: "这是后端的令牌。控制台需要管理员或只读令牌。", signInLink: "链接已使用或已过期。请输入令牌，或重新启动 hub，它会打印新的链接。",
  signInMany: "尝试次数过多，请等一分钟再试。", signInAgain: "会话已结束，请重新登录。",

  state_starting: "启动中", state_polling: "接收中", state_backoff: "重试中", state_paused: "登录失效", state_stopped: "已停止", state_superseded: "在别处运行",
  version: "版本 {version}", since: "启动于 {time}", accountsTotal: "个账号", heldTotal: "条消息暂存", approvalsTotal: "人等待批准",
  needsYou: "需要处理", allWell: "一切正常，没有需要处理的事项。", alert_login_expired: "登录失效", alert_muted: "发送未获确认", alert_backend_offline: "后端离线",
  hint_login_expired: "微信不再接受这些账号的登录，需要重新扫码；暂存的消息不会丢。",
  hint_muted: "微信收下了这些机器人的消息，却没有返回消息 ID，很可能没有人看得到。几小时到几周后会自行恢复。",
  hint_backend_offline: "发给这些后端的消息会排队，等它们重新连接。", showAll: "显示全部 {n} 项", logInAll: "逐个重新登录",

  searchAccounts: "名称、账号 ID 或用户 ID", state: "状态", anyState: "全部状态", account: "账号", lastInbound: "最近来信", delivery: "送达", queues: "排队",
  backendsOf: "后端", delivery_ok: "已确认", delivery_unconfirmed: "未确认", delivery_unknown: "未知", noMatch: "没有符合条件的账号。", clearFilters: "显示全部账号",
  noAccounts: "还没有账号。点击“添加账号”，用微信扫码登录。", addAccount: "添加账号", selectPage: "选中本页全部账号",
  selectOne: "选中 {name}", selected: "已选 {n} 个", clear: "取消选择", logInAgain: "重新登录", start: "启动", stop: "停止", remove: "移除",
  heldShort: "暂存 {n}", inboxShort: "待后端处理 {n}", started: "已启动 {n} 个账号。", stopped: "已停止 {n} 个账号。", sortBy: "按{column}排序",

  backToAccounts: "账号", noAccount: "没有账号 {id}。", accountId: "账号 ID", name: "名称", label: "标签", userId: "微信用户", problem: "问题",
  lastError: "最近的错误", pausedReason: "暂停原因", paused_stale: "微信拒绝该登录凭据", probableCause: "可能的原因",
  cause_taken_over: "同一个微信用户在别处登录了", cause_expired: "登录时间过长，已过期", lastPoll: "最近轮询", lastConfirmed: "最近一次确认送达",
  budgetLimit: "每收到一条可发送", inboxPending: "待后端处理", heldMessages: "暂存的消息", defaultBackend: "默认后端", people: "联系人",
  noPeople: "还没有人给这个账号发过消息。", noPeopleMatch: "没有符合条件的联系人。", person: "联系人", searchPeople: "微信用户 ID", openTrace: "追踪",
  removeTitle: "移除 {name}？", removeText: "Hub 会删除该账号的登录信息和所有排队的消息。要再次使用这个机器人，必须重新扫码。",
  removeAction: "移除账号", removed: "已移除 {name}。", startedOne: "已启动 {name}。", stoppedOne: "已停止 {name}。",

  noBackends: "还没有后端。只需一个名称和一个令牌即可新建。", online: "在线", offline: "离线", access: "谁可以发消息", connections: "连接数",
  access_gateway: "由后端决定", access_owner: "仅主人", access_pairing: "已批准的人", access_allowlist: "名单上的人", access_open: "所有人",
  queued: "排队", queuedOldest: "{n} 条，最早的来自{time}", webhook: "Webhook", allAccounts: "全部账号", noneAccounts: "没有账号", tokens: "{backend} 的令牌",
  tokenId: "令牌", role: "角色", role_backend: "后端", role_admin: "管理员", role_viewer: "只读", created: "创建时间", lastUsed: "最近使用", neverUsed: "从未使用", noTokens: "没有令牌。", notRouted: "新消息不会发到这里：它没有后端角色的令牌。",
  newBackend: "新建后端", backendName: "名称", backendNameHint: "1 到 64 个字母、汉字、数字或 - _ . ，用户会用它来选择智能体。", createToken: "创建令牌", createTokenFor: "为 {backend} 创建令牌", roleHint_backend: "收发消息。", roleHint_admin: "拥有全部权限，包括使用本控制台。",
  roleHint_viewer: "可以查看本控制台，但不能做任何更改。", tokenAccounts: "账号，每行一个", tokenAccountsHint: "留空表示该后端的全部账号。",
  tokenOnce: "请立即复制。Hub 只保存令牌的哈希值，之后无法再次显示。", revoke: "吊销", revokeTitle: "吊销令牌 {id}？",
  revokeText: "使用该令牌的程序会立即断开。此操作无法撤销。", revokeAction: "吊销令牌", revoked: "令牌 {id} 已吊销。",

  approvalsHint: "这些人给机器人发了消息，并收到了配对码。请只批准您认识的人。", noApprovals: "没有人等待批准。", backend: "后端", code: "配对码",
  asked: "请求时间", approve: "批准", deny: "拒绝", approved: "已批准 {peer}。", denied: "已拒绝 {peer}。",

  heldHint: "微信目前不接受这些消息。一旦可以发送，就会按顺序自动发出。", noHeld: "没有暂存的消息。", noHeldMatch: "没有符合条件的消息。", searchHeld: "收件人或消息 ID",
  onlyAccount: "仅 {name}", to: "收件人", kind: "类型", reason: "暂存原因", kind_text: "文本", kind_image: "图片", kind_video: "视频", kind_file: "文件", kind_voice: "语音",
  reason_quota: "额度已用完，要等对方再发消息", reason_throttled: "微信限制了该机器人的发送",
  reason_offline: "无法连接微信", reason_no_context: "对方还没有发过消息",
  reason_context_expired: "对方上一条消息已过时限", reason_session_expired: "登录失效", sendNow: "立即发送",
  cancelTitle: "取消发送这条消息？", cancelText: "这条消息会被删除，不再发给 {to}。已经发出的部分无法撤回。", cancelAction: "取消发送", keep: "保留",
  cancelled: "已取消发送。", notCancelled: "来不及了：这条消息已不在暂存中。",

  traceHint: "一个会话中每条消息经过的每一步，最新的在最前。页面打开期间自动更新。", follow: "查看会话", noEvents: "该会话没有记录。", time: "时间", direction: "方向",
  in: "收到", out: "发出", message: "消息", attemptN: "第 {n} 次尝试", text: "内容", stepWhy: "{step}：{reason}", showContent: "显示内容", hideContent: "隐藏内容", noText: "无文本",
  step_waiting: "等待后端", step_taken: "已处理", step_pending: "发送中", step_held: "暂存", step_sent: "已发送", step_unconfirmed: "已发送，未确认", step_failed: "微信拒绝", step_expired: "等待超时", step_cancelled: "已取消",

  loginTitle: "微信扫码登录", loginFor: "重新登录：{name}", loginStep: "第 {at} 个，共 {total} 个", qrAlt: "请用微信扫描的二维码", copyLink: "复制二维码链接",
  login_preparing: "正在获取二维码…", login_waiting: "请用手机微信扫描二维码。", login_scanned: "已扫码，请在手机上确认。", login_code_required: "请输入手机微信上显示的数字。",
  login_code_rejected: "数字不正确，请重新输入。", login_code_blocked: "输错次数过多，将更换二维码。", login_refreshed: "二维码已更新，请重新扫描。",
  login_redirected: "正在切换服务器，请稍候。", login_confirmed: "微信已连接。", login_already_connected: "该机器人已连接，无需重复登录。",
  login_expired: "二维码多次过期。准备好扫码后，请重新开始。", login_failed: "登录失败。", login_cancelled: "登录已取消。",
  loginNumber: "手机上的数字", submit: "提交", tryAgain: "重试", skipAccount: "跳过这个账号", loginOther: "手机登录的是另一个账号：{id}。", loginDone: "已登录 {n} 个，共 {total} 个。",
  done: "完成", loginLabel: "标签（可选）", loginWithLabel: "用此标签获取新二维码", loginAddLabel: "为账号添加标签",
};

export const texts = { en, "zh-CN": zhCN };
