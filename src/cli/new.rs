//! `pipewright new`: a pipeline's file from a few answers, checked before it is written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::estate::{self, Estate};
use crate::finding::Finding;
use crate::name::{DatasetId, PgName, PipelineName, ProjectId, ServiceName};
use crate::pipeline;
use crate::proposal::propose;
use crate::snapshot::Entry;

use super::folder::Folder;
use super::house::HouseArguments;
use super::{Ended, print};

/// Write the file of a new pipeline, checked at once. What is not given is asked on a terminal.
///
/// Exit codes: 0 written, 1 a deny finding and nothing written, 2 could not run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipewright new crm                  asks for the rest
  pipewright new crm --folder billing --project acme-billing --connection billing-db \\
      --database billing --schema crm --service crm --dataset dataplatform_crm")]
pub struct New {
    /// Name of the pipeline, which is the name of its file.
    name: String,
    /// Folder below `pipelines/`, for people.
    #[arg(long, default_value = "")]
    folder: String,
    /// `bq_project_id`: Google Cloud project of the dataset and of the query jobs.
    #[arg(long)]
    project: Option<String>,
    /// `bq_connection_id`: BigQuery connection to the Cloud SQL instance.
    #[arg(long)]
    connection: Option<String>,
    /// `db_catalog_name`: PostgreSQL database.
    #[arg(long)]
    database: Option<String>,
    /// `db_schema_name`: PostgreSQL schema.
    #[arg(long)]
    schema: Option<String>,
    /// `service_name`: the service that the data belongs to.
    #[arg(long)]
    service: Option<String>,
    /// `bq_dataset_name`: destination dataset.
    #[arg(long)]
    dataset: Option<String>,
    /// Only these tables, with commas between them.
    #[arg(long, value_delimiter = ',', conflicts_with = "except")]
    tables: Vec<String>,
    /// All tables but these, with commas between them.
    #[arg(long, value_delimiter = ',')]
    except: Vec<String>,
    /// Five cron fields, or `@daily` and the like; otherwise the house picks a time.
    #[arg(long)]
    schedule: Option<String>,
    /// The checkout.
    #[arg(long, default_value = ".")]
    checkout: PathBuf,
    #[command(flatten)]
    house: HouseArguments,
}

/// Asks, checks and writes.
///
/// # Errors
/// If something is missing and there is nobody to ask, the file exists, or it can not be written.
pub fn run(arguments: &New, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let name: PipelineName = arguments.name.parse().context("the pipeline's name")?;
    let mut folder = Folder::read(&arguments.checkout.join("pipelines"), None)?;
    let path = path(&arguments.folder, &name)?;
    let place = arguments.checkout.join(&path);
    anyhow::ensure!(
        !folder.tree.entries.contains_key(&path) && fs::symlink_metadata(&place).is_err(),
        "{path} is there already: edit it, or choose another name"
    );
    let estate = match folder.tree.entries.get(estate::PATH) {
        Some(Entry::File(bytes)) => Estate::parse(bytes).0,
        _ => Estate::default(),
    };
    let answers = Answers::of(arguments, &name, &estate)?;
    let text = answers.file();
    let entry = Entry::File(text.clone().into_bytes());
    folder.tree.entries.insert(path.clone(), entry);
    folder.narrow(path.clone());
    let proposal = propose(&folder.snapshot(), &arguments.house.house()?);
    let findings: Vec<&Finding> = proposal
        .findings
        .iter()
        .filter(|finding| folder.concerns(finding))
        .collect();
    let shown = |path: &str| folder.shown(path);
    let renderer = print::renderer(&io::stdout());
    print::findings(&findings, |_| Some(&folder.tree), &shown, &renderer, out)?;
    if Ended::by(findings) == Ended::Denied {
        writeln!(
            out,
            "nothing was written: correct the answers, and ask again"
        )?;
        return Ok(Ended::Denied);
    }
    write(&place, &text)?;
    writeln!(out, "wrote {path}\n\n{text}")?;
    next_steps(out, &name, &path, &answers, &estate)?;
    Ok(Ended::Well)
}

/// Where the file belongs.
fn path(folder: &str, name: &PipelineName) -> anyhow::Result<String> {
    let folder = folder.trim_matches('/');
    let folder = folder.strip_prefix("pipelines/").unwrap_or(folder);
    anyhow::ensure!(
        folder.split('/').all(|part| part != ".." && part != "."),
        "--folder names a folder below pipelines/, not `{folder}`"
    );
    Ok(match folder {
        "" | "pipelines" => format!("{}{name}.yaml", pipeline::FOLDER),
        folder => format!("{}{folder}/{name}.yaml", pipeline::FOLDER),
    })
}

