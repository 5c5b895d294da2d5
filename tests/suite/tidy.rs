//! The house's rules about itself: read from the sources, so that they hold without anyone watching.

mod rules;
mod source;
mod text;

use std::path::{Path, PathBuf};

use rules::{REAL_TIME, RULES};
use source::Source;

/// Every text file of the tree by its path with slashes, in order; binary files are left out.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_path_buf()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            if matches!(
                name.as_str(),
                "target" | "tests/page/node_modules" | ".git" | "Cargo.lock"
            ) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let files = files()
        .into_iter()
        .filter(|(path, _)| path.ends_with(".rs"));
    files
        .map(|(path, text)| Source::parse(&path, &text))
        .collect()
}

#[test]
fn the_code_keeps_the_rules() {
    let mut broken = Vec::new();
    for source in sources() {
        for violation in RULES.iter().flat_map(|rule| rule(&source)) {
            let rules::Violation { line, what, reason } = violation;
            broken.push(format!("{}:{line}: {what}: {reason}", source.path));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_text_keeps_the_rules() {
    let mut broken = Vec::new();
    for (path, text) in files() {
        for (line, what) in text::violations(&path, &text) {
            broken.push(format!("{path}:{line}: {what}"));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// An exception that nothing needs any more would hide the next violation.
#[test]
fn every_exception_is_in_a_simulator_and_still_needed() {
    let sources = sources();
    for (path, expected, reason) in REAL_TIME {
        assert!(
            path.starts_with("src/sandbox/") && !reason.is_empty(),
            "{path}"
        );
        let source = sources.iter().find(|source| source.path == *path);
        let uses = source.map_or(0, |source| rules::real_time(source).len());
        assert_eq!(uses, *expected, "{path}: uses of the real time");
    }
    for (path, needle, reason) in text::EXCEPTIONS {
        let files = files();
        let file = files.iter().find(|(name, _)| name == path);
        let needed = file.is_some_and(|(_, text)| text.contains(needle));
        assert!(needed && !reason.is_empty(), "{path} need not be excepted");
    }
}
