//! The story: what Pipewright is for, played from the first pull request to the last prune.
//!
//! Every step does something a person would do, lets the bot work, and then looks: a step
//! that was not seen to happen fails the story.

use serde_json::Value;

use crate::event::Event;

use super::github::{Change, ReviewState};
use super::kubernetes::Ending;
use super::stage::Stage;
use super::teller::Teller;

/// The file that the story adds, in the article's format.
pub(super) struct Draft {
    pub(super) path: String,
    pub(super) name: &'static str,
    pub(super) dataset: &'static str,
    pub(super) text: String,
}

/// What the story has at hand in every scene.
pub(super) struct Scene<'s, 'o> {
    pub(super) stage: &'s mut Stage,
    pub(super) teller: &'s mut Teller<'o>,
    pub(super) draft: Draft,
}

/// Plays up to the first plan, and returns the pull request's number.
///
/// # Errors
/// If a simulator or the bot fails.
pub async fn open(stage: &mut Stage, teller: &mut Teller<'_>) -> anyhow::Result<u64> {
    let draft = draft(stage)?;
    let mut scene = Scene {
        stage,
        teller,
        draft,
    };
    scene.start().await?;
    scene.first_plan().await
}

/// Plays it whole.
///
/// # Errors
/// If a simulator or the bot fails. What was merely not seen is the teller's to say.
pub async fn play(stage: &mut Stage, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let draft = draft(stage)?;
    let mut scene = Scene {
        stage,
        teller,
        draft,
    };
    scene.start().await?;
    let first = scene.first_plan().await?;
    scene.wrong_edit(first).await?;
    scene.fix(first).await?;
    scene.merge_without_consent(first).await?;
    scene.owner_agrees(first).await?;
    scene.rerun(first).await?;
    scene.share().await?;
    scene.remove().await?;
    scene.rest().await
}

/// A new pipeline of a connection that the checkout already uses.
pub(super) fn draft(stage: &Stage) -> anyhow::Result<Draft> {
    let project = &stage.cast.project;
    let pattern = format!("projects/{project}/locations/");
    let (connection, database) = stage
        .google
        .connections()
        .into_iter()
        .find(|(name, _)| name.starts_with(&pattern))
        .ok_or_else(|| {
            anyhow::anyhow!("no pipeline of the checkout uses a connection of {project}")
        })?;
    let id = connection.rsplit('/').next().unwrap_or_default();
    let text = format!(
        "## Required
bq_project_id: {project}
bq_connection_id: {id}
bq_dataset_name: dataplatform_story_crm
service_name: crm
db_catalog_name: {database}
db_schema_name: crm

## Optional
## Table configuration
excluded_tables:
  - audit_log
"
    );
    Ok(Draft {
        path: "pipelines/story/crm.yaml".into(),
        name: "crm",
        dataset: "dataplatform_story_crm",
        text,
    })
}

impl Scene<'_, '_> {
    async fn start(&mut self) -> anyhow::Result<()> {
        self.teller
            .step("the bot starts on a repository whose pipelines nobody has reviewed yet")?;
        self.stage.worker.queue.add(&Event::Sweep);
        self.stage.settle().await?;
        let writes = self.stage.google.wire().writes_to(":setIamPolicy");
        self.teller.see(
            "it leaves them as they are: no object, no grant",
            self.cron_workflow().is_none() && writes == 0,
        )?;
        Ok(())
    }

    async fn first_plan(&mut self) -> anyhow::Result<u64> {
        let (author, path) = (self.stage.cast.author.clone(), self.draft.path.clone());
        self.teller
            .step(&format!("{author} opens a pull request that adds {path}"))?;
        self.teller.say(&self.draft.text)?;
        let change = Change::write(&path, &self.draft.text);
        let number = self.stage.github.open_pull_request(
            &author,
            "add-crm",
            "Copy the CRM's tables",
            &[change],
        )?;
        self.stage.settle().await?;
        let comments = self.bot_comments(number);
        self.quote(number)?;
        self.teller.see(
            "one comment with the plan",
            comments.len() == 1 && comments.iter().any(|body| body.contains("crm")),
        )?;
        let check = self.check(number);
        self.teller.see(
            "a check on the head that succeeded and holds the digest",
            check.0 == "success" && check.1.contains("digest crm "),
        )?;
        self.teller
            .see("nothing was applied", self.cron_workflow().is_none())?;
        Ok(number)
    }

