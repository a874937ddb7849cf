use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::fence::{Fence, FenceLine, Lead};
use super::for_wechat;
use crate::outbound::chunk;

/// What must come out as it went in.
const KEPT: &[&str] = &[
    "",
    "plain text",
    "两行\n文字\r\n",
    // Code
    "```rust\nlet a = *b; // *重点* ![图](x)\n##### no heading\n```\nafter",
    "~~~\n*重点*\n```\n![图](x)\n~~~",
    "````md\n```\n*重点*\n```\n````",
    "- 列表\n\n  ```sh\n  echo *重点*\n  ```\n",
    "> ```\n> *重点*\n> ```\n",
    "1. ```\n   *重点*\n   ```\n",
    "```\nunclosed *重点* ![图](x)",
    "`*重点*` and ``a ` *重点* ![图](x)``",
    "`code over\n*两行*`",
    "```*重点*```",
    // Blocks
    "# 一\n## 二\n### 三\n#### 四",
    "#####no space\n####### seven\n#话题 #标签",
    "---\n***\n___\n* * *\n- - -",
    "标题\n===\n副标题\n---\n",
    "> 引用 **粗** ~~删~~\n> > 再引",
    "| 甲 | 乙 |\n|----|:--:|\n| 5*3 | 4*2 中 |\n| *甲 | 乙* |",
    "* 一\n* 二\n+ 三\n- [ ] 四\n- [x] 五",
    // Bold, strikethrough, italics around other scripts
    "**重点**，__重点__，~~删除~~",
    "**注意：**后文**再次**。",
    "*italic* _italic_ ***both*** ___both___ **_both_**",
    "*über* _déjà vu_ *привет* *🎉*",
    "**bold *italic* bold** *italic **bold** italic*",
    // Underscores and asterisks that are no markers
    "snake_case_names and __dunder__ and 年度_报告_终稿.docx",
    "变量_中文_名 和 a_中文_b",
    "5*3，数量4*2，2 * 3 * 4 中",
    "src/*.rs 和 test/*.rs，*.txt、*.md",
    "SELECT * FROM 表 WHERE a * b",
    "单独的 * 和 _ 和 ** 和 ***",
    // Escaped
    r"\*不是斜体\* \_也不是\_ \![图](x) !\[图](x)",
    r"\`*italic*\`",
    r"反斜杠 \ 和 C:\目录\*",
    // Unclosed
    "*没有结束",
    "***没有结束",
    "_没有结束\n\n另一段_",
    "*一段\n\n另一段*",
    "![没有结束",
    "![图](没有结束",
    "![图](http://a b c)",
    "![图](x \"没有结束)",
    "`没有结束 *italic*",
    // Links and addresses
    "[链接](https://例子.com/a_b_c \"标题\") <https://a.com/_x_>",
    "[wiki](https://zh.wikipedia.org/wiki/猫_(动物))",
    "[引用][ref] 和 [ref]\n\n[ref]: https://a.com '标题'",
    "见 https://a.com/_中/x_y_z?q=*a*&b=_c_ 和 http://b.com/*重",
    "[脚注][^1]\n\n[^1]: 说明",
    "![没有定义]",
    "惊叹![",
];

