//! The shell: the only part that sees core and edges together.

pub mod apply;
mod commands;
mod consent;
pub mod google;
mod ground;
mod inventory;
pub mod lead;
mod memory;
mod metrics;
mod pace;
pub mod observe;
pub mod post;
pub mod queue;
pub mod reconcile;
mod rerun;
pub mod runner;
pub mod serve;
pub mod server;
mod status;
pub mod worker;

use crate::edges::cluster::Cluster;
use crate::edges::forge::Forge;
use crate::edges::git::Mirror;
use crate::edges::google::GoogleClient;

pub use self::pace::Pace;

/// One client for each outside system.
#[derive(Clone)]
pub struct Edges {
    pub forge: Forge,
    pub git: Mirror,
    pub cluster: Cluster,
    pub google: GoogleClient,
    /// How many writes may be under way at once.
    pub cluster_pace: Pace,
    pub google_pace: Pace,
}
