//! Each page in Chinese says as much as the page that it translates: the same headings, tables and commands.

use std::path::{Path, PathBuf};

/// What has to be the same in both languages, in the order in which it stands.
#[derive(Debug, PartialEq)]
enum Part {
    /// The number of `#`.
    Heading(usize),
    /// The first cell, where that is code.
    Row(String),
    /// A line of a block of code, without its comment and without names of what people fill in.
    Code(String),
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut block: Option<bool> = None;
    for line in page.lines() {
        if line.starts_with("```") {
            block = if block.is_some() { None } else { Some(line.len() > 3) };
        } else if let Some(language) = block {
            // A block without a language is a drawing.
            if language {
                parts.push(Part::Code(command(line)));
            }
        } else if line.starts_with('#') {
            parts.push(Part::Heading(line.chars().take_while(|c| *c == '#').count()));
        } else if line.starts_with('|') {
            let first = line.split('|').nth(1).unwrap_or_default().trim();
            let code = if first.starts_with('`') && first.ends_with('`') { first } else { "" };
            parts.push(Part::Row(code.to_owned()));
        }
    }
    parts
}

fn command(line: &str) -> String {
    let without_comment = line.split(" #").next().unwrap_or_default().trim();
    let mut plain = String::new();
    let mut inside = false;
    for c in without_comment.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

fn translated() -> Vec<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [root.to_owned(), root.join("docs")] {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if let Some(original) = name.strip_suffix(".zh-CN.md") {
                found.push((folder.join(format!("{original}.md")), path));
            }
        }
    }
    found
}

#[test]
fn a_translation_has_the_headings_tables_and_commands_of_its_original() {
    let pages = translated();
    assert!(pages.len() >= 4, "{pages:?}");
    for (original, translation) in pages {
        let [original_parts, translated_parts] =
            [&original, &translation].map(|page| parts(&std::fs::read_to_string(page).unwrap()));
        for (n, (there, here)) in original_parts.iter().zip(&translated_parts).enumerate() {
            assert_eq!(there, here, "part {n} of {} and {}", original.display(), translation.display());
        }
        assert_eq!(
            original_parts.len(),
            translated_parts.len(),
            "{} and {}",
            original.display(),
            translation.display()
        );
    }
}

#[test]
fn a_translation_links_to_pages_that_are_there() {
    for (_, translation) in translated() {
        let page = std::fs::read_to_string(&translation).unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                assert!(translation.parent().unwrap().join(file).exists(), "{}: {link}", translation.display());
            }
        }
    }
}
