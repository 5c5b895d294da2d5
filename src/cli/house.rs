//! The house's settings on a laptop: the same flags as `serve`, with stand-ins.

use anyhow::Context as _;
use clap::Args;

use crate::render::House;

/// Settings that shape objects. On a laptop they only need to look like the real ones.
#[derive(Debug, Args)]
#[command(next_help_heading = "House")]
pub struct HouseArguments {
    /// Namespace of everything that is applied.
    #[arg(long, env = "PIPEWRIGHT_NAMESPACE", default_value = "pipelines")]
    namespace: String,
    /// Image that runs `pipewright sync`.
    #[arg(
        long,
        env = "PIPEWRIGHT_RUNNER_IMAGE",
        default_value = "pipewright:dev"
    )]
    runner_image: String,
    /// Google Cloud project of the service accounts.
    #[arg(
        long,
        env = "PIPEWRIGHT_IDENTITY_PROJECT",
        default_value = "example-identities"
    )]
    identity_project: String,
    /// `CLUSTER_PROJECT.svc.id.goog`.
    #[arg(
        long,
        env = "PIPEWRIGHT_WORKLOAD_POOL",
        default_value = "example-cluster.svc.id.goog"
    )]
    workload_pool: String,
}

impl HouseArguments {
    /// The house.
    ///
    /// # Errors
    /// If the project's name is not legal.
    pub fn house(&self) -> anyhow::Result<House> {
        Ok(House {
            namespace: self.namespace.clone(),
            runner_image: self.runner_image.clone(),
            identity_project: self
                .identity_project
                .parse()
                .context("--identity-project")?,
            workload_pool: self.workload_pool.clone(),
        })
    }
}
