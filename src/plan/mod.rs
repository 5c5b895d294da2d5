//! plan
pub mod approval;
