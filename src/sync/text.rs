//! The two quoting types: the only ways in which a text becomes part of a statement.
//!
//! Fixed parts are `&'static str`, so they stand in our source. Everything else goes in as
//! an identifier, a literal or a number. PostgreSQL's quoting comes first; the whole inner
//! statement is then one literal of GoogleSQL.

use std::fmt;

/// A piece of PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PgText(String);

impl PgText {
    pub fn new() -> Self {
        Self::default()
    }

    /// A fixed part.
    pub fn sql(mut self, text: &'static str) -> Self {
        self.0.push_str(text);
        self
    }

    /// An identifier, always quoted: its case is kept, and no word is a keyword.
    pub fn ident(mut self, name: &str) -> Self {
        self.0.push('"');
        self.0.push_str(&name.replace('"', "\"\""));
        self.0.push('"');
        self
    }

    /// A text literal, that reads the same whatever `standard_conforming_strings` is.
    pub fn literal(mut self, text: &str) -> Self {
        let backslash = text.contains('\\');
        self.0.push_str(if backslash { "E'" } else { "'" });
        for c in text.chars() {
            match c {
                '\'' => self.0.push_str("''"),
                '\\' => self.0.push_str("\\\\"),
                _ => self.0.push(c),
            }
        }
        self.0.push('\'');
        self
    }

    /// A whole number. In parentheses if negative, where `-` could meet another one.
    pub fn integer(mut self, number: i64) -> Self {
        if number < 0 {
            self.0.push_str(&format!("({number})"));
        } else {
            self.0.push_str(&number.to_string());
        }
        self
    }

    /// A number in decimal digits, with a fraction or an exponent; nothing for any other text.
    pub fn number(mut self, text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (text, None),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent_is_one = exponent.is_none_or(|exponent| {
            let number = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            !number.is_empty() && digits(number)
        });
        if !digits(whole) || !digits(fraction) || (whole.len() + fraction.len()) == 0 {
            return None;
        }
        exponent_is_one.then(|| {
            self.0.push_str(text);
            self
        })
    }

    /// Another piece.
    pub fn then(mut self, other: &PgText) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Pieces with a fixed part between each two.
    pub fn joined(
        mut self,
        parts: impl IntoIterator<Item = PgText>,
        between: &'static str,
    ) -> Self {
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.0.push_str(between);
            }
            self.0.push_str(&part.0);
        }
        self
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PgText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A piece of GoogleSQL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoogleText(String);

impl GoogleText {
    pub fn new() -> Self {
        Self::default()
    }

    /// A fixed part.
    pub fn sql(mut self, text: &'static str) -> Self {
        self.0.push_str(text);
        self
    }

    /// An identifier between backticks.
    pub fn ident(mut self, name: &str) -> Self {
        self.quoted('`', name);
        self
    }

    /// A string literal on one line. Never a triple-quoted one: PostgreSQL's own quotes could
    /// end it.
    pub fn literal(mut self, text: &str) -> Self {
        self.quoted('"', text);
        self
    }

    /// A whole number.
    pub fn integer(mut self, number: i64) -> Self {
        self.0.push_str(&number.to_string());
        self
    }

    /// Another piece.
    pub fn then(mut self, other: &GoogleText) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// Pieces with a fixed part between each two.
    pub fn joined(
        mut self,
        parts: impl IntoIterator<Item = GoogleText>,
        between: &'static str,
    ) -> Self {
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.0.push_str(between);
            }
            self.0.push_str(&part.0);
        }
        self
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Identifiers know the same escapes as string literals.
    fn quoted(&mut self, quote: char, text: &str) {
        self.0.push(quote);
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                c if c == quote => {
                    self.0.push('\\');
                    self.0.push(c);
                }
                c if c.is_control() => self.0.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.0.push(c),
            }
        }
        self.0.push(quote);
    }
}

impl fmt::Display for GoogleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_reads_back_what_was_meant() {
        let text = PgText::new()
            .ident("a\"b\\")
            .sql(" = ")
            .literal("it's")
            .sql(", ")
            .literal("\\'")
            .sql(", ")
            .integer(-1);
        assert_eq!(text.as_str(), r#""a""b\" = 'it''s', E'\\''', (-1)"#);
    }

    #[test]
    fn googlesql_reads_back_what_was_meant() {
        let text = GoogleText::new()
            .literal("\"'''\"\"\"\\\n\r\t\u{1}\u{7f}ü`{{")
            .sql(" ")
            .ident("a`b\\\"\n");
        assert_eq!(
            text.as_str(),
            r#""\"'''\"\"\"\\\n\r\t\u0001\u007fü`{{" `a\`b\\"\n`"#
        );
    }
}
