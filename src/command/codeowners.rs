//! CODEOWNERS, as GitHub reads it.
//!
//! Of three places the first one that has the file counts. In it the last pattern that
//! matches a path decides, even if it names nobody. A line that GitHub would refuse is
//! skipped. Owners by e-mail address are left out: nobody here can tell whose it is.

use crate::name::Owner;
use crate::snapshot::{Entry, Tree};

/// Where the file may stand, in the order in which it is looked for.
pub const PLACES: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];

/// A file of this many bytes or more is not read, as on GitHub.
pub const LIMIT: usize = 3_000_000;

/// Who owns which paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeOwners {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    owners: Vec<Owner>,
}

impl CodeOwners {
    /// Reads the file in force. One that is there but can not be read (a link, or too
    /// large) still keeps the later places from being asked.
    pub fn of(tree: &Tree) -> Self {
        match PLACES.iter().find_map(|place| tree.entries.get(*place)) {
            Some(Entry::File(bytes)) => Self::parse(bytes),
            Some(Entry::TooLarge(_) | Entry::Symlink | Entry::Submodule) | None => Self::default(),
        }
    }

    /// Total: what can not be read has no owners.
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.len() >= LIMIT {
            return Self::default();
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let rules = bytes
            .split(|&byte| byte == b'\n')
            .filter_map(|line| rule(std::str::from_utf8(line).ok()?))
            .collect();
        Self { rules }
    }

    /// The users and teams that own `path`; none if nobody does.
    pub fn owners_of(&self, path: &str) -> &[Owner] {
        let parts: Vec<&str> = path.split('/').collect();
        self.rules
            .iter()
            .rev()
            .find(|rule| rule.pattern.matches(&parts))
            .map_or(&[], |rule| &rule.owners)
    }
}

/// `None` if the line holds no rule, or no legal one.
fn rule(line: &str) -> Option<Rule> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (pattern, rest) = line.split_at_checked(end_of_pattern(line))?;
    let pattern = Pattern::parse(pattern)?;
    let mut owners = Vec::new();
    let words = rest.split_whitespace();
    for word in words.take_while(|word| !word.starts_with('#')) {
        match word.parse() {
            Ok(owner) => owners.push(owner),
            Err(_) if is_address(word) => {}
            Err(_) => return None,
        }
    }
    Some(Rule { pattern, owners })
}

