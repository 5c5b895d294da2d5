//! From the files under `pipelines/` to pipelines and findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, rule};
use crate::name::PipelineName;
use crate::snapshot::{Entry, RepoPath, Tree};
use crate::yaml::reader::Reader;

use super::keys::read;
use super::{FOLDER, Pipeline};

/// What a tree's pipelines are, and what stands in the way of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    pub pipelines: BTreeMap<PipelineName, Pipeline>,
    /// Files that are no pipeline (yet).
    pub unreadable: Vec<Unreadable>,
    pub findings: Vec<Finding>,
}

/// A file that could not be read as a pipeline. It may still claim a name: nothing under
/// that name is pruned because of somebody's typo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub path: RepoPath,
    /// The file's own name, and what follows `previously:` in its text.
    pub claims: BTreeSet<PipelineName>,
}

/// Reads every pipeline of the tree. Total: a file is a pipeline or has a deny finding.
pub fn parse(tree: &Tree) -> Parsed {
    let mut parsed = Parsed::default();
    for (path, entry) in &tree.entries {
        if path == FOLDER.trim_end_matches('/') {
            let message = "`pipelines` must be a folder of this repository, not a link, a submodule or a file";
            parsed
                .findings
                .push(Finding::deny(rule::FILE, path, None, message));
        }
        if !path.starts_with(FOLDER) {
            continue;
        }
        if path.contains('\\') {
            // The reader escapes with it what no path of ours may hold.
            parsed.findings.push(
                Finding::deny(
                    rule::FILE,
                    path,
                    None,
                    "the path has `..`, a backslash, or characters that can not be shown",
                )
                .help("rename it"),
            );
            continue;
        }
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("yaml") => parsed.file(path, entry),
            Some("yml") => parsed.findings.push(
                Finding::warn(
                    rule::FILE,
                    path,
                    None,
                    "only files that end with `.yaml` are read",
                )
                .help("rename it to `.yaml`"),
            ),
            _ => {}
        }
    }
    parsed
}

impl Parsed {
    fn file(&mut self, path: &str, entry: &Entry) {
        let mut reader = Reader::new(path);
        let stem = stem(path);
        let name = match stem.parse::<PipelineName>() {
            Ok(name) => Some(name),
            Err(error) => {
                let finding = Finding::deny(
                    rule::ILLEGAL_NAME,
                    path,
                    None,
                    format!("the file's name is the pipeline's name, and {error}"),
                );
                reader.push(finding.help("rename the file"));
                None
            }
        };
        let (bytes, pipeline) = match entry {
            Entry::File(bytes) => (
                bytes.as_slice(),
                read(&mut reader, path, bytes, name.as_ref()),
            ),
            Entry::TooLarge(size) => {
                reader.deny(
                    rule::FILE,
                    None,
                    format!("the file has {size} bytes; it is not read"),
                );
                (&[] as &[u8], None)
            }
            Entry::Symlink => {
                reader.deny(
                    rule::FILE,
                    None,
                    "the file is a symlink; links are not followed",
                );
                (&[] as &[u8], None)
            }
            Entry::Submodule => {
                reader.deny(
                    rule::FILE,
                    None,
                    "the path is a submodule; submodules are not read",
                );
                (&[] as &[u8], None)
            }
        };
        let (mut findings, spans) = reader.finish();
        for finding in &mut findings {
            finding.pipeline = name.clone();
        }
        let denied = findings.iter().any(Finding::is_deny);
        self.findings.append(&mut findings);
        match pipeline {
            Some(mut pipeline) if !denied => {
                pipeline.origin.spans = spans;
                self.insert(pipeline, bytes);
            }
            _ => self.unreadable.push(Unreadable {
                path: path.to_owned(),
                claims: claims(name, bytes),
            }),
        }
    }

