//! GoogleSQL cut into tokens: names in backticks, literals with their escapes, comments left out.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Without quotes: a keyword, a function or a name.
    Word(String),
    /// In backticks: a name, whatever it is.
    Name(String),
    Text(String),
    Number(String),
    Sign(char),
}

/// Cuts a statement up.
///
/// # Errors
/// With BigQuery's kind of sentence, if it can not be cut.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let characters: Vec<char> = text.chars().collect();
    let mut cutter = Cutter {
        rest: &characters,
        tokens: Vec::new(),
    };
    cutter.cut()?;
    Ok(cutter.tokens)
}

struct Cutter<'c> {
    rest: &'c [char],
    tokens: Vec<Token>,
}

impl Cutter<'_> {
    fn cut(&mut self) -> Result<(), String> {
        while let Some(first) = self.rest.first().copied() {
            match first {
                c if c.is_whitespace() => self.skip(1),
                '#' => self.skip_line(),
                '-' if self.begins("--") => self.skip_line(),
                '/' if self.begins("/*") => self.skip_comment()?,
                '`' => {
                    let name = self.quoted("`", Escapes::Read)?;
                    self.tokens.push(Token::Name(name));
                }
                '\'' | '"' => self.literal(Escapes::Read)?,
                'r' | 'R' if matches!(self.rest.get(1), Some('\'' | '"')) => {
                    self.skip(1);
                    self.literal(Escapes::Raw)?;
                }
                c if c.is_ascii_digit() => {
                    let number = self.take(|c| c.is_ascii_digit() || c == '.');
                    self.tokens.push(Token::Number(number));
                }
                c if c.is_alphabetic() || c == '_' => {
                    let word = self.take(|c| c.is_alphanumeric() || c == '_');
                    self.tokens.push(Token::Word(word));
                }
                sign => {
                    self.skip(1);
                    self.tokens.push(Token::Sign(sign));
                }
            }
        }
        Ok(())
    }

    fn begins(&self, text: &str) -> bool {
        let mut rest = self.rest.iter();
        text.chars().all(|c| rest.next() == Some(&c))
    }

    fn skip(&mut self, characters: usize) {
        self.rest = self.rest.get(characters..).unwrap_or_default();
    }

    fn skip_line(&mut self) {
        let end = self.rest.iter().position(|c| *c == '\n');
        self.skip(end.unwrap_or(self.rest.len()));
    }

    fn skip_comment(&mut self) -> Result<(), String> {
        while !self.rest.is_empty() {
            if self.begins("*/") {
                self.skip(2);
                return Ok(());
            }
            self.skip(1);
        }
        Err("Syntax error: Unclosed comment".to_owned())
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let length = self.rest.iter().take_while(|c| belongs(**c)).count();
        let taken = self.rest.iter().take(length).collect();
        self.skip(length);
        taken
    }

    fn literal(&mut self, escapes: Escapes) -> Result<(), String> {
        let quote = ["'''", "\"\"\"", "'", "\""]
            .into_iter()
            .find(|quote| self.begins(quote))
            .unwrap_or("'");
        let text = self.quoted(quote, escapes)?;
        self.tokens.push(Token::Text(text));
        Ok(())
    }

    fn quoted(&mut self, quote: &str, escapes: Escapes) -> Result<String, String> {
        self.skip(quote.len());
        let mut text = String::new();
        loop {
            if self.begins(quote) {
                self.skip(quote.len());
                return Ok(text);
            }
            match self.rest.first().copied() {
                None => return Err("Syntax error: Unclosed string literal".to_owned()),
                Some('\n' | '\r') if quote.len() == 1 => {
                    return Err("Syntax error: Unclosed string literal".to_owned());
                }
                Some('\\') => {
                    self.skip(1);
                    self.escape(escapes, &mut text)?;
                }
                Some(c) => {
                    self.skip(1);
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self, escapes: Escapes, text: &mut String) -> Result<(), String> {
        let Some(c) = self.rest.first().copied() else {
            return Err("Syntax error: Unclosed string literal".to_owned());
        };
        self.skip(1);
        if escapes == Escapes::Raw {
            text.extend(['\\', c]);
            return Ok(());
        }
        let plain = match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' | '`' | '?' => c,
            'x' | 'X' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            _ => return Err(format!("Syntax error: Illegal escape sequence: \\{c}")),
        };
        text.push(plain);
        Ok(())
    }

    fn code(&mut self, digits: usize) -> Result<char, String> {
        let written: String = self.rest.iter().take(digits).collect();
        self.skip(digits);
        let code = u32::from_str_radix(&written, 16).ok();
        code.filter(|_| written.len() == digits)
            .and_then(char::from_u32)
            .ok_or_else(|| format!("Syntax error: Illegal escape sequence: {written}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Read,
    Raw,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(written: &str) -> String {
        match tokens(written).unwrap().as_slice() {
            [Token::Text(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn literals_as_googlesql_reads_them() {
        assert_eq!(text(r#""a\"b\\c\n\u0041""#), "a\"b\\c\nA");
        assert_eq!(text(r"'''a'b''c'''"), "a'b''c");
        assert_eq!(text(r"r'a\'b'"), r"a\'b");
        assert_eq!(
            text(r#""-- no comment # /* none""#),
            "-- no comment # /* none"
        );
        for broken in ["\"a", "\"a\nb\"", r#""\q""#, "'a\\", "/* a"] {
            assert!(tokens(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn names_and_comments() {
        let cut = tokens("SELECT `a``b\\`` -- x\n# y\n/* z */ , 1").unwrap();
        let name = |text: &str| Token::Name(text.to_owned());
        assert_eq!(
            cut,
            [
                Token::Word("SELECT".to_owned()),
                name("a"),
                name("b`"),
                Token::Sign(','),
                Token::Number("1".to_owned()),
            ]
        );
    }
}