/// Never over a file that came meanwhile.
fn write(place: &Path, text: &str) -> anyhow::Result<()> {
    let named = || format!("write {}", place.display());
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).with_context(named)?;
    }
    let mut file = fs::File::create_new(place).with_context(named)?;
    file.write_all(text.as_bytes()).with_context(named)
}

/// What the file says.
struct Answers {
    /// Keys with their values, in the order of the file.
    keys: Vec<(&'static str, String)>,
    lists: Vec<(&'static str, Vec<String>)>,
    project: String,
}

impl Answers {
    fn of(given: &New, name: &PipelineName, estate: &Estate) -> anyhow::Result<Self> {
        let projects: BTreeSet<String> = estate.projects.keys().map(ToString::to_string).collect();
        let project = answer(&Question {
            key: "bq_project_id",
            flag: "--project",
            given: given.project.as_deref(),
            about: "Google Cloud project of the dataset and of the query jobs",
            choices: projects,
            suggestion: None,
            is_legal: &|text| {
                text.parse::<ProjectId>()
                    .map(drop)
                    .map_err(|e| e.to_string())
            },
        })?;
        let listed = project
            .parse()
            .ok()
            .and_then(|id: ProjectId| estate.projects.get(&id));
        let connections = listed
            .map(|listed| listed.connections.keys().map(ToString::to_string).collect())
            .unwrap_or_default();
        let connection = answer(&Question {
            key: "bq_connection_id",
            flag: "--connection",
            given: given.connection.as_deref(),
            about: "BigQuery connection to the Cloud SQL instance",
            choices: connections,
            suggestion: None,
            // Two forms; the check of the whole file knows both.
            is_legal: &|text| match text.is_empty() {
                true => Err("it can not be empty".to_owned()),
                false => Ok(()),
            },
        })?;
        let pg = |text: &str| text.parse::<PgName>().map(drop).map_err(|e| e.to_string());
        let plain = |key, flag, given, about, suggestion: Option<String>| {
            answer(&Question {
                key,
                flag,
                given,
                about,
                choices: BTreeSet::new(),
                suggestion,
                is_legal: &|text| match key {
                    "service_name" => text
                        .parse::<ServiceName>()
                        .map(drop)
                        .map_err(|e| e.to_string()),
                    "bq_dataset_name" => text
                        .parse::<DatasetId>()
                        .map(drop)
                        .map_err(|e| e.to_string()),
                    _ => pg(text),
                },
            })
        };
        let database = plain(
            "db_catalog_name",
            "--database",
            given.database.as_deref(),
            "PostgreSQL database",
            None,
        )?;
        let schema = plain(
            "db_schema_name",
            "--schema",
            given.schema.as_deref(),
            "PostgreSQL schema",
            Some("public".to_owned()),
        )?;
        let service = plain(
            "service_name",
            "--service",
            given.service.as_deref(),
            "the service that the data belongs to",
            Some(name.to_string()),
        )?;
        let dataset = plain(
            "bq_dataset_name",
            "--dataset",
            given.dataset.as_deref(),
            "destination dataset, one for each schema",
            Some(format!("dataplatform_{}", name.as_str().replace('-', "_"))),
        )?;
        let mut keys = vec![
            ("bq_project_id", project.clone()),
            ("bq_connection_id", connection),
            ("bq_dataset_name", dataset),
            ("service_name", service),
            ("db_catalog_name", database),
            ("db_schema_name", schema),
        ];
        keys.extend(given.schedule.clone().map(|text| ("schedule", text)));
        let lists = vec![
            ("target_tables", given.tables.clone()),
            ("excluded_tables", given.except.clone()),
        ];
        Ok(Self {
            keys,
            lists,
            project,
        })
    }

    fn file(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.keys {
            text += &format!("{key}: {}\n", scalar(value));
        }
        for (key, values) in self.lists.iter().filter(|(_, values)| !values.is_empty()) {
            text += &format!("{key}:\n");
            for value in values {
                text += &format!("  - {}\n", scalar(value));
            }
        }
        text
    }
}

/// A text as YAML reads it back: in quotes where it would be something else without.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-/.".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    // JSON's strings are YAML's.
    serde_json::Value::from(text).to_string()
}

/// One key that needs a value.
struct Question<'a> {
    key: &'static str,
    flag: &'static str,
    given: Option<&'a str>,
    about: &'static str,
    choices: BTreeSet<String>,
    suggestion: Option<String>,
    is_legal: &'a dyn Fn(&str) -> Result<(), String>,
}

