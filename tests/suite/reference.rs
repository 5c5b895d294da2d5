//! The reference says everything that there is, and nothing that there is not: every
//! finding, every key, every setting and every command.

use std::collections::BTreeSet;
use std::process::Command;

use pipewright::command::Verb;
use pipewright::finding::RULES;

fn page(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn set<'a>(of: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    of.into_iter().map(ToOwned::to_owned).collect()
}

/// What stands between backticks at the beginning of the lines that begin with `before`.
fn listed(page: &str, before: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(before));
    let names = lines.filter_map(|rest| rest.strip_prefix('`')?.split('`').next());
    set(names)
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pipewright"))
        .args(command)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_finding_is_explained() {
    let rules = set(RULES.iter().map(|rule| rule.id));
    assert!(rules.len() > 20);
    let page = page("findings.md");
    assert_eq!(listed(&page, "### "), rules);
    for section in page.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(section.contains("**Way out:**"), "{section}");
    }
}

/// The example that names every key is checked elsewhere; here each one has its row.
#[test]
fn every_key_has_its_row() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pipeline/keys.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let mut keys = BTreeSet::new();
    for (call, _) in source.match_indices("\"").step_by(2) {
        let before = source[..call].trim_end();
        let is_key = ["fields.take(", ".take(", ".require(reader,", "&mut fields,"]
            .iter()
            .any(|call| before.ends_with(call));
        if is_key {
            let name = source[call + 1..].split('"').next().unwrap();
            keys.insert(name.to_owned());
        }
    }
    assert!(keys.len() > 14, "{keys:?}");
    let page = page("pipelines.md");
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let documented =
        set(cells.flat_map(|cell| cell.split(|c: char| !(c.is_alphabetic() || c == '_'))));
    let missing: Vec<&String> = keys.difference(&documented).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_setting_has_its_row() {
    let help = help(&["serve"]);
    let page = page("operations.md");
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
    let flags: BTreeSet<&str> = words
        .clone()
        .filter(|word| word.starts_with("--") && !["--help", "--version", "--"].contains(word))
        .collect();
    let variables = words.filter(|word| word.starts_with("PIPEWRIGHT_"));
    assert!(flags.len() > 15, "{flags:?}");
    for setting in flags.iter().copied().chain(variables) {
        // The Google addresses share a row, and their variables are named by their flags.
        let is_google = setting.ends_with("_URL") && !setting.contains("GIT");
        assert!(
            is_google || page.contains(&format!("`{setting}`")),
            "{setting}"
        );
    }
}

#[test]
fn every_command_has_its_row_and_its_page() {
    let documented: BTreeSet<String> = listed(&page("commands.md"), "| ")
        .iter()
        .map(|row| row.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        documented,
        Verb::ALL
            .iter()
            .map(|verb| format!("/{}", verb.word()))
            .collect()
    );
    let help = help(&[]);
    let (_, commands) = help.split_once("Commands:").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let programs: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help")
        .collect();
    assert!(programs.len() > 4, "{programs:?}");
    let page = page("cli.md");
    for program in programs {
        assert!(
            page.contains(&format!("## `pipewright {program}")),
            "{program}"
        );
    }
}