    /// Two files of one name: neither is taken, because either could be the stranger's.
    fn insert(&mut self, pipeline: Pipeline, bytes: &[u8]) {
        let name = pipeline.name.clone();
        let claimed: BTreeSet<PipelineName> = [name.clone()].into();
        let taken = self
            .unreadable
            .iter()
            .find(|file| stem(&file.path) == name.as_str() && file.path != pipeline.origin.path);
        let other = match (self.pipelines.remove(&name), taken) {
            (Some(first), _) => {
                self.unreadable.push(Unreadable {
                    path: first.origin.path.clone(),
                    claims: claimed,
                });
                self.duplicate(&first.origin.path, &pipeline.origin.path, &name);
                first.origin.path
            }
            (None, Some(file)) => file.path.clone(),
            (None, None) => {
                self.pipelines.insert(name, pipeline);
                return;
            }
        };
        self.duplicate(&pipeline.origin.path, &other, &name);
        self.unreadable.push(Unreadable {
            path: pipeline.origin.path,
            claims: claims(Some(name), bytes),
        });
    }

    fn duplicate(&mut self, path: &str, other: &str, name: &PipelineName) {
        let message = format!("`{name}` is also the name of {other}");
        self.findings.push(
            Finding::deny(rule::DUPLICATE_NAME, path, None, message)
                .help("pipelines are named by their file, whatever the folder: rename one of them")
                .about(name),
        );
    }
}

fn stem(path: &str) -> &str {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// The names that a broken file may be about: its own, and any word on a line that
/// mentions `previously`. Too many is safe here: a claim only keeps things as they are.
fn claims(name: Option<PipelineName>, bytes: &[u8]) -> BTreeSet<PipelineName> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter(|line| line.contains("previously"))
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')))
        .filter_map(|word| word.parse().ok())
        .chain(name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree {
            entries: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), Entry::File(text.as_bytes().to_vec())))
                .collect(),
        }
    }

    /// `line:column rule message`, in the order of the file.
    fn findings(text: &str) -> Vec<String> {
        crate::finding::sorted(parse(&tree(&[("pipelines/x/orders.yaml", text)])).findings)
            .iter()
            .map(|f| match f.span {
                Some(s) => format!("{}:{} {} {}", s.line, s.column, f.rule, f.message),
                None => format!("- {} {}", f.rule, f.message),
            })
            .collect()
    }

    const LEGAL: &str = "bq_project_id: acme-orders
