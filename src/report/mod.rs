//! stub
use crate::{
    event::*,
    finding::*,
    name::*,
    plan::{approve::*, outcome::*, *},
};
pub enum Conclusion {
    Success,
    Failure,
}
pub struct Note {
    pub path: String,
    pub span: Option<Span>,
    pub severity: Severity,
    pub title: String,
    pub message: String,
}
pub struct Check {
    pub conclusion: Conclusion,
    pub title: String,
    pub summary: String,
    pub annotations: Vec<Note>,
}
pub struct Review<'a> {
    pub head: &'a CommitSha,
    pub plan: &'a Plan,
}
pub struct Applied<'a> {
    pub pull: PullNumber,
    pub commit: &'a CommitSha,
    pub plan: &'a Plan,
    pub approved: Result<&'a ApprovedPlan, &'a Refusal>,
    pub outcomes: &'a Outcomes,
    pub pipelines: &'a std::collections::BTreeSet<PipelineName>,
}
pub fn conflict_comment(_: &CommitSha, _: &[String]) -> String {
    String::new()
}
pub fn review_comment(r: &Review<'_>) -> String {
    format!(
        "heading\n{:?}",
        r.plan
            .changes
            .keys()
            .map(|k| k.to_string())
            .collect::<Vec<_>>()
    )
}
pub fn applied_comment(a: &Applied<'_>) -> String {
    format!(
        "heading\n{:?}\n{:?}",
        a.approved.map(|x| (x.approved().clone(), x.held().clone())),
        a.outcomes.steps.iter().map(|s| &s.1).collect::<Vec<_>>()
    )
}
pub fn check(_p: &Plan) -> Check {
    Check {
        conclusion: if _p.findings.iter().any(|f| f.is_deny()) {
            Conclusion::Failure
        } else {
            Conclusion::Success
        },
        title: "t".into(),
        summary: "s".into(),
        annotations: _p
            .findings
            .iter()
            .map(|f| Note {
                path: f.path.clone(),
                span: f.span,
                severity: f.severity,
                title: f.rule.clone(),
                message: f.message.clone(),
            })
            .collect(),
    }
}
