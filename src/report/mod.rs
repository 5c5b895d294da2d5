//! stub
use crate::{plan::{*, approve::*, outcome::*}, name::*, finding::*, event::*};
pub enum Conclusion { Success, Failure }
pub struct Note { pub path: String, pub span: Option<Span>, pub severity: Severity, pub title: String, pub message: String }
pub struct Check { pub conclusion: Conclusion, pub title: String, pub summary: String, pub annotations: Vec<Note> }
pub struct Review<'a> { pub head: &'a CommitSha, pub plan: &'a Plan }
pub struct Applied<'a> { pub pull: PullNumber, pub commit: &'a CommitSha, pub plan: &'a Plan, pub approved: Result<&'a ApprovedPlan, &'a Refusal>, pub outcomes: &'a Outcomes, pub pipelines: &'a std::collections::BTreeSet<PipelineName> }
pub fn conflict_comment(_: &CommitSha, _: &[String]) -> String { String::new() }
pub fn review_comment(_: &Review<'_>) -> String { String::new() }
pub fn applied_comment(_: &Applied<'_>) -> String { String::new() }
pub fn check(_: &Plan) -> Check { unimplemented!() }
