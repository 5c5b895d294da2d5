//! YAML as a tree that knows where everything stands.
//!
//! A typed reader stops at the first mistake and loses what it skipped. People deserve
//! all their mistakes at once, each on its line, so files are read as a tree first:
//! every key (twice if it is there twice), every scalar with the type YAML gives it.
//! Aliases, tags and second documents are refused here: a plan must read the same
//! to a person and to a machine.

pub mod fields;
pub mod reader;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::finding::Span;

/// Bytes of one file.
pub const MAX_BYTES: usize = 64 << 10;
/// Nesting of lists and maps.
const MAX_DEPTH: usize = 12;
/// Scalars, lists and maps of one file.
const MAX_NODES: usize = 20_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; a key may occur twice.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub span: Span,
    pub text: String,
}

/// A scalar as some YAML reader would type it, 1.1 and 1.2 alike: what one of them
/// reads as a number is not a name, whatever the other one says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    pub text: String,
    pub kind: ScalarKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    Text,
    Bool,
    Number,
    Date,
    Null,
}

impl ScalarKind {
    /// What a message calls it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Date => "a date",
            Self::Null => "nothing",
        }
    }
}

/// Why there is no tree. Ends the file: what follows it can not be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub span: Option<Span>,
    pub why: Why,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Syntax,
    Structure,
}

/// Reads one file. An empty one (or only comments) is an empty map.
///
/// # Errors
/// At the first thing that is not plain, single-document YAML within the limits.
pub fn parse(text: &str) -> Result<Node, Refused> {
    if text.len() > MAX_BYTES {
        return Err(structure(
            None,
            format!("the file has {} bytes, {MAX_BYTES} are allowed", text.len()),
        ));
    }
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| Refused {
            span: Some(point(error.marker())),
            why: Why::Syntax,
            message: error.kind().to_string(),
        })?;
        builder.take(event, range(&span))?;
    }
    Ok(builder.root.unwrap_or(Node {
        span: Span {
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
        },
        value: Value::Map(Vec::new()),
    }))
}

/// An unfinished list or map.
enum Open {
    List(Span, Vec<Node>),
    Map(Span, Vec<(Key, Node)>, Option<Key>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Refused> {
        if event.tag().is_some() {
            return Err(structure(
                Some(span),
                "a tag (`!…`) has no meaning here".into(),
            ));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(structure(
                        Some(span),
                        "a second document (`---`): one file holds one pipeline".into(),
                    ));
                }
                Ok(())
            }
            Event::Alias(_) => Err(structure(
                Some(span),
                "an alias (`*…`): write the value out, so that every line says what it does".into(),
            )),
            Event::Scalar(text, style, ..) => {
                let kind = if style == ScalarStyle::Plain {
                    kind_of(&text)
                } else {
                    ScalarKind::Text
                };
                self.close(
                    span,
                    Value::Scalar(Scalar {
                        text: text.into_owned(),
                        kind,
                    }),
                )
            }
            Event::SequenceStart(..) => self.enter(Open::List(span, Vec::new()), span),
            Event::MappingStart(..) => self.enter(Open::Map(span, Vec::new(), None), span),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(start, items)) => self.close(join(start, span), Value::List(items)),
                Some(Open::Map(start, entries, _)) => {
                    self.close(join(start, span), Value::Map(entries))
                }
                None => Err(structure(Some(span), "an end without a beginning".into())),
            },
            _ => Ok(()),
        }
    }

    fn enter(&mut self, open: Open, span: Span) -> Result<(), Refused> {
        if self.open.len() >= MAX_DEPTH {
            return Err(structure(
                Some(span),
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        if let Some(Open::Map(_, _, None)) = self.open.last() {
            return Err(structure(
                Some(span),
                "a list or map can not be a key".into(),
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, span: Span, value: Value) -> Result<(), Refused> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(structure(
                Some(span),
                format!("more than {MAX_NODES} values"),
            ));
        }
        match self.open.last_mut() {
            None => self.root = Some(Node { span, value }),
            Some(Open::List(_, items)) => items.push(Node { span, value }),
            Some(Open::Map(_, entries, key)) => match (key.take(), value) {
                (Some(name), value) => entries.push((name, Node { span, value })),
                (None, Value::Scalar(scalar)) => {
                    *key = Some(Key {
                        span,
                        text: scalar.text,
                    });
                }
                (None, _) => {
                    return Err(structure(
                        Some(span),
                        "a list or map can not be a key".into(),
                    ));
                }
            },
        }
        Ok(())
    }
}

fn structure(span: Option<Span>, message: String) -> Refused {
    Refused {
        span,
        why: Why::Structure,
        message,
    }
}

fn point(marker: &granit_parser::Marker) -> Span {
    let (line, column) = (marker.line().max(1), marker.col() + 1);
    Span {
        line,
        column,
        end_line: line,
        end_column: column + 1,
    }
}

fn range(span: &granit_parser::Span) -> Span {
    Span {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
        end_line: span.end.line().max(1),
        end_column: span.end.col() + 1,
    }
}

fn join(start: Span, end: Span) -> Span {
    Span {
        line: start.line,
        column: start.column,
        end_line: end.end_line,
        end_column: end.end_column,
    }
}

/// The type that YAML 1.1 or 1.2 gives to a plain scalar.
fn kind_of(text: &str) -> ScalarKind {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "~" | "null") {
        return ScalarKind::Null;
    }
    if matches!(
        lower.as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    ) {
        return ScalarKind::Bool;
    }
    if is_number(&lower) {
        return ScalarKind::Number;
    }
    if is_date(text) {
        return ScalarKind::Date;
    }
    ScalarKind::Text
}

fn is_number(lower: &str) -> bool {
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(lower);
    if matches!(unsigned, ".inf" | ".nan") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix) || c == '_');
        }
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    // YAML 1.1 reads 1:30 as sixty times one and thirty, and 1_000 as a thousand.
    let plain: String = unsigned.chars().filter(|c| *c != '_').collect();
    if plain.contains(':') {
        return plain
            .split(':')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    }
    plain.parse::<f64>().is_ok()
}

