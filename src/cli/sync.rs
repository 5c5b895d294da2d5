//! `pipewright sync`: one run of one pipeline, by hand or in the pod that its schedule starts.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::clock::Clock;
use crate::edges::google::GoogleClient;
use crate::name::PgName;
use crate::proposal::propose;
use crate::render::{RUN_UID_ENVIRONMENT, TABLES_ENVIRONMENT, run_spec};
use crate::shell::runner::{Runner, Settings};
use crate::sync::{LONGEST_REPORT, RUN_SPEC_ENVIRONMENT, RunSpec, rerun_tables};

use super::folder::Folder;
use super::google::{GoogleArguments, stopped};
use super::house::HouseArguments;
use super::progress::draw;
use super::{Ended, print};

/// Where the Workflow's output is taken from.
const REPORT: &str = "/run/pipewright/report.json";

/// Copy a pipeline's tables into BigQuery.
///
/// In a pod everything comes from the environment that its CronWorkflow carries. By hand,
/// --file names the pipeline.
///
/// Exit codes: 0 every table is copied, 1 the file has a deny finding, 2 something failed
/// that would only fail again, or it could not run, 75 something failed that may pass.
#[derive(Debug, Args)]
pub struct Sync {
    #[command(flatten)]
    file: FileArguments,
    /// Only these of the pipeline's tables, separated by commas. In a pod, PIPEWRIGHT_TABLES
    /// holds them as a JSON array.
    #[arg(long, value_delimiter = ',')]
    tables: Vec<PgName>,
    /// Show what would be read and written, and the SQL of every table; write nothing.
    #[arg(long)]
    dry_run: bool,
    /// How many tables at a time.
    #[arg(long, env = "PIPEWRIGHT_PARALLEL", default_value = "4")]
    parallel: NonZeroUsize,
    /// Tables that are larger at the source are read in chunks of about so many bytes; 0 for none.
    #[arg(long, env = "PIPEWRIGHT_CHUNK_BYTES", default_value = "68719476736")]
    chunk_bytes: u64,
    /// Where the report is written; by hand nowhere, in a pod where its Workflow takes it from.
    #[arg(long, env = "PIPEWRIGHT_REPORT")]
    report: Option<PathBuf>,
    /// What this run is called in the ids of its jobs: another attempt under the same name
    /// repeats nothing that is done. In a pod the Workflow's uid, by hand random.
    #[arg(long, env = RUN_UID_ENVIRONMENT)]
    run_uid: Option<String>,
    #[command(flatten)]
    google: GoogleArguments,
}

/// A pipeline, named by its file.
#[derive(Debug, Args)]
pub struct FileArguments {
    /// The pipeline's file.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Folder of policies; otherwise `policies` beside the pipelines, or here.
    #[arg(long)]
    policies: Option<PathBuf>,
    #[command(flatten)]
    house: HouseArguments,
}

/// Runs.
///
/// # Errors
/// If it could not begin: no spec, an illegal one, no token.
pub async fn run(
    arguments: &Sync,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let FileArguments {
        file,
        policies,
        house,
    } = &arguments.file;
    let (spec, report) = match file {
        Some(file) => match spec_of(file, policies.as_deref(), house, err)? {
            Some(spec) => (spec, None),
            None => return Ok(Ended::Denied),
        },
        None => {
            let text = variable(RUN_SPEC_ENVIRONMENT).with_context(|| {
                format!("nothing says what to copy: name a pipeline with --file, or set {RUN_SPEC_ENVIRONMENT}")
            })?;
            (
                RunSpec::from_environment(&text)?,
                Some(PathBuf::from(REPORT)),
            )
        }
    };
    let tables: BTreeSet<PgName> = if arguments.tables.is_empty() {
        rerun_tables(&variable(TABLES_ENVIRONMENT).unwrap_or_default())?
    } else {
        arguments.tables.iter().cloned().collect()
    };
    let settings = Settings {
        uid: arguments.run_uid.clone().unwrap_or_else(unlike_any_other),
        parallel: arguments.parallel,
        chunk_bytes: arguments.chunk_bytes,
        tables,
    };
    let clock = Clock::system();
    let google = GoogleClient::new(
        &arguments.google.endpoints(),
        arguments.google.token(&variable),
        clock.clone(),
    )?;
    let runner = Runner::new(google, clock, spec, settings);
    if arguments.dry_run {
        return match runner.rehearse().await {
            Ok(rehearsal) => {
                write!(out, "{}", print::escaped(&rehearsal.to_string()))?;
                Ok(rehearsal.persistence().into())
            }
            Err(failure) => {
                writeln!(err, "error: {}", print::escaped(&failure.error))?;
                Ok(Some(failure.persistence).into())
            }
        };
    }
    let progress = runner.progress();
    // Drawn until the run is over: then the line goes.
    let drawing = tokio::spawn(draw(progress));
    let made = runner.run(stopped()).await;
    drop(runner);
    // Its only end is that of the run.
    let _ = drawing.await;
    if let Some(path) = arguments.report.clone().or(report) {
        std::fs::write(&path, made.to_json(LONGEST_REPORT))
            .with_context(|| format!("write the report to {}", path.display()))?;
    }
    Ok(made.persistence().into())
}

/// The run of all tables of the pipeline that `file` is; its findings, and nothing, if one of
/// them is a deny.
pub(super) fn spec_of(
    file: &Path,
    policies: Option<&Path>,
    house: &HouseArguments,
    err: &mut dyn Write,
) -> anyhow::Result<Option<RunSpec>> {
    let folder = Folder::read(file, policies)?;
    let proposal = propose(&folder.snapshot(), &house.house()?);
    let findings: Vec<_> = proposal
        .findings
        .iter()
        .filter(|finding| folder.concerns(finding))
        .collect();
    let shown = |path: &str| folder.shown(path);
    let renderer = print::renderer(&io::stderr());
    print::findings(&findings, |_| Some(&folder.tree), &shown, &renderer, err)?;
    if findings.iter().any(|finding| finding.is_deny()) {
        writeln!(err, "{}", print::summary(folder.pipelines(), &findings))?;
        return Ok(None);
    }
    let asked = |path: &str| folder.is_asked(path);
    let mut rendered = proposal.desired.pipelines.values();
    let mut found = rendered
        .by_ref()
        .filter(|one| asked(&one.bound.pipeline.origin.path));
    match (found.next(), found.next()) {
        (Some(one), None) => {
            let bound = &one.bound;
            Ok(Some(run_spec(&bound.pipeline.tables, bound)))
        }
        (Some(_), Some(_)) => {
            anyhow::bail!("{} holds several pipelines: name one file", file.display())
        }
        (None, _) => anyhow::bail!("{} holds no pipeline", file.display()),
    }
}

/// A name for a run that was given none.
pub(super) fn unlike_any_other() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("hand-{:016x}{:016x}", random(), random())
}