/// The first blank without a backslash before it.
fn end_of_pattern(line: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in line.char_indices() {
        if c.is_whitespace() && !is_escaped {
            return at;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    line.len()
}

fn is_address(word: &str) -> bool {
    word.split_once('@')
        .is_some_and(|(who, domain)| !who.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

/// A pattern, one piece for each part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    pieces: Vec<Piece>,
    reach: Reach,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// `**`: any number of parts, none included.
    AnyParts,
    Part(Vec<Glyph>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glyph {
    /// `*`
    AnyText,
    /// `?`
    AnyOne,
    Just(char),
}

/// What the pieces lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The file itself: the pattern ends with `/*`.
    File,
    /// What lies below: it ends with `/` or `/**`.
    Below,
    /// The file, or all below if it is a folder.
    FileOrBelow,
}

impl Pattern {
    /// `None` for what GitHub does not know here: negation, ranges, an escaped `#`, and
    /// three asterisks.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty()
            || text == "/"
            || text.starts_with('!')
            || text.starts_with("\\#")
            || text.contains(['[', ']'])
            || text.contains("***")
        {
            return None;
        }
        let mut parts: Vec<&str> = text.split('/').collect();
        let reach = match parts.last().copied() {
            Some("" | "**") => {
                parts.pop();
                Reach::Below
            }
            Some("*") => Reach::File,
            _ => Reach::FileOrBelow,
        };
        let is_anchored = parts.len() > 1 || (parts.is_empty() || text.ends_with("/**"));
        let parts = match parts.as_slice() {
            ["", below @ ..] => below,
            parts => parts,
        };
        let mut pieces = Vec::new();
        if !is_anchored {
            pieces.push(Piece::AnyParts);
        }
        pieces.extend(parts.iter().map(|part| match *part {
            "**" => Piece::AnyParts,
            part => Piece::Part(glyphs(part)),
        }));
        Some(Self { pieces, reach })
    }

    fn matches(&self, path: &[&str]) -> bool {
        // Each piece leads from the depths that are reached so far to others.
        let mut depths = vec![false; path.len() + 1];
        if let Some(root) = depths.first_mut() {
            *root = true;
        }
        for piece in &self.pieces {
            depths = match piece {
                Piece::AnyParts => depths
                    .iter()
                    .scan(false, |reached, here| {
                        *reached |= *here;
                        Some(*reached)
                    })
                    .collect(),
                Piece::Part(glyphs) => std::iter::once(false)
                    .chain(
                        depths
                            .iter()
                            .zip(path)
                            .map(|(reached, part)| *reached && is_like(glyphs, part)),
                    )
                    .collect(),
            };
        }
        let file = depths.pop().unwrap_or(false);
        match self.reach {
            Reach::File => file,
            Reach::Below => depths.contains(&true),
            Reach::FileOrBelow => file || depths.contains(&true),
        }
    }
}

/// A backslash takes the meaning from what follows it.
fn glyphs(part: &str) -> Vec<Glyph> {
    let mut glyphs = Vec::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        glyphs.push(match c {
            '*' => Glyph::AnyText,
            '?' => Glyph::AnyOne,
            '\\' => Glyph::Just(chars.next().unwrap_or('\\')),
            c => Glyph::Just(c),
        });
    }
    glyphs
}

/// Where a star took too little it takes one more: going back to the last star is enough.
fn is_like(glyphs: &[Glyph], part: &str) -> bool {
    let part: Vec<char> = part.chars().collect();
    let (mut glyph, mut at) = (0, 0);
    let mut star = None;
    while let Some(&c) = part.get(at) {
        match glyphs.get(glyph) {
            Some(Glyph::AnyText) => {
                star = Some((glyph + 1, at));
                glyph += 1;
            }
            Some(Glyph::AnyOne) => (glyph, at) = (glyph + 1, at + 1),
            Some(Glyph::Just(wanted)) if *wanted == c => (glyph, at) = (glyph + 1, at + 1),
            _ => {
                let Some((after, taken)) = star else {
                    return false;
                };
                star = Some((after, taken + 1));
                (glyph, at) = (after, taken + 1);
            }
        }
    }
    glyphs
        .get(glyph..)
        .is_some_and(|rest| rest.iter().all(|glyph| *glyph == Glyph::AnyText))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owners of a path, without what all have in common.
    fn owners(file: &str, path: &str) -> String {
        let owners = CodeOwners::parse(file.as_bytes());
        let names: Vec<&str> = owners
            .owners_of(path)
            .iter()
            .map(|owner| &owner.as_str()[1..])
            .collect();
        names.join(" ")
    }

    #[test]
    fn what_a_pattern_matches() {
        for (pattern, matched, not_matched) in [
            ("*", "a|a/b.c|.x/y", ""),
            ("**", "a|a/b/c", ""),
            ("*.sql", "a.sql|x/y/a.sql|x/a.sql/b", "a.sq|asql|a.sqlx"),
            ("/notes/", "notes/a|notes/b/c", "x/notes/a|notes"),
            ("/notes", "notes|notes/a/b", "x/notes|notes2"),
            ("notes/", "notes/a|x/notes/a/b", "notes|x/notes"),
            ("notes", "notes|x/notes/y", "notesy/x"),
            // A star at the end is not recursive; a slash in the middle anchors.
            ("notes/*", "notes/a|notes/.b", "notes/a/b|x/notes/a|notes"),
            ("/*", "a", "a/b"),
            (
                "notes/*.md",
                "notes/a.md|notes/a.md/b",
                "notes/a/b.md|x/notes/a.md",
            ),
            ("a/b", "a/b|a/b/c", "x/a/b|a/bc"),
            ("**/logs", "logs|x/logs|x/y/logs/z", "x/mylogs"),
            ("**/logs/", "logs/a|x/logs/a", "x/logs"),
            ("a/**", "a/b|a/b/c", "a|x/a/b"),
            ("a/**/z", "a/z|a/b/z|a/b/c/z/y", "a/b|x/a/z"),
            ("a/**/*", "a/b|a/b/c", "a"),
            (
                "pipelines/**/o*.yaml",
                "pipelines/o.yaml|pipelines/a/b/orders.yaml",
                "o.yaml",
            ),
            ("a?c", "abc|aéc", "ac|a/c|abbc"),
            ("*a*b*", "xaxbx|ab|bab", "ba"),
            ("Notes", "Notes", "notes"),
            ("with\\ blank", "with blank/x", "with"),
            ("a\\*", "a*", "ab"),
        ] {
            let file = format!("{pattern} @o");
            for path in matched.split('|') {
                assert_eq!(owners(&file, path), "o", "{pattern} {path}");
            }
            for path in not_matched.split('|').filter(|path| !path.is_empty()) {
                assert_eq!(owners(&file, path), "", "{pattern} {path}");
            }
        }
    }

    #[test]
    fn the_last_match_decides_even_for_nobody() {
        let file = "# all\n*  @all\t@acme/more  # why\n*.yaml @yaml\n\
                    /apps/ @apps\r\n/apps/github\n/mail/ x@acme.example @m\n/only/ x@acme.example\n";
        for (path, expected) in [
            ("README", "all acme/more"),
            ("x/a.yaml", "yaml"),
            ("apps/a.yaml", "apps"),
            ("apps/github/a.yaml", ""),
            ("mail/a", "m"),
            ("only/a", ""),
        ] {
            assert_eq!(owners(file, path), expected, "{path}");
        }
        let reversed = "/apps/ @apps\n* @all\n";
        assert_eq!(owners(reversed, "apps/a"), "all");
    }

    #[test]
    fn illegal_lines_are_skipped() {
        for line in [
            "!a @x",
            "[ab] @x",
            "\\#a @x",
            "a nobody",
            "a @x @",
            "a @x @a/b/c",
            "a***b @x",
            "/ @x",
            "",
            "   # a @x",
        ] {
            assert_eq!(owners(&format!("* @all\n{line}\n"), "a"), "all", "{line}");
        }
        let bytes = b"\xef\xbb\xbf* @all\na\xff @x\n";
        assert_eq!(CodeOwners::parse(bytes).rules.len(), 1);
    }

    #[test]
    fn a_file_of_three_megabytes_is_not_read() {
        let mut file = b"* @all\n".to_vec();
        file.resize(LIMIT - 1, b'\n');
        assert_eq!(CodeOwners::parse(&file).rules.len(), 1);
        file.push(b'\n');
        assert_eq!(CodeOwners::parse(&file), CodeOwners::default());
    }

    #[test]
    fn the_first_place_counts_whatever_stands_there() {
        let mut tree = Tree::default();
        for (place, owner) in PLACES.into_iter().zip(["@a", "@b", "@c"]).rev() {
            let text = format!("* {owner}\n");
            tree.entries
                .insert(place.to_owned(), Entry::File(text.into_bytes()));
            let found = CodeOwners::of(&tree);
            assert_eq!(found.owners_of("x")[0].as_str(), owner);
        }
        let first = PLACES[0].to_owned();
        for entry in [Entry::Symlink, Entry::TooLarge(9), Entry::File(Vec::new())] {
            tree.entries.insert(first.clone(), entry);
            assert_eq!(CodeOwners::of(&tree), CodeOwners::default());
        }
    }
}
