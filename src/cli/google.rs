//! How the program gets to Google: the settings that `serve` and the runner share.

use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;

use crate::edges::google::{Endpoints, TokenSource};

/// Secrets are never on the command line: their text may come in a variable.
const GOOGLE_TOKEN: &str = "PIPEWRIGHT_GOOGLE_TOKEN";
/// The variable by which Google's own libraries find the metadata server.
const METADATA_HOST: &str = "GCE_METADATA_HOST";

/// What copying tables needs of Google.
#[derive(Debug, Args)]
#[command(next_help_heading = "Google")]
pub struct GoogleArguments {
    #[arg(long, env = "PIPEWRIGHT_BIGQUERY_URL")]
    bigquery_url: Option<String>,
    #[arg(long, env = "PIPEWRIGHT_BIGQUERY_CONNECTION_URL")]
    bigquery_connection_url: Option<String>,
    /// File with an access token for Google, read again at each use; or its text in
    /// PIPEWRIGHT_GOOGLE_TOKEN. Without either, the metadata server is asked.
    #[arg(long, env = "PIPEWRIGHT_GOOGLE_TOKEN_FILE")]
    google_token_file: Option<PathBuf>,
}

impl GoogleArguments {
    /// The addresses of the two APIs; the others stay Google's.
    pub fn endpoints(&self) -> Endpoints {
        let real = Endpoints::default();
        Endpoints {
            bigquery: self.bigquery_url.clone().unwrap_or(real.bigquery),
            bigquery_connection: self
                .bigquery_connection_url
                .clone()
                .unwrap_or(real.bigquery_connection),
            ..real
        }
    }

    /// Where tokens come from.
    pub fn token(&self, variable: &dyn Fn(&str) -> Option<String>) -> TokenSource {
        token(self.google_token_file.clone(), variable)
    }
}

/// A file, else a variable, else the metadata server.
pub(super) fn token(
    file: Option<PathBuf>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> TokenSource {
    match (file, variable(GOOGLE_TOKEN)) {
        (Some(path), _) => TokenSource::File(path),
        (None, Some(token)) => TokenSource::Fixed(SecretString::from(token)),
        (None, None) => TokenSource::Metadata {
            host: variable(METADATA_HOST).unwrap_or_else(|| "metadata.google.internal".to_owned()),
        },
    }
}

/// Returns when the process is interrupted, or told to end as an orchestrator does first.
pub(super) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        // Without a handler the signal's default holds, which ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}
