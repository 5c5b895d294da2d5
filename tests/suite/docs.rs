//! The documentation's commands, run: every `console` block of a page, in order, in one
//! fresh checkout of the example, with its output compared.
//!
//! A line `...` stands for any lines. What a person types is behind `$ `.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::repository;

/// A command and what it prints.
struct Typed {
    command: String,
    printed: Vec<String>,
}

fn typed(page: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let mut in_block = false;
    for line in page.lines() {
        match line.trim_start() {
            "```console" => in_block = true,
            "```" => in_block = false,
            _ if !in_block => {}
            _ => {
                let continues = all.last().is_some_and(|last| last.command.ends_with('\\'));
                if let Some(command) = line.strip_prefix("$ ") {
                    all.push(Typed {
                        command: command.to_owned(),
                        printed: Vec::new(),
                    });
                } else if let Some(last) = all.last_mut() {
                    if continues {
                        last.command.push('\n');
                        last.command.push_str(line);
                    } else {
                        last.printed.push(line.to_owned());
                    }
                }
            }
        }
    }
    all
}

/// The example on `main`, as after a clone.
fn checkout() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in repository() {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let script =
        "git init --quiet --initial-branch main && git add . && git commit --quiet -m example";
    let (code, said) = shell(folder.path(), script);
    assert!(code, "{said}");
    folder
}

fn shell(folder: &Path, script: &str) -> (bool, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_pipewright"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        program.parent().unwrap().display()
    );
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {script}\n}} 2>&1")])
        .current_dir(folder)
        .env_clear()
        .envs([
            ("PATH", path.as_str()),
            ("HOME", "/nowhere"),
            ("GIT_AUTHOR_NAME", "A Reader"),
            ("GIT_AUTHOR_EMAIL", "reader@acme.example"),
            ("GIT_COMMITTER_NAME", "A Reader"),
            ("GIT_COMMITTER_EMAIL", "reader@acme.example"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

/// Whether the lines are those that are expected; `...` stands for any.
fn matches(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        Some((first, rest)) => lines.split_first().is_some_and(|(line, others)| {
            line.trim_end() == first.trim_end() && matches(rest, others)
        }),
    }
}

fn trimmed(lines: &[String]) -> &[String] {
    let end = lines.iter().rposition(|line| !line.trim().is_empty());
    &lines[..end.map_or(0, |end| end + 1)]
}

#[test]
fn what_the_pages_print_is_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    pages.extend(
        std::fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    pages.sort();
    let (mut commands, mut wrong) = (0, Vec::new());
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|end| end == "md"))
    {
        let text = std::fs::read_to_string(page).unwrap();
        let folder = checkout();
        for one in typed(&text) {
            commands += 1;
            let (_, printed) = shell(folder.path(), &one.command);
            let lines: Vec<&str> = printed.trim_end().lines().collect();
            if !matches(trimmed(&one.printed), &lines) {
                let page = page.display();
                wrong.push(format!("{page}: $ {}\n{printed}", one.command));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands >= 8, "only {commands} commands in the pages");
}