    async fn wrong_edit(&mut self, number: u64) -> anyhow::Result<()> {
        let author = self.stage.cast.author.clone();
        self.teller.step(&format!(
            "{author} pushes an edit with a typing error and both table lists"
        ))?;
        let wrong = self.draft.text.replace("db_schema_name", "db_schema_nam")
            + "target_tables:\n  - customers\n";
        self.push(number, &wrong)?;
        self.stage.settle().await?;
        let (conclusion, _) = self.check(number);
        let notes = self.annotations(number);
        for note in &notes {
            self.teller.say(note)?;
        }
        let line = wrong
            .lines()
            .position(|line| line.starts_with("db_schema_nam:"))
            .unwrap_or_default()
            + 1;
        let place = format!("{}:{line}:", self.draft.path);
        self.teller
            .see("the check failed", conclusion == "failure")?;
        self.teller.see(
            "a finding on the wrong line, in the Files tab",
            notes.iter().any(|note| note.starts_with(&place)),
        )?;
        self.teller.see("all mistakes at once", notes.len() >= 3)?;
        Ok(())
    }

    async fn fix(&mut self, number: u64) -> anyhow::Result<()> {
        let author = self.stage.cast.author.clone();
        self.teller.step(&format!("{author} pushes the fix"))?;
        let text = self.draft.text.clone();
        self.push(number, &text)?;
        self.stage.settle().await?;
        self.teller.see(
            "the check succeeds again",
            self.check(number).0 == "success",
        )?;
        self.teller.see(
            "still one comment, edited in place",
            self.bot_comments(number).len() == 1,
        )?;
        Ok(())
    }

    async fn merge_without_consent(&mut self, number: u64) -> anyhow::Result<()> {
        let author = self.stage.cast.author.clone();
        self.teller
            .step(&format!("{author} merges it, and no owner has agreed"))?;
        self.stage.github.merge(number, &author)?;
        self.stage.settle().await?;
        self.quote(number)?;
        let writes = self.stage.kubernetes.wire().writes()
            + self.stage.google.wire().writes_to(":setIamPolicy");
        self.teller.see(
            "nothing was written to the cluster or to Google",
            writes == 0 && self.cron_workflow().is_none(),
        )?;
        let said = self.bot_comments(number).concat();
        let owners = self.owners();
        self.teller.see(
            "the comment says whose consent is missing",
            owners.iter().any(|owner| said.contains(owner)),
        )?;
        Ok(())
    }

    async fn owner_agrees(&mut self, number: u64) -> anyhow::Result<()> {
        let owner = self.stage.cast.owner.clone();
        self.teller.step(&format!(
            "{owner}, who owns {}, approves it",
            self.stage.cast.project
        ))?;
        self.stage
            .github
            .review(number, &owner, ReviewState::Approved)?;
        self.stage.settle().await?;
        self.quote(number)?;
        let cron = self.cron_workflow();
        self.teller.see(
            "a CronWorkflow with a schedule",
            cron.as_ref()
                .is_some_and(|cron| cron.pointer("/spec/schedules/0").is_some()),
        )?;
        let access = self.dataset_access();
        self.teller.see(
            "a dataset that only its identity and its project's owners reach",
            access.len() == 2 && access.iter().any(|entry| entry.starts_with("WRITER ")),
        )?;
        let grants = self.stage.google.wire().writes_to(":setIamPolicy");
        self.teller.see(
            "three grants: act as the identity, run jobs, use the one connection",
            grants == 3,
        )?;
        Ok(())
    }

