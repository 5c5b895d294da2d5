//! The report: what people read, from a plan and from what became of it.
//!
//! Its readers see a pull request and nothing else, so it is short at the top and folds
//! the rest away, names the next step wherever something is held up, and notifies nobody.
//! Each report is the same bytes for the same plan, fits where it goes, and is whole
//! Markdown whatever a file or a remote answer holds: see `markdown` and `budget`.

mod access;
mod applied;
mod asked;
mod budget;
mod changes;
mod check;
mod diff;
mod facts;
mod held;
mod markdown;
mod refused;
mod review;
mod runs;
mod status;
mod steps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod words;

pub use applied::{Applied, applied_comment};
pub use asked::{Asked, apply_reply};
pub use check::{Check, Conclusion, Note, check_summary};
pub use refused::{help_reply, misread_reply, refused_reply};
pub use review::{Review, conflict_comment, nothing_comment, review_comment};
pub use runs::{Phase, Run, rerun_reply};
pub use status::{Status, status_reply};