/// What goes in and what has to come out.
const CHANGED: &[(&str, &str)] = &[
    // Images
    ("前![图](https://a.com/x.png)后", "前后"),
    ("a ![alt](u) b", "a  b"),
    ("![](u)", ""),
    ("![图](u \"标题\")![图](u '标题')![图](u (标题))。", "。"),
    ("![a](https://a.com/x_(1).png)b", "b"),
    ("![a](<a b (c>)b", "b"),
    (r"![a\]b](x\)y)c", "c"),
    ("![a [b] c](u)d", "d"),
    ("![a ![b](v) c](u)d", "d"),
    ("![a `]` b](u)c", "c"),
    ("![a\nb](\nu\n)c", "c"),
    ("![a][ref]b", "b"),
    ("![a][]b", "b"),
    ("![Logo]b\n\n[logo]: https://a.com/x.png 'title'\n", "b\n\n"),
    ("![a][x] [b][x]\n\n[x]: u\n", " [b][x]\n\n[x]: u\n"),
    ("一行\n![图](u)\n一行", "一行\n\n一行"),
    ("- ![图](u)\n- 项", "- \n- 项"),
    ("| ![图](u) | 甲 |", "|  | 甲 |"),
    ("**![图](u)粗**", "**粗**"),
    ("[![观看](thumb.jpg)](https://a.com/v)", "[观看](https://a.com/v)"),
    ("[ ![观看][t] ](v) 后\n\n[t]: u", "[ 观看 ](v) 后\n\n"),
    ("[![](thumb.jpg)](v)", "[](v)"),
    ("[图 ![a](b)](v)", "[图 ](v)"),
    ("!![a](b)[c](d)", ""),
    ("`![图](x)` ![图](x)", "`![图](x)` "),
    // Headings
    ("##### 五", "五"),
    ("###### six ######", "six"),
    ("  #####   五  \n正文", "  五  \n正文"),
    ("##### C#", "C#"),
    ("#####", ""),
    ("> ##### 引\n- ###### 项", "> 引\n- 项"),
    ("##### ###### 双", "双"),
    ("##### *重点* ![图](u)x", "重点 x"),
    ("##### ```\n*重点*\n```\n*重点*", "```\n*重点*\n```\n重点"),
    ("![a](b)##### c", "c"),
    // Italics
    ("*斜体*", "斜体"),
    ("这是*重点*内容", "这是重点内容"),
    ("_斜体_，（_斜体_）", "斜体，（斜体）"),
    ("*mixed 中文 text*", "mixed 中文 text"),
    ("*一\n二*", "一\n二"),
    ("> *一\n> 二*", "> 一\n> 二"),
    ("*かな* *한국어* *カナ* *ｶﾅ* *𠮷*", "かな 한국어 カナ ｶﾅ 𠮷"),
    ("*“引号”：*后文", "“引号”：后文"),
    ("* *项*", "* 项"),
    ("| *甲* | *b* |", "| 甲 | *b* |"),
    ("# *标题*", "# 标题"),
    ("*见 [链接](u)*", "见 [链接](u)"),
    ("[*链接*](u_*中*_)", "[链接](u_*中*_)"),
    ("*a [b*](u) 中*", "a [b*](u) 中"),
    ("*代码 `*`*", "代码 `*`"),
    ("*见 https://a.com/*", "见 https://a.com/"),
    (r"*甲\*乙*", r"甲\*乙"),
    // Bold italics, nested
    ("***粗斜***", "粗斜"),
    ("___粗斜___", "粗斜"),
    ("**_粗斜_** *__粗斜__*", "**粗斜** __粗斜__"),
    ("**粗 *斜* 粗**", "**粗 斜 粗**"),
    ("*斜 **粗** 斜*", "斜 **粗** 斜"),
    ("***粗斜** 斜*", "**粗斜** 斜"),
    ("***斜* 粗**", "**斜 粗**"),
    ("**粗***斜*", "**粗**斜"),
    ("~~*删*~~", "~~删~~"),
    ("*en* *中* *en*", "*en* 中 *en*"),
    ("*没有结束 *斜*", "*没有结束 斜"),
];

#[test]
fn what_wechat_renders_is_kept() {
    for text in KEPT {
        assert_eq!(for_wechat(text), *text);
    }
}

#[test]
fn what_wechat_cannot_render_is_removed() {
    for (text, expected) in CHANGED {
        assert_eq!(for_wechat(text), *expected, "from {text:?}");
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let texts = KEPT.iter().chain(CHANGED.iter().map(|(text, _)| text));
    for text in texts {
        let once = for_wechat(text);
        assert_eq!(for_wechat(&once), once, "from {text:?}");
    }
}

#[test]
fn a_whole_reply_is_filtered_in_place() {
    let reply = "## 结果\n\n*总结*：**完成** 3/4。\n\n![图表](https://a.com/c.png \"图\")\n\n##### 明细\n\n\
        | 文件 | 状态 |\n|---|---|\n| `a_*b*.rs` | *好* |\n\n```py\nx = 2*3*4  # *注*\n```\n\n> _参见_ [文档](https://a.com/a_b)\n";
    let expected = "## 结果\n\n总结：**完成** 3/4。\n\n\n\n明细\n\n\
        | 文件 | 状态 |\n|---|---|\n| `a_*b*.rs` | 好 |\n\n```py\nx = 2*3*4  # *注*\n```\n\n> 参见 [文档](https://a.com/a_b)\n";
    assert_eq!(for_wechat(reply), expected);
}

/// The blocks in which a gateway that streams sends a text: it cuts between paragraphs, and not within a fence.
fn streamed(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut fence: Option<Fence> = None;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        match &fence {
            Some(open) if open.line(line) == FenceLine::Inside => continue,
            Some(open) if open.line(line) == FenceLine::Closes => fence = None,
            _ => {
                let lead = Lead::of(line);
                fence = Fence::opened_by(&line[lead.len..], lead);
            }
        }
        if line.is_empty() && fence.is_none() {
            blocks.push(&text[start..at]);
            start = at;
        }
    }
    blocks.push(&text[start..]);
    blocks
}

#[test]
fn streamed_blocks_come_out_as_the_whole_text_does() {
    // What a reference means may stand blocks away, and an open fence has no end to stream to.
    let in_one_block = |text: &str| !text.contains("]: ") && !text.contains("unclosed");
    let cases = KEPT.iter().map(|text| (*text, *text)).chain(CHANGED.iter().copied());
    let (sources, expected): (Vec<_>, Vec<_>) = cases.filter(|(text, _)| in_one_block(text)).unzip();
    let document = sources.join("\n\n");

    let blocks = streamed(&document);
    assert!(blocks.len() > 80, "{} blocks", blocks.len());
    let shown: String = blocks.into_iter().map(for_wechat).collect();

    assert_eq!(shown, for_wechat(&document));
    assert_eq!(shown, expected.join("\n\n"));
}

