//! The systems Pipewright talks to, simulated on loopback, and the stage they play on.
//!
//! A simulator is a plain HTTP server on a port that the kernel picks.
//! It imports nothing of the core or the edges: sharing our types, it would share our errors.
//! What each one leaves out stands in the first lines of its module.

pub mod cast;
mod eyes;
pub mod github;
pub mod google;
pub mod kubelet;
pub mod kubernetes;
mod line;
pub mod page;
pub mod pods;
pub mod server;
pub mod stage;
pub mod story;
pub mod teller;
