//! `pipewright serve`: from flags and environment to settings, saying all that is missing at once.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;

use crate::clock::Clock;
use crate::edges::cluster::Kubeconfig;
use crate::edges::google::Endpoints;
use crate::render::House;
use crate::shell::serve::{Bot, Settings};

use super::google::{stopped, token};

/// Run the bot.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where webhooks and probes are taken.
    #[arg(long, env = "PIPEWRIGHT_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where metrics are told; they show who copies what.
    #[arg(
        long,
        env = "PIPEWRIGHT_PAGES_LISTEN",
        default_value = "127.0.0.1:9090"
    )]
    pages_listen: SocketAddr,
    /// The repository, `owner/name`.
    #[arg(long, env = "PIPEWRIGHT_REPOSITORY")]
    repository: Option<String>,
    /// GitHub's API; for GitHub Enterprise `https://HOST/api/v3`.
    #[arg(
        long,
        env = "PIPEWRIGHT_GITHUB_URL",
        default_value = "https://api.github.com"
    )]
    github_url: String,
    /// The repository's clone URL, if it is not on github.com.
    #[arg(long, env = "PIPEWRIGHT_GIT_URL")]
    git_url: Option<String>,
    /// The GitHub App's id.
    #[arg(long, env = "PIPEWRIGHT_GITHUB_APP_ID")]
    github_app_id: Option<u64>,
    /// File with the App's private key (PEM); or its text in PIPEWRIGHT_GITHUB_KEY.
    #[arg(long, env = "PIPEWRIGHT_GITHUB_KEY_FILE")]
    github_key_file: Option<PathBuf>,
    /// File with the webhook's secret; or its text in PIPEWRIGHT_WEBHOOK_SECRET.
    #[arg(long, env = "PIPEWRIGHT_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Folder of the bare mirror. It may be lost at any time: it is fetched again.
    #[arg(long, env = "PIPEWRIGHT_MIRROR")]
    mirror: Option<PathBuf>,
    /// Namespace of everything that is applied.
    #[arg(long, env = "PIPEWRIGHT_NAMESPACE")]
    namespace: Option<String>,
    /// Image that runs `pipewright sync`, by digest.
    #[arg(long, env = "PIPEWRIGHT_RUNNER_IMAGE")]
    runner_image: Option<String>,
    /// Google Cloud project of the service accounts.
    #[arg(long, env = "PIPEWRIGHT_IDENTITY_PROJECT")]
    identity_project: Option<String>,
    /// `CLUSTER_PROJECT.svc.id.goog`.
    #[arg(long, env = "PIPEWRIGHT_WORKLOAD_POOL")]
    workload_pool: Option<String>,
    #[arg(long, env = "PIPEWRIGHT_BIGQUERY_URL")]
    bigquery_url: Option<String>,
    #[arg(long, env = "PIPEWRIGHT_BIGQUERY_CONNECTION_URL")]
    bigquery_connection_url: Option<String>,
    #[arg(long, env = "PIPEWRIGHT_IAM_URL")]
    iam_url: Option<String>,
    #[arg(long, env = "PIPEWRIGHT_RESOURCE_MANAGER_URL")]
    resource_manager_url: Option<String>,
    /// File with an access token for Google, read again at each use; or its text in
    /// PIPEWRIGHT_GOOGLE_TOKEN. Without either, the metadata server is asked.
    #[arg(long, env = "PIPEWRIGHT_GOOGLE_TOKEN_FILE")]
    google_token_file: Option<PathBuf>,
    /// Name of this replica; no two may share one. A pod's own name by default.
    #[arg(long, env = "PIPEWRIGHT_REPLICA")]
    replica: Option<String>,
    /// Where other replicas reach this one: the pod's own address. Without it, a webhook that
    /// arrives at another replica fails while this one acts.
    #[arg(long, env = "PIPEWRIGHT_REPLICA_HOST")]
    replica_host: Option<String>,
    /// The most writes that are under way at once. Fewer are, while the server is slow or busy.
    #[arg(long, env = "PIPEWRIGHT_WRITES_AT_ONCE", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    writes_at_once: u32,
}

/// Secrets are never on the command line: their text may come in these variables.
const GITHUB_KEY: &str = "PIPEWRIGHT_GITHUB_KEY";
const WEBHOOK_SECRET: &str = "PIPEWRIGHT_WEBHOOK_SECRET";

/// Runs until it is told to stop.
///
/// # Errors
/// If settings are missing or wrong, or something outside can not be reached.
pub async fn run(arguments: Serve) -> anyhow::Result<()> {
    let settings = settings(arguments, &|name| std::env::var(name).ok())?;
    let bot = Bot::connect(settings, Clock::system()).await?;
    tracing::info!(
        webhook.url = bot.webhook_url()?,
        metrics.url = bot.metrics_url()?,
        "ready"
    );
    bot.run(stopped()).await
}

/// Collects what is missing instead of stopping at the first.
#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    fn need<T>(&mut self, value: Option<T>, name: &str, what_for: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("  {name}: {what_for}"));
        }
        value
    }
}

