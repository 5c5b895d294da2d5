//! The seeded bugs of `tests/mutants` are still bugs: each change has its place in the code,
//! and stands in the table of docs/architecture.md. What finds them, `run.py` shows.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Mutant {
    name: String,
    promise: String,
    file: String,
    old: Vec<String>,
    new: Vec<String>,
    run: Vec<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_seeded_bug_has_its_place_and_its_row() {
    let mutants: Vec<Mutant> = serde_json::from_str(&read("tests/mutants/mutants.json")).unwrap();
    assert!(mutants.len() >= 20);
    let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    assert_eq!(names.len(), mutants.len(), "no two are called the same");
    let architecture = read("docs/architecture.md");
    let table = architecture.split("\n| change |").nth(1).unwrap();
    let rows = table.lines().skip(2).map_while(|row| {
        let mut cells = row.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.next()?))
    });
    let rows: BTreeSet<(&str, &str)> = rows.collect();
    assert_eq!(rows.len(), mutants.len(), "rows and seeded bugs");
    let wrong: Vec<String> = mutants
        .iter()
        .filter_map(|mutant| {
            let old = mutant.old.join("\n");
            // A change of a test is none of the bot.
            let text = read(&mutant.file);
            let bot = text.split("#[cfg(test)]").next().unwrap();
            let places = bot.matches(&old).count();
            let row = (mutant.name.as_str(), mutant.promise.as_str());
            let problem = match () {
                () if places != 1 => format!("its text is there {places} times"),
                () if mutant.new == mutant.old => "it changes nothing".to_owned(),
                () if mutant.run.is_empty() => "nothing is to find it".to_owned(),
                () if !rows.contains(&row) => "docs/architecture.md has no such row".to_owned(),
                () => return None,
            };
            Some(format!("{}: {problem}", mutant.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