/// What was given; otherwise what somebody at the terminal says.
fn answer(question: &Question<'_>) -> anyhow::Result<String> {
    if let Some(given) = question.given {
        (question.is_legal)(given)
            .map_err(|why| anyhow::anyhow!("{} ({}): {why}", question.flag, question.key))?;
        return Ok(given.to_owned());
    }
    let stdin = io::stdin();
    anyhow::ensure!(
        stdin.is_terminal(),
        "{} is missing: {} (`{}`). On a terminal it would be asked",
        question.flag,
        question.about,
        question.key
    );
    asked(question, &mut stdin.lock(), &mut io::stderr().lock())
}

/// Asks until the answer can be used.
fn asked(
    question: &Question<'_>,
    from: &mut dyn BufRead,
    to: &mut dyn Write,
) -> anyhow::Result<String> {
    let only = question
        .choices
        .first()
        .filter(|_| question.choices.len() == 1);
    let suggestion = only.or(question.suggestion.as_ref());
    loop {
        let choices: Vec<&str> = question.choices.iter().map(String::as_str).collect();
        if choices.len() > 1 {
            writeln!(to, "  one of: {}", choices.join(", "))?;
        }
        match suggestion {
            Some(text) => write!(to, "{} ({}) [{text}]: ", question.key, question.about)?,
            None => write!(to, "{} ({}): ", question.key, question.about)?,
        }
        to.flush()?;
        let mut line = String::new();
        anyhow::ensure!(
            from.read_line(&mut line)? > 0,
            "there is no answer for `{}`: give it with {}",
            question.key,
            question.flag
        );
        let text = match (line.trim(), suggestion) {
            ("", Some(suggestion)) => suggestion.as_str(),
            (text, _) => text,
        };
        match (question.is_legal)(text) {
            Ok(()) => return Ok(text.to_owned()),
            Err(why) => writeln!(to, "  {}", print::escaped(&why))?,
        }
    }
}

fn next_steps(
    out: &mut dyn Write,
    name: &PipelineName,
    path: &str,
    answers: &Answers,
    estate: &Estate,
) -> io::Result<()> {
    writeln!(
        out,
        "Next:\n  git switch --create add-{name}\n  git add {path}\n  git commit --message 'Copy \
         {name} to BigQuery'\n  git push --set-upstream origin add-{name}\n\nThen open a pull request: \
         the bot comments the plan. `pipewright plan` shows most of it here."
    )?;
    let owners = answers
        .project
        .parse()
        .map(|id| estate.consenting_owners(&id));
    let owners: Vec<String> = owners
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    if !owners.is_empty() {
        writeln!(out, "Who must agree by a review: {}.", owners.join(" or "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_read_back_as_text() {
        for text in [
            "shop",
            "2024",
            "yes",
            "a: b",
            "# x",
            "x\ny",
            "*/5 * * * *",
            "Ünï",
            "",
        ] {
            let yaml = format!("key: {}\n", scalar(text));
            let read: std::collections::BTreeMap<String, String> =
                serde_yaml::from_str(&yaml).unwrap();
            assert_eq!(read["key"], text, "{yaml}");
        }
        assert_eq!(scalar("shop"), "shop");
        assert_eq!(scalar("2024"), "\"2024\"");
    }

    #[test]
    fn an_answer_that_can_not_be_used_is_asked_again() {
        let question = Question {
            key: "bq_project_id",
            flag: "--project",
            given: None,
            about: "project",
            choices: ["acme-orders".to_owned(), "acme-billing".to_owned()].into(),
            suggestion: None,
            is_legal: &|text| {
                text.parse::<ProjectId>()
                    .map(drop)
                    .map_err(|e| e.to_string())
            },
        };
        let mut said = Vec::new();
        let answer = asked(&question, &mut "X\nacme-orders\n".as_bytes(), &mut said).unwrap();
        assert_eq!(answer, "acme-orders");
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("one of: acme-billing, acme-orders"), "{said}");
        assert!(said.contains("is not a Google Cloud project id"), "{said}");
        let error = asked(&question, &mut "".as_bytes(), &mut Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("give it with --project"),
            "{error}"
        );
    }
}
