//! A Rust file as the rules see it: tokens without comments and strings, tests told apart.

/// An identifier, a `::`, or one other character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

/// A name of several parts: `a::b`, or one leaf of `use a::{b, c::d};`.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub line: usize,
    pub parts: Vec<String>,
    /// The inline modules of the file around it, outermost first.
    pub within: Vec<String>,
}

pub struct Source {
    /// From the repository's root, with slashes.
    pub path: String,
    /// Everything, tests included.
    pub tokens: Vec<Token>,
    /// What is left without `#[cfg(test)]` modules; nothing in a file that is itself a test.
    pub production: Vec<Token>,
    pub production_lines: usize,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Self {
        let tokens = tokens(text);
        let tests = test_regions(&tokens);
        let is_test = |line: usize| tests.iter().any(|&(from, to)| from <= line && line <= to);
        let (production, production_lines) = if is_test_file(path) {
            (Vec::new(), 0)
        } else {
            let lines = (1..=text.lines().count()).filter(|&line| !is_test(line));
            let kept = tokens.iter().filter(|token| !is_test(token.line));
            (kept.cloned().collect(), lines.count())
        };
        Self {
            path: path.to_owned(),
            tokens,
            production,
            production_lines,
        }
    }

    /// `src/edges/git/read.rs` is `["edges", "git", "read"]`.
    pub fn module(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let mut parts: Vec<_> = inner.split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// Names in production code.
    pub fn names(&self) -> Vec<Name> {
        names(&self.production)
    }

    /// Names anywhere, tests included.
    pub fn all_names(&self) -> Vec<Name> {
        names(&self.tokens)
    }

    /// `crate::`, `self::` and `super::` names, from the crate's root on; `None` for anything else.
    pub fn inside(&self, name: &Name) -> Option<Vec<String>> {
        let (first, rest) = name.parts.split_first()?;
        let mut parts: Vec<String> = self.module().into_iter().map(str::to_owned).collect();
        parts.extend_from_slice(&name.within);
        let mut rest = rest;
        match first.as_str() {
            "crate" => parts.clear(),
            "self" => {}
            "super" => {
                parts.pop();
                while let Some((next, after)) = rest.split_first()
                    && next == "super"
                {
                    parts.pop();
                    rest = after;
                }
            }
            _ => return None,
        }
        parts.extend_from_slice(rest);
        Some(parts)
    }
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests")
        || path.ends_with("/tests.rs")
        || path.ends_with("/testing.rs")
}

/// First and last line of each `#[cfg(test)] mod`, inline or in a file of its own.
fn test_regions(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut regions = Vec::new();
    for start in 0..tokens.len() {
        let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
        if !starts_with(&tokens[start..], &mark) {
            continue;
        }
        let mut at = start + mark.len();
        while starts_with(&tokens[at.min(tokens.len())..], &["#", "["]) {
            at = closing(tokens, at + 1, "[", "]") + 1;
        }
        if starts_with(&tokens[at.min(tokens.len())..], &["pub", "("]) {
            at = closing(tokens, at + 1, "(", ")") + 1;
        } else if tokens.get(at).is_some_and(|token| token.text == "pub") {
            at += 1;
        }
        if tokens.get(at).is_some_and(|token| token.text == "mod") {
            let end = match tokens.get(at + 2) {
                Some(open) if open.text == "{" => closing(tokens, at + 2, "{", "}"),
                _ => at + 2,
            };
            let end = tokens.get(end).or(tokens.last());
            regions.push((tokens[start].line, end.map_or(0, |token| token.line)));
        }
    }
    regions
}

pub fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && tokens
            .iter()
            .zip(texts)
            .all(|(have, want)| have.text == *want)
}

/// The place of what closes the bracket at `open`; past the end if nothing does.
pub fn closing(tokens: &[Token], open: usize, opener: &str, closer: &str) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.text == opener {
            depth += 1;
        } else if token.text == closer {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where each inline module begins and ends, outer ones first, and what it is called.
fn inline_modules(tokens: &[Token]) -> Vec<(usize, usize, &str)> {
    let mut found = Vec::new();
    for (at, words) in tokens.windows(3).enumerate() {
        if words[0].text == "mod" && words[2].text == "{" {
            let end = closing(tokens, at + 2, "{", "}");
            found.push((at, end, words[1].text.as_str()));
        }
    }
    found
}

fn names(tokens: &[Token]) -> Vec<Name> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let modules = inline_modules(tokens);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let imported = text(at) == "use";
        if imported {
            at += 1;
        }
        if text(at) == "::" {
            at += 1;
        }
        // `pub(in crate::a)` says who may see, not what is used.
        let visibility = at > 1 && text(at - 1) == "in" && text(at - 2) == "(";
        if text(at).starts_with(is_word) && (imported || text(at + 1) == "::") {
            let around = modules
                .iter()
                .filter(|(from, to, _)| *from < at && at < *to);
            let within: Vec<_> = around.map(|(.., name)| (*name).to_owned()).collect();
            let mut leaves = Vec::new();
            at = tree(tokens, at, Vec::new(), &mut leaves);
            if !visibility {
                found.extend(leaves.into_iter().map(|(line, parts)| Name {
                    line,
                    parts,
                    within: within.clone(),
                }));
            }
        } else if !imported {
            at += 1;
        }
    }
    found
}

