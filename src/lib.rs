//! Pipewright: one Git repository as the door from Cloud SQL to BigQuery.
//!
//! ```text
//!  forge            core            git         core                 core              planes            core                core         apply       core      forge
//!  bytes -verify-> Event -lane--> Snapshot -> parse -> Pipelines -> render -> Desired -> observe -> Observed -> plan -> Plan -> approve -> Steps -> Outcomes -> report -> comment/check
//! ```

pub mod clock;
pub mod edges;
pub mod event;
pub mod name;
pub mod plan;
pub mod snapshot;

#[cfg(feature = "sandbox")]
pub mod sandbox;
