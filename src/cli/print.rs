//! Findings on a terminal: the line, marked, with the next step.

use std::io::{self, IsTerminal as _, Write};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::finding::{Finding, Severity, Span};
use crate::snapshot::{Entry, Tree};

/// Colours only on a terminal, and not where NO_COLOR asks for none (no-color.org).
pub fn renderer() -> Renderer {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && io::stdout().is_terminal() {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
}

/// Writes every finding. `shown` says how a path of the tree is called here.
///
/// # Errors
/// If `out` does not take it.
pub fn findings(
    findings: &[&Finding],
    tree: &Tree,
    shown: &dyn Fn(&str) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let renderer = renderer();
    for finding in findings {
        let path = harmless(&shown(&finding.path));
        let text = match tree.entries.get(&finding.path) {
            Some(Entry::File(bytes)) => harmless(&String::from_utf8_lossy(bytes)),
            _ => String::new(),
        };
        let (message, rule) = (harmless(&finding.message), harmless(&finding.rule));
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
        let help = finding.help.as_deref().map(harmless);
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help));
        }
        writeln!(out, "{}\n", renderer.render(&[group]))?;
    }
    Ok(())
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

/// The text without what could steer a terminal or hide what is there.
pub fn harmless(text: &str) -> String {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if is_harmful(c) { '\u{fffd}' } else { c })
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
        assert_eq!(
            harmless("a\u{1b}[2Jb\u{202e}c\n"),
            "a\u{fffd}[2Jb\u{fffd}c\n"
        );
    }
}