/// Line and parts of one leaf.
type Leaf = (usize, Vec<String>);

/// Reads one name, or a tree of them, and returns where it ends.
fn tree(tokens: &[Token], mut at: usize, mut parts: Vec<String>, found: &mut Vec<Leaf>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = tree(tokens, at, parts.clone(), found);
                // A new name after `as`, and the comma.
                while !matches!(text(at), "," | "}" | "") {
                    at += 1;
                }
                if text(at) == "," {
                    at += 1;
                }
            }
            return at + 1;
        }
        if !text(at).starts_with(is_word) && text(at) != "*" {
            break;
        }
        parts.push(text(at).to_owned());
        at += 1;
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    if parts.len() > 1 && parts.last().is_some_and(|last| last == "self") {
        parts.pop();
    }
    found.push((line, parts));
    at
}

/// Splits Rust text; comments and what stands in quotes is left out.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        match (chars[at], peek(at + 1)) {
            ('/', '/') => at = until(&chars, at, &['\n']),
            ('/', '*') => at = block_comment_end(&chars, at),
            ('"', _) => at = quote_end(&chars, at),
            ('\'', '\\') => {
                at += 3;
                at = until(&chars, at, &['\'']) + 1;
            }
            ('\'', _) if peek(at + 2) == '\'' => at += 3,
            // A lifetime: its name follows as a word.
            ('\'', _) => at += 1,
            (':', ':') => at += 2,
            (c, _) if is_word(c) => {
                while is_word(peek(at)) {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && peek(at + hashes) == '"' {
                    at = raw_end(&chars, at + hashes + 1, hashes);
                }
            }
            _ => at += 1,
        }
        let at_most = at.min(chars.len());
        let first = chars[start];
        let quoted = first == '"' || first == '\'' || chars[start..at_most].contains(&'"');
        let comment = first == '/' && at > start + 1;
        if !quoted && !comment && !first.is_whitespace() {
            let text = chars[start..at_most].iter().collect();
            found.push(Token { line, text });
        }
        line += chars[start..at_most].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn until(chars: &[char], from: usize, ends: &[char]) -> usize {
    let rest = chars.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|c| !ends.contains(c)).count()
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match chars.get(at..at + 2) {
            Some(['/', '*']) => (at, depth) = (at + 2, depth + 1),
            Some(['*', '/']) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quote_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn raw_end(chars: &[char], from: usize, hashes: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        let after = chars[at + 1..].iter().take(hashes);
        if chars[at] == '"' && after.filter(|c| **c == '#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<(usize, String)> {
        names(&tokens(text))
            .into_iter()
            .map(|name| (name.line, name.parts.join("::")))
            .collect()
    }

    #[test]
    fn comments_and_quotes_hold_no_code() {
        let text = concat!(
            "// a::b\n/* c::d /* e::f */\n g::h */ \"i::j\\\" k::l\" r#\"m\"::n\"# b'\"' '\\''\n",
            "fn x<'a>(y: &'a o::p) { ':' }\n",
        );
        assert_eq!(said(text), [(4, "o::p".to_owned())]);
    }

    #[test]
    fn imports_are_unfolded() {
        let text = "use a::{self, b::*,\n c as d, e::{f, g}};\npub(in crate::h) use ::i;\n";
        let names: Vec<_> = said(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "a::b::*", "a::c", "a::e::f", "a::e::g", "i"]);
    }

    #[test]
    fn names_are_followed_from_where_they_stand() {
        let text = "use super::super::forge::A;\nmod inner { use super::super::B; use self::C; }\nuse super::D;";
        let source = Source::parse("src/edges/git/read.rs", text);
        let inside = |name| source.inside(name).unwrap().join("::");
        let names: Vec<_> = source.names().iter().map(inside).collect();
        let expected = [
            "edges::forge::A",
            "edges::git::B",
            "edges::git::read::inner::C",
            "edges::git::D",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn tests_are_cut_out_and_what_follows_them_is_not() {
        let text = "#[cfg(test)]\npub mod testing;\nuse a::b;\n#[cfg(test)]\n#[allow(x)]\npub(super) mod tests {\n use c::d;\n}\nuse e::f;\n";
        let source = Source::parse("src/x.rs", text);
        let names: Vec<_> = source
            .names()
            .iter()
            .map(|name| name.parts.join("::"))
            .collect();
        assert_eq!(names, ["a::b", "e::f"]);
        assert_eq!(source.production_lines, 2);
        assert_eq!(Source::parse("src/x/tests.rs", text).production, []);
    }
}