    async fn rerun(&mut self, number: u64) -> anyhow::Result<()> {
        let (author, owner) = (
            self.stage.cast.author.clone(),
            self.stage.cast.owner.clone(),
        );
        self.teller.step(&format!(
            "{author} comments /rerun, and then {owner} does; the run fails"
        ))?;
        self.stage.github.comment(number, &author, "/rerun")?;
        self.stage.settle().await?;
        self.quote(number)?;
        let refused = self.bot_comments(number).concat();
        self.teller.see(
            "who owns nothing is told who may",
            self.runs().is_empty() && refused.contains("not done"),
        )?;
        let comment = self.stage.github.comment(number, &owner, "/rerun")?;
        self.stage.settle().await?;
        let runs = self.runs();
        self.teller
            .see("one run, made of the schedule", runs.len() == 1)?;
        self.stage.kubernetes.argo_step()?;
        for run in &runs {
            let (namespace, why) = (super::stage::NAMESPACE, "the database refuses the login");
            self.stage
                .kubernetes
                .finish_run(namespace, run, Ending::Failed, why, None)?;
        }
        // As it does by itself after a while.
        let look = Event::Commented { number, comment };
        self.stage.worker.queue.add(&look);
        self.stage.settle().await?;
        self.quote(number)?;
        let said = self.bot_comments(number).concat();
        self.teller.see(
            "the run's own words come back to the pull request",
            said.contains("refuses the login"),
        )?;
        Ok(())
    }

    async fn share(&mut self) -> anyhow::Result<()> {
        let (author, owner) = (
            self.stage.cast.author.clone(),
            self.stage.cast.owner.clone(),
        );
        self.teller.step(&format!(
            "{author} asks for the finance group to read it; {owner} approves and merges"
        ))?;
        let text = self.draft.text.clone() + "readers:\n  - group:finance@acme.example\n";
        let change = Change::write(&self.draft.path, &text);
        let number = self.stage.github.open_pull_request(
            &author,
            "share-crm",
            "Let finance read the CRM",
            &[change],
        )?;
        self.stage.settle().await?;
        self.quote(number)?;
        self.teller.see(
            "the plan says who gains access",
            self.bot_comments(number).concat().contains("finance"),
        )?;
        self.stage
            .github
            .review(number, &owner, ReviewState::Approved)?;
        self.stage.github.merge(number, &owner)?;
        self.stage.settle().await?;
        let reads = self
            .dataset_access()
            .iter()
            .any(|entry| entry == "READER finance@acme.example");
        self.teller.see("the group reads the dataset", reads)?;
        Ok(())
    }

    async fn remove(&mut self) -> anyhow::Result<()> {
        let owner = self.stage.cast.owner.clone();
        self.teller
            .step(&format!("{owner} removes the pipeline, and merges"))?;
        let change = Change::remove(&self.draft.path);
        let number = self.stage.github.open_pull_request(
            &owner,
            "remove-crm",
            "The CRM is gone",
            &[change],
        )?;
        self.stage.settle().await?;
        self.quote(number)?;
        self.stage.github.merge(number, &owner)?;
        self.stage.settle().await?;
        self.quote(number)?;
        let objects = self.stage.kubernetes.objects();
        // The inventory stays, and says that nothing is left.
        let is_ours = |object: &Value| {
            let is_namespace = object.get("kind").and_then(Value::as_str) == Some("Namespace");
            let labels = object.pointer("/metadata/labels");
            let is_inventory =
                labels.is_some_and(|labels| labels.get("applyset.kubernetes.io/id").is_some());
            !is_namespace && !is_inventory
        };
        let left = objects.iter().any(is_ours);
        self.teller
            .see("its schedule, its identity and its Record are gone", !left)?;
        let access = self.dataset_access();
        self.teller.see(
            "its grants are gone, the readers' too",
            access.len() == 1 && self.stage.google.service_accounts().is_empty(),
        )?;
        let dataset = self
            .stage
            .google
            .dataset(self.stage.cast.project.as_str(), self.draft.dataset);
        self.teller.see(
            "its dataset stays: data is never deleted",
            dataset.is_some(),
        )?;
        Ok(())
    }

    async fn rest(&mut self) -> anyhow::Result<()> {
        self.teller.step("everything is looked at once more")?;
        let writes = |stage: &Stage| {
            stage.kubernetes.wire().writes()
                + stage.google.wire().writes_to(":setIamPolicy")
                + stage.github.wire().writes_to("/comments")
        };
        let before = writes(self.stage);
        self.stage.worker.queue.add(&Event::Sweep);
        self.stage.settle().await?;
        self.teller.see(
            "there is nothing left to do, and nothing is done",
            writes(self.stage) == before,
        )?;
        Ok(())
    }
}
