//! Pipewright: one Git repository as the door from Cloud SQL to BigQuery.
//!
//! ```text
//!  forge            core            git         core                 core              planes            core                core         apply       core      forge
//!  bytes -verify-> Event -lane--> Snapshot -> parse -> Pipelines -> render -> Desired -> observe -> Observed -> plan -> Plan -> approve -> Steps -> Outcomes -> report -> comment/check
//! ```

pub mod estate;
pub mod event;
pub mod finding;
pub mod name;
pub mod object;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod proposal;
pub mod render;
pub mod snapshot;
pub mod yaml;

#[cfg(feature = "sandbox")]
pub mod sandbox;
