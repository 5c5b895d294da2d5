//! `pipewright schema`: what each table of a pipeline becomes in BigQuery.

use std::collections::BTreeSet;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::clock::Clock;
use crate::edges::google::GoogleClient;
use crate::shell::runner::{Runner, Settings};

use super::google::GoogleArguments;
use super::house::HouseArguments;
use super::sync::{spec_of, unlike_any_other};
use super::{Ended, Format, print};

/// Show the BigQuery schema that each table of a pipeline gets.
///
/// Read through the pipeline's connection, so it needs access to Google; nothing is written.
///
/// Exit codes: 0 shown, 1 the file has a deny finding, 2 it failed and would only fail again,
/// or could not run, 75 it failed and that may pass.
#[derive(Debug, Args)]
pub struct Schema {
    /// The pipeline's file.
    file: PathBuf,
    /// Folder of policies; otherwise `policies` beside the pipelines, or here.
    #[arg(long)]
    policies: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    #[command(flatten)]
    house: HouseArguments,
    #[command(flatten)]
    google: GoogleArguments,
}

/// Shows.
///
/// # Errors
/// If it could not begin.
pub async fn run(
    arguments: &Schema,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let Schema {
        file,
        policies,
        format,
        house,
        google,
    } = arguments;
    let Some(spec) = spec_of(file, policies.as_deref(), house, err)? else {
        return Ok(Ended::Denied);
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let clock = Clock::system();
    let client = GoogleClient::new(&google.endpoints(), google.token(&variable), clock.clone())?;
    let settings = Settings {
        uid: unlike_any_other(),
        parallel: NonZeroUsize::MIN,
        chunk_bytes: 0,
        tables: BTreeSet::new(),
    };
    match Runner::new(client, clock, spec, settings).schemas().await {
        Ok(schemas) => {
            match format {
                Format::Human => write!(out, "{}", print::escaped(&schemas.to_string()))?,
                Format::Json => print::json(&schemas.to_json(), out)?,
            }
            Ok(schemas.persistence().into())
        }
        Err(failure) => {
            writeln!(err, "error: {}", print::escaped(&failure.error))?;
            Ok(Some(failure.persistence).into())
        }
    }
}
