//! Findings on a terminal: the line, marked, with the next step.

use std::io::{self, IsTerminal, Write};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::finding::{Finding, Severity, Span};
use crate::snapshot::{Entry, Tree};

/// Colours only if `stream` is a terminal, and not where NO_COLOR asks for none (no-color.org).
pub fn renderer(stream: &impl IsTerminal) -> Renderer {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && stream.is_terminal() {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

/// Writes every finding. `tree` says where the text is that a finding is about, `shown`
/// how a path of it is called here.
///
/// # Errors
/// If `out` does not take it.
pub fn findings<'t>(
    findings: &[&Finding],
    tree: impl Fn(&Finding) -> Option<&'t Tree>,
    shown: &dyn Fn(&str) -> String,
    renderer: &Renderer,
    out: &mut dyn Write,
) -> io::Result<()> {
    for finding in findings {
        let path = escaped(&shown(&finding.path));
        let text = match tree(finding).and_then(|tree| tree.entries.get(&finding.path)) {
            Some(Entry::File(bytes)) => source(&String::from_utf8_lossy(bytes)),
            _ => String::new(),
        };
        let (message, rule) = (escaped(&finding.message), escaped(&finding.rule));
        let level = match finding.severity {
            Severity::Deny => Level::ERROR.with_name("deny"),
            Severity::Warn => Level::WARNING.with_name("warn"),
        };
        let title = level.primary_title(&message).id(&rule);
        let mut group = match finding.span.filter(|_| !text.is_empty()) {
            Some(span) => {
                let mark = AnnotationKind::Primary.span(bytes_of(&text, span));
                title.element(Snippet::source(&text).path(&path).annotation(mark))
            }
            None => title.element(Origin::path(&path)),
        };
        let help = finding.help.as_deref().map(escaped);
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help));
        }
        writeln!(out, "{}\n", renderer.render(&[group]))?;
    }
    Ok(())
}

/// Writes one JSON value that a terminal can show: what could steer it stands in a string,
/// where JSON has an escape for it.
///
/// # Errors
/// If `out` does not take it.
pub fn json(value: &serde_json::Value, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for c in format!("{value:#}").chars() {
        if is_harmful(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    writeln!(out, "{text}")
}

/// `2 findings: 1 deny, 1 warn`.
pub fn summary(pipelines: usize, findings: &[&Finding]) -> String {
    let plural =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let denies = findings.iter().filter(|finding| finding.is_deny()).count();
    let mut text = format!(
        "{}, {}",
        plural(pipelines, "pipeline"),
        plural(findings.len(), "finding")
    );
    if !findings.is_empty() {
        text += &format!(": {denies} deny, {} warn", findings.len() - denies);
    }
    text
}

/// What could steer a terminal, or hide or turn around what is there.
pub fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with `\u{1b}` for what a terminal must not receive.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A file's text as its spans count it: no byte order mark, any of YAML's line ends, and
/// one harmless character for each harmful one.
fn source(text: &str) -> String {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\r' => '\n',
            c if is_harmful(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The bytes of a span; the end of the line where the span leaves it.
fn bytes_of(text: &str, span: Span) -> std::ops::Range<usize> {
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number + 1 == span.line {
            let byte = |column: usize| {
                line.char_indices()
                    .nth(column.saturating_sub(1))
                    .map_or(line.trim_end().len(), |(byte, _)| byte)
            };
            let from = byte(span.column).min(line.len());
            let to = if span.end_line > span.line {
                line.trim_end().len()
            } else {
                byte(span.end_column)
            };
            return start + from..start + to.max(from);
        }
        start += line.len();
    }
    text.len()..text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_bytes() {
        let text = "é: ü\nlong: value\n";
        let span = |line, column, end_line, end_column| Span {
            line,
            column,
            end_line,
            end_column,
        };
        assert_eq!(&text[bytes_of(text, span(1, 4, 1, 5))], "ü");
        assert_eq!(&text[bytes_of(text, span(2, 7, 2, 12))], "value");
        assert_eq!(&text[bytes_of(text, span(1, 1, 2, 3))], "é: ü");
        assert_eq!(bytes_of(text, span(9, 1, 9, 2)), text.len()..text.len());
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "a\u{1b}[2J\u{202e}\u{9b}\u{e0041}\n";
        assert_eq!(escaped(hostile), "a\\u{1b}[2J\\u{202e}\\u{9b}\\u{e0041}\n");
        let value = serde_json::json!({ "k": hostile });
        let mut out = Vec::new();
        json(&value, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(!out.chars().any(is_harmful), "{out}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&out).unwrap(),
            value
        );
    }

    #[test]
    fn lines_are_those_of_yaml() {
        assert_eq!(source("\u{feff}a\r\nb\rc\u{1b}"), "a\nb\nc\u{fffd}");
    }
}
