//! Pipewright: one Git repository as the door from Cloud SQL to BigQuery.
//!
//! ```text
//!  forge            core            git         core                 core              planes            core                core         apply       core      forge
//!  bytes -verify-> Event -lane--> Snapshot -> parse -> Pipelines -> render -> Desired -> observe -> Observed -> plan -> Plan -> approve -> Steps -> Outcomes -> report -> comment/check
//! ```
//!
//! The modules stand in reading order. The core is sync, total and free of IO, clock and
//! environment; each edge owns one outside system; the shell is the only part that sees both.

// Core.
pub mod name;
pub mod snapshot;
pub mod event;
pub mod retry;
pub mod command;
pub mod finding;
pub mod yaml;
pub mod estate;
pub mod pipeline;
pub mod policy;
pub mod object;
pub mod sync;
pub mod render;
pub mod proposal;
pub mod plan;
pub mod report;

// The only time.
pub mod clock;

// Edges.
pub mod edges;

// Shell.
pub mod shell;

pub mod cli;

// Not part of the production image.
#[cfg(feature = "sandbox")]
pub mod sandbox;
