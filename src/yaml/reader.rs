//! From a tree to typed values, collecting every mistake on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::finding::{Finding, Span, rule};
use crate::name::{NameError, excerpt};

use super::fields::{Field, Fields, child};
use super::{Node, Scalar, ScalarKind, Value, Why};

/// Characters of a file's text that a message repeats.
pub(super) const EXCERPT: usize = 60;

/// Reads one file: keeps its findings, and the place of every key by JSON pointer.
pub struct Reader<'p> {
    path: &'p str,
    findings: Vec<Finding>,
    spans: BTreeMap<String, Span>,
}

impl<'p> Reader<'p> {
    pub fn new(path: &'p str) -> Self {
        Self {
            path,
            findings: Vec::new(),
            spans: BTreeMap::new(),
        }
    }

    /// Reads the text as YAML. `None` after saying why not.
    pub fn tree(&mut self, bytes: &[u8]) -> Option<Node> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = before.iter().filter(|b| **b == b'\n').count() + 1;
                self.deny(
                    rule::FILE,
                    Some(Span {
                        line,
                        column: 1,
                        end_line: line,
                        end_column: 2,
                    }),
                    "the file is not UTF-8 text",
                );
                return None;
            }
        };
        match super::parse(text) {
            Ok(node) => Some(node),
            Err(refused) => {
                let rule = match refused.why {
                    Why::Syntax => rule::SYNTAX,
                    Why::Structure => rule::STRUCTURE,
                };
                self.deny(rule, refused.span, refused.message);
                None
            }
        }
    }

    /// Keeps a finding about this file, whatever path it was made with.
    pub fn push(&mut self, mut finding: Finding) {
        finding.path = self.path.to_owned();
        self.findings.push(finding);
    }

    pub fn deny(
        &mut self,
        rule: crate::finding::Rule,
        span: Option<Span>,
        message: impl Into<String>,
    ) {
        self.findings
            .push(Finding::deny(rule, self.path, span, message));
    }

    /// What was found, and where every key stands.
    pub fn finish(self) -> (Vec<Finding>, BTreeMap<String, Span>) {
        (self.findings, self.spans)
    }

    /// The root's fields.
    pub fn root<'n>(&mut self, node: &'n Node) -> Option<Fields<'n>> {
        self.spans.insert(String::new(), first_line(node.span));
        self.fields(&Field::root(node))
    }

    /// The fields of a map; doubled keys are findings, and the first one counts.
    pub fn fields<'n>(&mut self, field: &Field<'n>) -> Option<Fields<'n>> {
        let Value::Map(entries) = &field.node.value else {
            self.wrong_type(field, "keys and values");
            return None;
        };
        let mut fields = Fields {
            pointer: field.pointer.clone(),
            span: first_line(field.node.span),
            entries: BTreeMap::new(),
            known: BTreeSet::new(),
        };
        for (key, node) in entries {
            if let Some((first, _)) = fields.entries.get(key.text.as_str()) {
                let message = format!("`{}` is already set on line {}", key.text, first.span.line);
                self.findings.push(
                    Finding::deny(rule::DUPLICATE_KEY, self.path, Some(key.span), message)
                        .help("keep one of them"),
                );
                continue;
            }
            self.spans
                .insert(child(&fields.pointer, &key.text), key.span);
            fields.entries.insert(&key.text, (key, node));
        }
        Some(fields)
    }

    /// Says that the keys which nobody took do not exist.
    pub fn end(&mut self, fields: Fields<'_>) {
        for (text, (key, _)) in &fields.entries {
            let known: Vec<&str> = fields.known.iter().copied().collect();
            let mut finding = Finding::deny(
                rule::UNKNOWN_KEY,
                self.path,
                Some(key.span),
                format!("there is no key `{}`", excerpt(text, EXCERPT)),
            );
            finding.help = Some(
                match similar::get_close_matches(*text, &known, 1, 0.7).first() {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", known.join(", ")),
                },
            );
            self.findings.push(finding);
        }
    }

    /// A text. Scalars that some YAML reader takes for something else must be quoted.
    pub fn text(&mut self, field: &Field<'_>) -> Option<String> {
        match scalar(field.node) {
            Some(Scalar {
                text,
                kind: ScalarKind::Text,
            }) => Some(text.clone()),
            Some(Scalar {
                text,
                kind: ScalarKind::Null,
            }) if text.is_empty() => {
                self.deny(
                    rule::WRONG_TYPE,
                    Some(field.node.span),
                    format!("`{}` has no value", field.name()),
                );
                None
            }
            Some(Scalar { text, kind }) => {
                let message = format!(
                    "`{}` must be text, and YAML reads `{}` as {}",
                    field.name(),
                    excerpt(text, EXCERPT),
                    kind.words()
                );
                self.findings.push(
                    Finding::deny(rule::WRONG_TYPE, self.path, Some(field.node.span), message)
                        .help(format!(
                            "write it in quotes: \"{}\"",
                            excerpt(text, EXCERPT)
                        )),
                );
                None
            }
            None => {
                self.wrong_type(field, "text");
                None
            }
        }
    }

    /// A legal name.
    pub fn name<T: FromStr<Err = NameError>>(&mut self, field: &Field<'_>) -> Option<T> {
        let text = self.text(field)?;
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.deny(rule::ILLEGAL_NAME, Some(field.node.span), error.to_string());
                None
            }
        }
    }

    /// `true` or `false`, and nothing that merely looks like it.
    pub fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        match scalar(field.node).map(|scalar| (scalar.kind, scalar.text.as_str())) {
            Some((ScalarKind::Bool, "true")) => Some(true),
            Some((ScalarKind::Bool, "false")) => Some(false),
            _ => {
                self.wrong_type(field, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub fn number(
        &mut self,
        field: &Field<'_>,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = scalar(field.node)
            .filter(|scalar| scalar.kind == ScalarKind::Number)
            .and_then(|scalar| scalar.text.parse::<u32>().ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            Some(number) => {
                let message = format!(
                    "`{}` is {number}; {} to {} are allowed",
                    field.name(),
                    range.start(),
                    range.end()
                );
                self.deny(rule::ILLEGAL_VALUE, Some(field.node.span), message);
                None
            }
            None => {
                self.wrong_type(field, "a whole number");
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, field: &Field<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(field)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect();
            let message = format!(
                "`{}` can not be `{}`; it is {}",
                field.name(),
                excerpt(&text, EXCERPT),
                words.join(" or ")
            );
            self.deny(rule::ILLEGAL_VALUE, Some(field.node.span), message);
        }
        found.map(|(_, value)| *value)
    }

    /// The items of a list.
    pub fn list<'n>(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        let Value::List(items) = &field.node.value else {
            self.wrong_type(field, "a list");
            return None;
        };
        let fields: Vec<Field<'n>> = items
            .iter()
            .enumerate()
            .map(|(index, node)| field.item(index, node))
            .collect();
        for item in &fields {
            self.spans.insert(item.pointer.clone(), item.node.span);
        }
        Some(fields)
    }

    /// The entries of a map whose keys are names; illegal ones are findings and left out.
    pub fn named<'n, T: FromStr<Err = NameError>>(
        &mut self,
        field: &Field<'n>,
    ) -> Option<Vec<(T, Field<'n>)>> {
        let mut fields = self.fields(field)?;
        let mut named = Vec::new();
        for (key, value) in fields.rest() {
            match key.text.parse::<T>() {
                Ok(name) => named.push((name, value)),
                Err(error) => self.deny(rule::ILLEGAL_NAME, Some(key.span), error.to_string()),
            }
        }
        Some(named)
    }

    /// A list of distinct legal names, at least one.
    pub fn names<T: FromStr<Err = NameError> + Ord>(
        &mut self,
        field: &Field<'_>,
    ) -> Option<BTreeSet<T>> {
        let items = self.list(field)?;
        if items.is_empty() {
            self.deny(
                rule::ILLEGAL_VALUE,
                Some(field.node.span),
                format!(
                    "`{}` is empty: name something or leave the key out",
                    field.name()
                ),
            );
        }
        let mut names = BTreeSet::new();
        for item in &items {
            if let Some(name) = self.name(item)
                && !names.insert(name)
            {
                self.deny(
                    rule::ILLEGAL_VALUE,
                    Some(item.node.span),
                    format!("listed twice in `{}`", field.name()),
                );
            }
        }
        Some(names)
    }

    fn wrong_type(&mut self, field: &Field<'_>, expected: &str) {
        let found = match &field.node.value {
            Value::Scalar(scalar) => scalar.kind.words(),
            Value::List(_) => "a list",
            Value::Map(_) => "keys and values",
        };
        let message = if field.pointer.is_empty() {
            format!("the file must hold {expected}, not {found}")
        } else {
            format!("`{}` must be {expected}, not {found}", field.name())
        };
        self.deny(rule::WRONG_TYPE, Some(field.node.span), message);
    }
}

fn scalar(node: &Node) -> Option<&Scalar> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => None,
    }
}

/// A mistake about a whole map is shown on its first line, not over the whole file.
fn first_line(span: Span) -> Span {
    Span {
        line: span.line,
        column: span.column,
        end_line: span.line,
        end_column: span.column + 1,
    }
}
