//! What is read of a repository, wherever it is read from: which folders and files, how
//! much, and under which names.
//!
//! Whoever may open a pull request decides what is in it, so everything has a limit: the
//! same small blob can stand in a tree a million times.

use std::fmt::Write;

use super::error::GitError;
use crate::command::codeowners;
use crate::snapshot::{Entry, RepoPath, Tree};

/// The only folders that are read. Beside them, only CODEOWNERS.
pub(super) const FOLDERS: [&str; 2] = ["pipelines", "policies"];

/// Files over this many bytes are not read.
pub const FILE_LIMIT: u64 = 256 << 10;
/// Files and folders at one revision.
pub const ENTRY_LIMIT: u64 = 20_000;
/// Bytes of all files at one revision.
pub const TOTAL_LIMIT: u64 = 64 << 20;
/// Bytes of one path.
pub const PATH_LIMIT: usize = 1024;

/// Collects a [`Tree`] within the limits.
#[derive(Default)]
pub(super) struct Gatherer {
    tree: Tree,
    entered: u64,
    bytes: u64,
}

impl Gatherer {
    /// Counts one of [`FOLDERS`], or what stands in its place, and gives its path.
    pub(super) fn enter_folder(&mut self, folder: &'static str) -> Result<RepoPath, GitError> {
        self.count()?;
        Ok(folder.to_owned())
    }

    /// Counts what is called `name` in the directory `parent`, and gives its path.
    pub(super) fn enter(
        &mut self,
        folder: &'static str,
        parent: &str,
        name: &[u8],
    ) -> Result<RepoPath, GitError> {
        self.count()?;
        if parent.len() + name.len() >= PATH_LIMIT {
            return Err(GitError::PathTooLong {
                folder,
                limit: PATH_LIMIT,
            });
        }
        Ok(format!("{parent}/{}", readable(name)))
    }

    /// Whether a file of this size is to be read.
    pub(super) fn room_for(&mut self, size: u64) -> Result<bool, GitError> {
        if size > FILE_LIMIT {
            return Ok(false);
        }
        self.bytes += size;
        if self.bytes > TOTAL_LIMIT {
            return Err(GitError::TooMuch {
                what: "bytes",
                limit: TOTAL_LIMIT,
            });
        }
        Ok(true)
    }

    /// Whether a CODEOWNERS of this size is to be read. It has GitHub's own limit and takes
    /// nobody's room: there are three at most, and none of them may hold up a plan.
    pub(super) fn room_for_code_owners(size: u64) -> bool {
        size < codeowners::LIMIT as u64
    }

    /// `false` if something stands at this path already.
    #[must_use]
    pub(super) fn add(&mut self, path: RepoPath, entry: Entry) -> bool {
        self.tree.entries.insert(path, entry).is_none()
    }

    pub(super) fn into_tree(self) -> Tree {
        self.tree
    }

    fn count(&mut self) -> Result<(), GitError> {
        self.entered += 1;
        if self.entered > ENTRY_LIMIT {
            return Err(GitError::TooMuch {
                what: "files and folders",
                limit: ENTRY_LIMIT,
            });
        }
        Ok(())
    }
}

/// One part of a path as text. What could mislead a reader or a program (`..`, bytes that
/// are not UTF-8, control and invisible characters) is escaped with a backslash, and so is
/// the backslash: different names never look the same.
pub(super) fn readable(name: &[u8]) -> String {
    if name == b"." || name == b".." {
        return "\\.".repeat(name.len());
    }
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                out.push_str("\\\\");
            } else if c == '/' || c.is_control() || is_invisible(c) {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A whole path as text, its parts as in [`readable`].
pub(super) fn readable_path(path: &[u8]) -> String {
    let parts: Vec<String> = path.split(|&byte| byte == b'/').map(readable).collect();
    parts.join("/")
}

/// Characters without a shape of their own, those that turn the direction of writing included.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn misleading_names_are_escaped_and_stay_different() {
        let names: [&[u8]; 8] = [
            b"..",
            b"\\.\\.",
            b"a\xff",
            b"a\\xff",
            b"a\x1b[31m",
            "a\u{202e}lmay".as_bytes(),
            b"a/b",
            "é..yaml".as_bytes(),
        ];
        let shown: Vec<String> = names.iter().map(|name| readable(name)).collect();
        assert_eq!(
            shown,
            [
                "\\.\\.",
                "\\\\.\\\\.",
                "a\\xff",
                "a\\\\xff",
                "a\\u{1b}[31m",
                "a\\u{202e}lmay",
                "a\\u{2f}b",
                "é..yaml",
            ]
        );
        assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn there_is_an_end_to_everything() {
        let mut gatherer = Gatherer::default();
        assert!(!gatherer.room_for(FILE_LIMIT + 1).unwrap());
        for _ in 0..TOTAL_LIMIT / FILE_LIMIT {
            assert!(gatherer.room_for(FILE_LIMIT).unwrap());
        }
        assert!(gatherer.room_for(1).is_err());
        for _ in 0..ENTRY_LIMIT {
            gatherer.enter("pipelines", "pipelines", b"x").unwrap();
        }
        let error = gatherer.enter_folder("policies").unwrap_err();
        assert_eq!(
            error.to_string(),
            "pipelines/ and policies/ together hold more than 20000 files and folders"
        );
        let mut gatherer = Gatherer::default();
        let name = vec![b'x'; PATH_LIMIT];
        assert!(gatherer.enter("pipelines", "pipelines", &name).is_err());
    }
}
