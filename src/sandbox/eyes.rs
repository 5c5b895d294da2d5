//! What the story's scenes look at, and the few things that people do in all of them.

use std::fmt::Write as _;

use serde_json::Value;

use super::github::Change;
use super::stage::NAMESPACE;
use super::story::Scene;

/// What the scenes look at.
impl Scene<'_, '_> {
    pub(super) fn push(&self, number: u64, text: &str) -> anyhow::Result<()> {
        let change = Change::write(&self.draft.path, text);
        self.stage
            .github
            .push(number, &self.stage.cast.author, &[change])?;
        Ok(())
    }

    pub(super) fn bot_comments(&self, number: u64) -> Vec<String> {
        let comments = self.stage.github.comments(number);
        comments
            .into_iter()
            .filter(|comment| comment.login.ends_with("[bot]"))
            .map(|comment| comment.body)
            .collect()
    }

    /// The last comment's lines before the first fold, as a person sees them.
    pub(super) fn quote(&mut self, number: u64) -> anyhow::Result<()> {
        let body = self.bot_comments(number).pop().unwrap_or_default();
        let mut text = String::new();
        for line in body
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with("<details"))
        {
            writeln!(text, "| {line}")?;
        }
        self.teller.say(&format!("the bot on #{number}:"))?;
        self.teller.say(text.trim_end().trim_end_matches("\n|"))?;
        Ok(())
    }

    /// Conclusion and text of the newest check on the pull request's head.
    pub(super) fn check(&self, number: u64) -> (String, String) {
        let head = self
            .stage
            .github
            .pull_request(number)
            .map(|pull| pull.head_sha)
            .unwrap_or_default();
        match self
            .stage
            .github
            .check_runs(&head)
            .into_iter()
            .max_by_key(|run| run.id)
        {
            Some(run) => (
                run.conclusion.unwrap_or_default(),
                run.text.unwrap_or_default(),
            ),
            None => (String::new(), String::new()),
        }
    }

    pub(super) fn annotations(&self, number: u64) -> Vec<String> {
        let head = self
            .stage
            .github
            .pull_request(number)
            .map(|pull| pull.head_sha)
            .unwrap_or_default();
        let run = self
            .stage
            .github
            .check_runs(&head)
            .into_iter()
            .max_by_key(|run| run.id);
        let notes = run.map(|run| run.annotations).unwrap_or_default();
        notes
            .iter()
            .map(|note| {
                let text = |key: &str| {
                    note.get(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let line = note
                    .get("start_line")
                    .and_then(Value::as_u64)
                    .unwrap_or_default();
                format!("{}:{line}: {}", text("path"), text("message"))
            })
            .collect()
    }

    pub(super) fn cron_workflow(&self) -> Option<Value> {
        self.stage
            .kubernetes
            .get("CronWorkflow", NAMESPACE, self.draft.name)
    }

    /// `ROLE grantee` of each entry.
    /// Names of the runs.
    pub(super) fn runs(&self) -> Vec<String> {
        let objects = self.stage.kubernetes.objects().into_iter();
        let runs =
            objects.filter(|object| object.get("kind").and_then(Value::as_str) == Some("Workflow"));
        runs.filter_map(|run| Some(run.pointer("/metadata/name")?.as_str()?.to_owned()))
            .collect()
    }

    pub(super) fn dataset_access(&self) -> Vec<String> {
        let dataset = self
            .stage
            .google
            .dataset(self.stage.cast.project.as_str(), self.draft.dataset);
        let entries =
            dataset.and_then(|dataset| dataset.get("access").and_then(Value::as_array).cloned());
        entries
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| {
                let role = entry.get("role")?.as_str()?;
                let who = ["userByEmail", "groupByEmail", "domain", "specialGroup"];
                let grantee = who.iter().find_map(|key| entry.get(*key)?.as_str())?;
                Some(format!("{role} {grantee}"))
            })
            .collect()
    }

    /// The owners whose consent is needed, as they are written.
    pub(super) fn owners(&self) -> Vec<String> {
        let estate = self
            .stage
            .github
            .file("main", crate::estate::PATH)
            .unwrap_or_default();
        let (estate, _) = crate::estate::Estate::parse(estate.as_bytes());
        let owners = estate.consenting_owners(&self.stage.cast.project);
        owners
            .iter()
            .map(|owner| owner.as_str().trim_start_matches('@').to_owned())
            .collect()
    }
}
