//! Markdown that stays whole, whatever is put into it.
//!
//! Whatever comes from a file, a person or a remote answer goes through here. GitHub looks
//! for mentions, addresses and references in the rendered text, where no backslash is left
//! to stop it; inside code it does not look. So a word that is not plainly a word becomes
//! code, and only code holds what somebody else chose.

use std::fmt::Write as _;

/// Characters of one foreign text that are shown. The rest is where it came from.
const LONGEST: usize = 400;

/// A code span on one line.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        " "
    } else {
        ""
    };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A sentence on one line. What it has in backticks stays code, and so becomes every word
/// that could be more than a word.
pub(super) fn prose(text: &str) -> String {
    let text = one_line(text);
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::new();
    if parts.len().is_multiple_of(2) {
        words(&mut out, &text);
        return out;
    }
    for (index, part) in parts.into_iter().enumerate() {
        if index.is_multiple_of(2) {
            words(&mut out, part);
        } else if !part.is_empty() {
            join(&mut out, &code(part));
        }
    }
    out
}

/// Text for a place that knows no Markdown.
pub(super) fn plain(text: &str) -> String {
    one_line(text)
}

/// Code for a place where HTML stands and Markdown does not reach, such as a summary.
pub(super) fn html_code(text: &str) -> String {
    let mut out = String::from("<code>");
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out.push_str("</code>");
    out
}

/// A fenced block. The fence is longer than any run of backticks inside, and no line
/// begins with a slash, where a bot could read a command.
pub(super) fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let mut out = format!("{fence}{language}\n");
    for line in text.lines() {
        if line.starts_with('/') {
            out.push(' ');
        }
        out.extend(line.chars().map(visible));
        out.push('\n');
    }
    out.push_str(&fence);
    out
}

/// A foldable section. `summary` is HTML without Markdown; `body` is whole Markdown.
pub(super) fn details(summary: &str, body: &str) -> String {
    format!("<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>")
}

/// The rows of a table that fit in `room` bytes, and how many were left out. The cells are
/// whole Markdown on one line.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    room: usize,
) -> (String, usize) {
    let mut out = row(&header.map(ToOwned::to_owned));
    out.push_str("\n|");
    out.push_str(&"---|".repeat(N));
    let mut left_out = 0;
    for cells in rows {
        let row = row(&cells);
        if left_out > 0 || out.len() + row.len() > room {
            left_out += 1;
        } else {
            out.push('\n');
            out.push_str(&row);
        }
    }
    (out, left_out)
}

/// The items as a list that fits in `room` bytes, and how many were left out.
pub(super) fn list(items: impl IntoIterator<Item = String>, room: usize) -> (String, usize) {
    let mut out = String::new();
    let mut left_out = 0;
    for item in items {
        if left_out > 0 || out.len() + item.len() > room {
            left_out += 1;
        } else {
            let separator = if out.is_empty() { "" } else { "\n" };
            // Writing to a String can not fail.
            let _ = write!(out, "{separator}- {item}");
        }
    }
    (out, left_out)
}

/// `1 grant`, `2 grants`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn all_of(items: &[String]) -> String {
    joined(items, "and")
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn one_of(items: &[String]) -> String {
    joined(items, "or")
}

fn joined(items: &[String], last_word: &str) -> String {
    match items.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} {last_word} {last}", before.join(", ")),
    }
}

/// A pipe ends a cell even inside code, unless a backslash stands before it.
fn row(cells: &[String]) -> String {
    let mut out = String::from("|");
    for cell in cells {
        let _ = write!(out, " {} |", cell.replace('|', "\\|"));
    }
    out
}

fn words(out: &mut String, text: &str) {
    for word in text.split_inclusive(' ') {
        let (word, space) = match word.strip_suffix(' ') {
            Some(word) => (word, " "),
            None => (word, ""),
        };
        if word.is_empty() || is_plain(word) {
            out.push_str(word);
        } else {
            join(out, &code(word));
        }
        out.push_str(space);
    }
}

/// Appends a code span. Two that touch would be read as one.
fn join(out: &mut String, span: &str) {
    if out.ends_with('`') {
        out.push(' ');
    }
    out.push_str(span);
}

/// Whether a word is only a word: letters or a small number, with the marks of a sentence
/// around it. A dot inside could make an address, a digit beside letters a reference, and
/// hexadecimal digits a commit.
fn is_plain(word: &str) -> bool {
    let core = word
        .trim_start_matches(['(', '"', '\''])
        .trim_end_matches([',', '.', ';', ':', '!', '?', ')', '"', '\'', '…']);
    if core.is_empty() {
        return true;
    }
    if core.bytes().all(|b| b.is_ascii_digit()) {
        return core.len() < 7;
    }
    let is_hash = core.len() >= 7 && core.bytes().all(|b| b.is_ascii_hexdigit());
    core.starts_with(char::is_alphabetic)
        && core
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-'))
        && !is_hash
}

/// The first characters of the text on one line: blanks run together, and nothing hidden.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= LONGEST {
                out.push('…');
                return out;
            }
            out.push(visible(c));
            length += 1;
        }
    }
    out
}

/// What changes how its neighbours look, or can not be seen, is shown as a replacement mark.
fn visible(c: char) -> char {
    let is_hidden = match c {
        '\t' => return ' ',
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    };
    if is_hidden { '\u{fffd}' } else { c }
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_keeps_words_and_makes_the_rest_code() {
        for (text, shown) in [
            ("12 tables, read-only.", "12 tables, read-only."),
            (
                "ask @acme/x or see www.evil.example!",
                "ask `@acme/x` or see `www.evil.example!`",
            ),
            ("fixes #12 in deadbeef", "fixes `#12` in `deadbeef`"),
            ("`a b` is not a name", "`a b` is not a name"),
            ("x@y`a`", "`x@y` `a`"),
            ("is it `a`?", "is it `a`?"),
            ("an odd ` tick", "an odd `` ` `` tick"),
            ("<b>[x](http://y)</b>", "`<b>[x](http://y)</b>`"),
            ("a\n/apply\n- b", "a `/apply` `-` b"),
            ("a\u{202e}b", "`a\u{fffd}b`"),
        ] {
            assert_eq!(prose(text), shown);
        }
    }

    #[test]
    fn a_pipe_stays_in_its_cell() {
        let (table, left_out) = table(["a", "b"], [[code("x|y"), code("`z`")]], 1000);
        assert_eq!(table, "| a | b |\n|---|---|\n| `x\\|y` | `` `z` `` |");
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(
            fenced("yaml", "````\n/apply"),
            "`````yaml\n````\n /apply\n`````"
        );
    }

    #[test]
    fn a_summary_holds_no_tag_of_others() {
        assert_eq!(
            html_code("</summary>&\n\n@x"),
            "<code>&lt;/summary&gt;&amp; @x</code>"
        );
    }

    #[test]
    fn long_texts_and_tables_are_cut_between_characters_and_rows() {
        assert_eq!(code(&"é".repeat(500)).chars().count(), LONGEST + 3);
        let rows = (0..100).map(|n| [n.to_string()]);
        let (table, left_out) = table(["n"], rows, 100);
        assert!(table.len() <= 110 && left_out > 50);
    }
}