/// `2024-01-31`, with or without a time.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(year), Some(month), Some(rest)) => {
            let digits = |s: &str, max: usize| {
                (1..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
            };
            let day: String = rest.chars().take_while(char::is_ascii_digit).collect();
            year.len() == 4 && digits(year, 4) && digits(month, 2) && digits(&day, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<ScalarKind> {
        match parse(text).unwrap().value {
            Value::List(items) => items
                .into_iter()
                .map(|item| match item.value {
                    Value::Scalar(scalar) => scalar.kind,
                    other => panic!("{other:?}"),
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_either_yaml_reads_as_a_number_is_no_text() {
        use ScalarKind::*;
        assert_eq!(
            kinds("[1, 1_000, 0123, 0x1f, 1e3, .5, 1:30, -.inf]"),
            vec![Number; 8]
        );
        assert_eq!(kinds("[no, On, yes, true, n]"), vec![Bool; 5]);
        assert_eq!(kinds("[~, null, ]"), vec![Null; 2]);
        assert_eq!(kinds("[2024-01-31, 2024-1-3]"), vec![Date; 2]);
        assert_eq!(
            kinds("['1', \"no\", 1a, 12-ab, a:1, nope, 1.2.3]"),
            vec![Text; 7]
        );
    }

    #[test]
    fn both_of_two_equal_keys_are_there_with_their_places() {
        let Value::Map(entries) = parse("a: 1\nb: 2\na: 3\n").unwrap().value else {
            panic!()
        };
        let places: Vec<_> = entries
            .iter()
            .map(|(key, _)| (key.text.as_str(), key.span.line, key.span.column))
            .collect();
        assert_eq!(places, vec![("a", 1, 1), ("b", 2, 1), ("a", 3, 1)]);
    }

    #[test]
    fn refusals_name_the_place() {
        let at = |text: &str| {
            let refused = parse(text).unwrap_err();
            (refused.why, refused.span.map(|s| (s.line, s.column)))
        };
        assert_eq!(at("a: &x 1\nb: *x\n"), (Why::Structure, Some((2, 4))));
        assert_eq!(at("a: 1\n---\nb: 2\n"), (Why::Structure, Some((2, 1))));
        assert_eq!(at("a: !!str 1\n").0, Why::Structure);
        assert_eq!(at("a: [1, 2\nb: 3\n").0, Why::Syntax);
        assert_eq!(at(&"- ".repeat(50)).0, Why::Structure);
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert_eq!(at(&"x".repeat(MAX_BYTES + 1)).0, Why::Structure);
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse("# nothing\n").unwrap().value, Value::Map(vec![]));
        assert_eq!(parse("").unwrap().value, Value::Map(vec![]));
    }

    #[test]
    fn columns_count_characters() {
        let Value::Map(entries) = parse("é: ü\n").unwrap().value else {
            panic!()
        };
        assert_eq!(entries[0].1.span.column, 4);
    }
}