fn settings(
    arguments: Serve,
    variable: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Settings> {
    let Serve {
        listen,
        pages_listen,
        repository,
        github_url,
        git_url,
        github_app_id,
        github_key_file,
        webhook_secret_file,
        mirror,
        namespace,
        runner_image,
        identity_project,
        workload_pool,
        bigquery_url,
        bigquery_connection_url,
        iam_url,
        resource_manager_url,
        google_token_file,
        replica,
        replica_host,
        writes_at_once,
    } = arguments;
    let mut missing = Missing::default();
    let repository = missing.need(
        repository,
        "--repository",
        "the repository to serve, owner/name",
    );
    let app_id = missing.need(
        github_app_id,
        "--github-app-id",
        "the GitHub App that the bot is",
    );
    let key = missing.need(
        secret(github_key_file.as_deref(), GITHUB_KEY, variable)?,
        "--github-key-file",
        "the App's private key, to sign in to GitHub",
    );
    let webhook_secret = missing.need(
        secret(webhook_secret_file.as_deref(), WEBHOOK_SECRET, variable)?,
        "--webhook-secret-file",
        "the webhook's secret, to tell GitHub from anybody else",
    );
    let namespace = missing.need(namespace, "--namespace", "where objects are applied");
    let image = missing.need(
        runner_image,
        "--runner-image",
        "the image that runs `pipewright sync`",
    );
    let identities = missing.need(
        identity_project,
        "--identity-project",
        "the Google Cloud project of the service accounts",
    );
    let pool = missing.need(
        workload_pool,
        "--workload-pool",
        "the cluster's workload pool, CLUSTER_PROJECT.svc.id.goog",
    );
    let (
        Some(repository),
        Some(github_app_id),
        Some(github_key),
        Some(webhook_secret),
        Some(namespace),
        Some(runner_image),
        Some(identity_project),
        Some(workload_pool),
    ) = (
        repository,
        app_id,
        key,
        webhook_secret,
        namespace,
        image,
        identities,
        pool,
    )
    else {
        anyhow::bail!(
            "settings are missing (each is a flag, or a variable such as PIPEWRIGHT_REPOSITORY):\n{}",
            missing.0.join("\n")
        );
    };
    let real = Endpoints::default();
    Ok(Settings {
        listen,
        pages_listen,
        git_url: git_url.unwrap_or_else(|| format!("https://github.com/{repository}.git")),
        repository: repository.parse().context("--repository")?,
        github_url,
        github_app_id,
        github_key,
        webhook_secret,
        mirror: mirror.unwrap_or_else(|| std::env::temp_dir().join("pipewright-mirror")),
        kubeconfig: Kubeconfig::Infer,
        house: House {
            namespace,
            runner_image,
            identity_project: identity_project.parse().context("--identity-project")?,
            workload_pool,
        },
        endpoints: Endpoints {
            iam: iam_url.unwrap_or(real.iam),
            resource_manager: resource_manager_url.unwrap_or(real.resource_manager),
            bigquery: bigquery_url.unwrap_or(real.bigquery),
            bigquery_connection: bigquery_connection_url.unwrap_or(real.bigquery_connection),
        },
        google_token: token(google_token_file, variable),
        replica: replica
            .or_else(|| variable("HOSTNAME"))
            .unwrap_or_else(unlike_any_other),
        replica_host,
        writes_at_once,
    })
}

/// A name for a replica that was given none: random, because two of one name would both
/// believe that they hold the Lease.
fn unlike_any_other() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("pipewright-{random:016x}")
}

fn secret(
    file: Option<&Path>,
    name: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<SecretString>> {
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("read the file {} for {name}", path.display()))?;
            Ok(Some(SecretString::from(text.trim_end().to_owned())))
        }
        None => Ok(variable(name).map(SecretString::from)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once_with_what_it_is_for() {
        let only = Only::parse_from(["serve", "--repository", "acme/data"]);
        let error = settings(only.serve, &|_| None).unwrap_err().to_string();
        for name in [
            "--github-app-id",
            "--github-key-file",
            "--webhook-secret-file",
            "--namespace",
            "--runner-image",
            "--identity-project",
            "--workload-pool",
        ] {
            assert!(error.contains(&format!("  {name}: ")), "{name} in {error}");
        }
        assert!(!error.contains("--repository:"));
    }

    #[test]
    fn secrets_come_from_the_environment_and_never_print() {
        let only = Only::parse_from([
            "serve",
            "--repository",
            "acme/data",
            "--github-app-id",
            "1",
            "--namespace",
            "p",
            "--runner-image",
            "i",
            "--identity-project",
            "acme-identities",
            "--workload-pool",
            "w",
        ]);
        let settings = settings(only.serve, &|name| Some(format!("canary of {name}"))).unwrap();
        assert_eq!(settings.git_url, "https://github.com/acme/data.git");
        assert!(!format!("{settings:?}").contains("canary of PIPEWRIGHT"));
    }
}