bq_connection_id: orders-db
bq_dataset_name: dataplatform_db1_schema1
service_name: orders
db_catalog_name: db1
db_schema_name: schema1
";

    #[test]
    fn the_articles_example_as_printed() {
        let text = "## Required
bq_project_id: some_project
bq_connection_id: some_id
bq_dataset_name: dataplatform_db1_schema1
service_name: some_service
db_catalog_name: db1
db_schema_name: schema1
## Optional
## Table configuration
target_tables:
  - table1
excluded_tables:
  - table2
";
        assert_eq!(
            findings(text),
            [
                "2:16 illegal-name `some_project` is not a Google Cloud project id: 6 to 30 lowercase letters, digits and hyphens, beginning with a letter, not ending with a hyphen",
                "12:1 both-table-lists `target_tables` and `excluded_tables` are both set",
            ]
        );
    }

    #[test]
    fn every_key() {
        let text = format!(
            "{LEGAL}excluded_tables: [audit_log, '2024']
schedule: 0 2 * * *
timezone: Europe/Oslo
location: EU
owners: ['@acme/orders']
readers: ['group:bi@acme.example']
tables:
  invoices: {{schedule: '@hourly'}}
previously: old-orders
suspend: true
description: All of it
labels: {{cost: orders}}
"
        );
        let parsed = parse(&tree(&[("pipelines/orders.yaml", &text)]));
        assert_eq!(parsed.findings, vec![]);
        let pipeline = &parsed.pipelines[&"orders".parse().unwrap()];
        assert_eq!(pipeline.location.as_ref().unwrap().as_str(), "eu");
        assert_eq!(pipeline.table_schedules.len(), 1);
        assert!(pipeline.suspend);
        assert_eq!(
            pipeline
                .origin
                .span("/tables/invoices/schedule")
                .unwrap()
                .line,
            14
        );
    }

    #[test]
    fn all_mistakes_at_once_each_on_its_line() {
        let text = format!(
            "{LEGAL}db_schema_nam: x
service_name: again
target_tables: invoices
schedule: 61 * * * *
readers: [allUsers]
suspend: yes
tables: {{nope: {{schedul: x}}}}
labels: {{Cost: X}}
"
        );
        let found = findings(&text);
        let rules: Vec<String> = found
            .iter()
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            rules,
            [
                "7:1 unknown-key",
                "8:1 duplicate-key",
                "9:16 wrong-type",
                "10:11 schedule",
                "11:11 illegal-name",
                "12:10 wrong-type",
                "13:17 unknown-key",
                "14:10 illegal-name",
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn names_that_yaml_reads_as_something_else_must_be_quoted() {
        let text = LEGAL
            .replace("schema1\n", "no\n")
            .replace("db1\n", "0123\n");
        assert_eq!(
            findings(&text),
            [
                "5:18 wrong-type `db_catalog_name` must be text, and YAML reads `0123` as a number",
                "6:17 wrong-type `db_schema_name` must be text, and YAML reads `no` as a boolean",
            ]
        );
    }

    #[test]
    fn missing_keys_point_at_the_file() {
        assert_eq!(findings("").len(), 6);
        assert!(findings("")[0].starts_with("1:1 missing-key"));
        assert_eq!(findings("- a\n").len(), 1);
    }

    #[test]
    fn connections_by_id_and_in_full() {
        let full = LEGAL.replace(
            "orders-db",
            "projects/acme-shared/locations/EU/connections/main",
        );
        let parsed = parse(&tree(&[("pipelines/orders.yaml", &full)]));
        let connection = &parsed.pipelines[&"orders".parse().unwrap()].connection;
        assert_eq!(connection.project.as_ref().unwrap().as_str(), "acme-shared");
        assert_eq!(connection.location.as_ref().unwrap().as_str(), "eu");
        let broken = LEGAL.replace("orders-db", "projects/acme-shared/connections/main");
        assert_eq!(findings(&broken).len(), 1);
    }

    #[test]
    fn two_files_of_one_name_are_both_refused() {
        let files = [
            ("pipelines/a/orders.yaml", LEGAL),
            ("pipelines/b/orders.yaml", LEGAL),
            ("pipelines/c/orders.yaml", LEGAL),
        ];
        let parsed = parse(&tree(&files));
        assert!(parsed.pipelines.is_empty());
        let paths: BTreeSet<&str> = parsed.findings.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths.len(), 3);
    }

    #[test]
    fn what_is_not_a_plain_file_is_said_and_claims_its_name() {
        let entries = [
            ("pipelines/link.yaml".to_owned(), Entry::Symlink),
            ("pipelines/big.yaml".to_owned(), Entry::TooLarge(1 << 30)),
            (
                "pipelines/Bad_Name.yaml".to_owned(),
                Entry::File(LEGAL.into()),
            ),
            (
                "pipelines/broken.yaml".to_owned(),
                Entry::File(b"previously: old-name\n: [".to_vec()),
            ),
            (
                "pipelines/bytes.yaml".to_owned(),
                Entry::File(b"a: \xff".to_vec()),
            ),
            (
                "policies/estate.yaml".to_owned(),
                Entry::File(b"nonsense".to_vec()),
            ),
            (
                "pipelines/README.md".to_owned(),
                Entry::File(b"hello".to_vec()),
            ),
        ];
        let parsed = parse(&Tree {
            entries: entries.into(),
        });
        assert!(parsed.pipelines.is_empty());
        assert_eq!(parsed.unreadable.len(), 5);
        let claimed: BTreeSet<String> = parsed
            .unreadable
            .iter()
            .flat_map(|file| file.claims.iter().map(ToString::to_string))
            .collect();
        for name in ["link", "big", "broken", "old-name", "bytes"] {
            assert!(claimed.contains(name), "{name} of {claimed:?}");
        }
    }
}
