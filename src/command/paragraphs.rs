//! The lines of a comment in which its author speaks: those of paragraphs that stand in
//! nothing else.
//!
//! Read from the Markdown tree. What is quoted, listed, shown as code, linked, a heading, a
//! cell, or inside of somebody's HTML is talk about a command, not one.

use pulldown_cmark::{Event, Options, Parser, Tag};

/// HTML elements whose content is quoted, shown, struck out or folded away. GitHub leaves
/// the Markdown between their tags alone, and so does the tree.
const ENCLOSING: [&str; 16] = [
    "a",
    "blockquote",
    "code",
    "del",
    "details",
    "div",
    "kbd",
    "li",
    "ol",
    "pre",
    "q",
    "s",
    "samp",
    "strike",
    "table",
    "ul",
];

/// A line that begins with a slash and a letter, and its number, counted from 1.
pub(super) fn slash_lines(body: &str) -> Vec<(u32, &str)> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut found = Vec::new();
    let mut lines = Lines::new(body);
    let mut html = Html::default();
    let mut depth = 0_usize;
    let mut in_paragraph = false;
    let mut begins = false;
    for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
        let began = std::mem::replace(&mut begins, false);
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    in_paragraph = matches!(tag, Tag::Paragraph);
                    begins = in_paragraph;
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::SoftBreak | Event::HardBreak => begins = in_paragraph && depth == 1,
            Event::Html(text) | Event::InlineHtml(text) => html.read(&text),
            Event::Text(_) if began && !html.encloses() => {
                found.extend(lines.slash_line(range.start));
            }
            _ => {}
        }
    }
    found
}

/// Finds lines by ascending offsets, reading the body once.
struct Lines<'b> {
    body: &'b str,
    counted: usize,
    line: u32,
}

impl<'b> Lines<'b> {
    fn new(body: &'b str) -> Self {
        Self {
            body,
            counted: 0,
            line: 1,
        }
    }

    /// The line whose first word begins at `start`, if it is a slash and a letter. Other
    /// bytes than blanks before it are the backslash of one who does not want a command.
    fn slash_line(&mut self, start: usize) -> Option<(u32, &'b str)> {
        let (before, rest) = self.body.split_at_checked(start)?;
        let before = before.trim_end_matches([' ', '\t']);
        let is_first = before.is_empty() || before.ends_with(['\n', '\r']);
        let is_slash = rest
            .strip_prefix('/')
            .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
        if !is_first || !is_slash {
            return None;
        }
        let passed = self.body.get(self.counted..start)?;
        self.line = self.line.saturating_add(line_ends(passed));
        self.counted = start;
        let line = rest.split(['\n', '\r']).next().unwrap_or(rest);
        Some((self.line, line.trim_end()))
    }
}

/// A carriage return alone ends a line too; otherwise two lines could have one number.
fn line_ends(text: &str) -> u32 {
    let mut ends = 0;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\n' || (byte == b'\r' && bytes.peek() != Some(&b'\n')) {
            ends += 1;
        }
    }
    ends
}

/// How deep the text stands in HTML so far. Where the tags do not match it may take text
/// for enclosed that is not: a command that is not obeyed can be written again.
#[derive(Default)]
struct Html {
    depth: usize,
    in_comment: bool,
}

impl Html {
    fn encloses(&self) -> bool {
        self.depth > 0 || self.in_comment
    }

    fn read(&mut self, text: &str) {
        let mut rest = text;
        loop {
            if self.in_comment {
                let Some((_, after)) = rest.split_once("-->") else {
                    return;
                };
                self.in_comment = false;
                rest = after;
            }
            let Some((_, after)) = rest.split_once('<') else {
                return;
            };
            rest = after;
            if let Some(after) = rest.strip_prefix("!--") {
                self.in_comment = true;
                rest = after;
            } else if let Some(closing) = rest.strip_prefix('/') {
                if is_enclosing(closing) {
                    self.depth = self.depth.saturating_sub(1);
                }
            } else if is_enclosing(rest) {
                self.depth += 1;
            }
        }
    }
}

fn is_enclosing(tag: &str) -> bool {
    let name = tag
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    ENCLOSING
        .iter()
        .any(|element| element.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paragraphs_that_stand_in_nothing_speak() {
        for (body, expected) in [
            ("/plan", vec![(1, "/plan")]),
            (
                "hello\n  /plan  \r\n/help me\r\n",
                vec![(2, "/plan"), (3, "/help me")],
            ),
            ("a\r/plan\r/help", vec![(2, "/plan"), (3, "/help")]),
            ("a  \n/plan", vec![(2, "/plan")]),
            (
                "a\n\n/rerun a_b_c *x* tables=[a",
                vec![(3, "/rerun a_b_c *x* tables=[a")],
            ),
            ("see /plan", vec![]),
            ("\\/plan", vec![]),
            ("&sol;plan", vec![]),
            ("/ plan\n//plan\n/1", vec![]),
            // Quotes, lists, tasks, footnotes, tables and headings.
            ("> /plan", vec![]),
            ("> quoted\n/plan", vec![]),
            ("> quoted\n\n/plan", vec![(3, "/plan")]),
            ("- /plan\n- x\n\n  /plan", vec![]),
            ("- [ ] /plan", vec![]),
            ("1. x\n/plan", vec![]),
            ("a[^1]\n\n[^1]: /plan", vec![]),
            ("/a | b\n---|---\n/plan | c", vec![]),
            ("# /plan\n\n/plan\n===\n\n/plan\n/help\n---", vec![]),
            // Code, links, emphasis.
            ("    /plan", vec![]),
            ("```\n/plan\n```", vec![]),
            ("~~~\n/plan", vec![]),
            ("`a\n/plan\n`", vec![]),
            ("[a\n/plan](http://x.example)", vec![]),
            ("![a\n/plan](http://x.example)", vec![]),
            ("[a]: /plan\n[a]", vec![]),
            ("~~a\n/plan~~", vec![]),
            ("**/plan**", vec![]),
            // HTML.
            ("<!-- x\n/plan\n-->", vec![]),
            ("a <!-- x\n/plan\n--> b\n/help", vec![(4, "/help")]),
            ("<div>\n/plan\n</div>", vec![]),
            (
                "<details>\n\n/plan\n\n</details>\n\n/help",
                vec![(7, "/help")],
            ),
            ("<BLOCKQUOTE>\n\n/plan\n", vec![]),
            ("<!-- <details> -->\n\n/plan", vec![(3, "/plan")]),
            ("<s>a\n/plan</s>\n/help", vec![(3, "/help")]),
            ("give <name>\n/plan", vec![(2, "/plan")]),
        ] {
            assert_eq!(slash_lines(body), expected, "{body:?}");
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = 10_000;
        for piece in [
            "[", "![", "> ", "*", "`", "(", "<", "- ", "<div>", "[a](", "\\", "&", "|",
        ] {
            let body = format!("{}\n/plan\n\n/help", piece.repeat(deep));
            let found = slash_lines(&body);
            assert!(found.len() <= 2, "{piece}: {found:?}");
        }
        let body = format!("{}x{}", "[".repeat(deep), "](y)".repeat(deep));
        assert_eq!(slash_lines(&body), vec![]);
    }
}