#[test]
fn a_fence_that_a_stream_cuts_and_opens_again_stays_code() {
    let line = "结果 = 年度*数量*2  # *注* ##### ![图](x)\n";
    for (open, close) in [("```py\n", "```"), ("~~~\n", "~~~"), ("> ````md\n", "> ````")] {
        let quote = if open.starts_with('>') { "> " } else { "" };
        let code = format!("{open}{}{close}", format!("{quote}{line}").repeat(40));
        let blocks = chunk(&code, 200);
        assert!(blocks.len() > 5);
        for block in blocks {
            assert_eq!(for_wechat(&block), block);
        }
    }
}

/// Anything put together from what the filter looks at: it must not panic, must only remove, must not touch a text a
/// second time.
#[test]
fn random_markdown_is_only_shortened_and_stable() {
    const PIECES: &[&str] = &[
        "*",
        "**",
        "***",
        "_",
        "__",
        "___",
        "~~",
        "`",
        "``",
        "```",
        "~~~",
        "\n",
        "\n",
        "\n\n",
        "\r\n",
        " ",
        " ",
        "  ",
        "\t",
        "![",
        "[",
        "]",
        "](",
        ")",
        "(u)",
        "](u)",
        "[r]",
        "[]",
        "\n\n[r]: u\n",
        "![a](b)",
        "![图](x \"t\")",
        "!",
        "\\",
        "\\*",
        "中",
        "文字",
        "，",
        "。",
        "a",
        "word",
        "5",
        ".",
        "##### ",
        "###### ",
        "# ",
        "#",
        "> ",
        ">",
        "- ",
        "* ",
        "1. ",
        "|",
        "---",
        "https://a.com/_",
        "<",
        "\"",
        "é",
        "🎉",
        "\u{301}",
    ];
    let mut rng = StdRng::seed_from_u64(20_240_601);
    for _ in 0..20_000 {
        let text: String = (0..rng.random_range(1..24)).map(|_| *PIECES.choose(&mut rng).unwrap()).collect();
        let once = for_wechat(&text);
        let mut source = text.chars();
        assert!(once.chars().all(|c| source.any(|s| s == c)), "not a part of the source: {text:?} -> {once:?}");
        assert_eq!(for_wechat(&once), once, "from {text:?}");
    }
}

/// Each takes well under a second; whatever is quadratic takes minutes, at least.
#[test]
fn hostile_text_takes_linear_time() {
    const SIZE: usize = 1_000_000;
    let pieces = [
        "*",
        "_",
        "**中",
        "*中 _",
        "*a _b ",
        "a**b*",
        "*中***",
        "`",
        "`` ` ",
        "\\`",
        "[",
        "![",
        "[![",
        "]",
        "[]",
        "[a](",
        "![a](",
        "![a](<",
        "[a](b \"",
        "[a](b '",
        "[a](b (",
        "![a][",
        "[[a]",
        "](",
        "](\\(",
        "[a]",
        "[r]: u\n\n[r][r]",
        "[a](b)",
        "![中](b)*",
        "[![a](b)](c)",
        "!![a](b)[c](d)",
        "> ",
        ">",
        "- ",
        "* ",
        "1. ",
        "##### ",
        "##### #\n",
        "#",
        "- ##### ",
        "```\n",
        "> ```\n",
        "~~~ ",
        "| *中* ",
        "|",
        "https://",
        "https://*",
        "h",
        "\n",
        "*\n",
        " ",
        "中",
        "<",
    ];
    let repeated = pieces.map(|piece| piece.repeat(SIZE / piece.len()));
    let nested = "![".repeat(SIZE / 8) + &"](u)".repeat(SIZE / 8);
    let labels = "[r]: u\n\n".to_owned() + &"[".repeat(SIZE / 2) + &"]".repeat(SIZE / 2);
    let lengths = (1..1000).map(|n| "`".repeat(n) + " ").collect();
    for text in repeated.into_iter().chain([nested, labels, lengths]) {
        let start = Instant::now();
        for_wechat(&text);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(20), "{:?}… took {took:?}", &text[..20]);
    }
}

#[test]
fn a_bracket_that_could_begin_a_tag_is_written_wide_outside_code() {
    let cases = [
        ("a < b, 1<2, <3, <>", "a < b, 1<2, <3, <>"),
        ("if x<y then", "if x＜y then"),
        ("<b>bold</b> <!-- x -->", "＜b>bold＜/b> ＜!-- x -->"),
        ("`Vec<T>` and Vec<T>", "`Vec<T>` and Vec＜T>"),
        ("```html\n<p>\n```\n<p>", "```html\n<p>\n```\n＜p>"),
        ("# <h1>\n> <q>\n- <li>", "# ＜h1>\n> ＜q>\n- ＜li>"),
        ("| <td> | `<td>` |", "| ＜td> | `<td>` |"),
        ("\\<b> <https://a.example/x>", "\\＜b> ＜https://a.example/x>"),
        ("`open <b", "`open ＜b"),
        ("看 <标签> <a", "看 <标签> ＜a"),
        ("*a<b*c", "*a＜b*c"),
    ];
    for (text, want) in cases {
        assert_eq!(super::without_tags(text), want);
    }
}
