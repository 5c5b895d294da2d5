//! The people: what they do on GitHub, and behind the bot's back.
//!
//! Each deed is drawn from chance and from what there is to do something with. What the
//! simulator does not allow (merging a conflict, say) is tried and comes to nothing.

use pipewright::sandbox::github::{Change, Comment, Github, Permission, PullState, ReviewState};
use pipewright::sandbox::google::Google;
use pipewright::sandbox::kubernetes::{Ending, Kubernetes};
use pipewright::sandbox::stage::NAMESPACE;
use serde_json::{Value, json};

use super::chance::Chance;
use super::land::{CONNECTIONS, DATASETS, LEADS, PIPELINES, defaults, labelled, policies};

/// Somebody who is of no team, and may write.
pub const STRANGER: &str = "stranger";

pub struct People {
    github: Github,
    kubernetes: Kubernetes,
    google: Google,
    chance: Chance,
    /// Pull requests, each with what would undo it.
    pulls: Vec<(u64, Change)>,
    pub deeds: Vec<String>,
    /// Comments with a command that nobody touched since: pull request, comment.
    pub commands: Vec<(u64, u64)>,
}

impl People {
    pub fn new(github: Github, kubernetes: Kubernetes, google: Google, seed: u64) -> Self {
        github.add_user(STRANGER, Permission::Write);
        Self {
            github,
            kubernetes,
            google,
            chance: Chance::new(seed),
            pulls: Vec::new(),
            deeds: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub fn pulls(&self) -> impl Iterator<Item = u64> {
        self.pulls.iter().map(|(number, _)| *number)
    }

    /// Somebody does something.
    pub fn act(&mut self) {
        let deed = match self.chance.below(100) {
            0..20 => self.open(),
            20..27 => self.push(),
            27..50 => self.review(),
            50..67 => self.merge(),
            67..70 => self.close_or_reopen(),
            70..73 => self.push_to_default(),
            73..77 => self.revert(),
            77..84 => self.drift_in_the_cluster(),
            84..89 => self.drift_at_google(),
            89..91 => self.meddle_with_comments(),
            91..97 => self.command(),
            97..98 => self.queue(),
            _ => self.argo(),
        };
        self.deeds.push(deed);
    }

    fn anyone(&mut self) -> &'static str {
        if self.chance.percent(40) {
            return STRANGER;
        }
        let lead: &&str = self.chance.pick(&LEADS);
        lead
    }

    fn any_pull(&mut self, such: impl Fn(&PullState) -> bool) -> Option<u64> {
        let fitting: Vec<u64> = self
            .pulls()
            .filter(|number| self.state(*number).is_some_and(|state| such(&state)))
            .collect();
        // The newest ones most often, as in life.
        let last = fitting.len().saturating_sub(4);
        let from = if self.chance.percent(80) {
            &fitting[last..]
        } else {
            &fitting
        };
        (!from.is_empty()).then(|| *self.chance.pick(from))
    }

    fn state(&self, number: u64) -> Option<PullState> {
        self.github.pull_request(number).map(|pull| pull.state)
    }

    /// A change of one file, in words and as it is.
    fn change(&mut self) -> (String, Change) {
        if self.chance.percent(6) {
            let hours = 3 + self.chance.below(4);
            return (
                format!("run_hours: {hours}"),
                Change::write("policies/defaults.yaml", defaults(hours)),
            );
        }
        let name = *self.chance.pick(&PIPELINES);
        let path = format!("pipelines/{name}.yaml");
        let there = self.github.file("main", &path).is_some();
        if there && self.chance.percent(25) {
            return (format!("remove {name}"), Change::remove(path));
        }
        let text = self.pipeline(name);
        (
            format!("write {name}: {}", text.replace('\n', "; ")),
            Change::write(path, text),
        )
    }

    fn pipeline(&mut self, name: &str) -> String {
        let (owner, connection, database) = *self.chance.pick(&CONNECTIONS);
        let project = match self.chance.percent(80) {
            true => owner,
            false => ["acme-orders", "acme-billing"][self.chance.below(2)],
        };
        let named = match project == owner {
            true => connection.to_owned(),
            false => format!("projects/{owner}/locations/asia-northeast1/connections/{connection}"),
        };
        let more = self.chance.percent(30);
        let dataset = DATASETS
            .iter()
            .find(|dataset| dataset.contains(name))
            .unwrap();
        let mut text = format!(
            "bq_project_id: {project}\nbq_connection_id: {named}\nbq_dataset_name: {dataset}\n\
             service_name: {name}\ndb_catalog_name: {database}\ndb_schema_name: {name}\n"
        );
        if self.chance.percent(40) {
            let group = ["bi", "audit", "finance"][self.chance.below(3)];
            text += &format!("readers: ['group:{group}@acme.example']\n");
        }
        if more {
            text += "tables: {a: {schedule: '@hourly'}}\n";
        }
        match self.chance.below(10) {
            0 => text += "suspend: true\n",
            1 => text = text.replace("service_name", "servicename"),
            _ => {}
        }
        text
    }

    fn undo(&self, change: &Change) -> Change {
        let Change::Write { path, .. } = change else {
            let Change::Remove { path } = change else {
                return change.clone();
            };
            return self.as_on_main(path);
        };
        self.as_on_main(path)
    }

    fn as_on_main(&self, path: &str) -> Change {
        match self.github.file("main", path) {
            Some(text) => Change::write(path, text),
            None => Change::remove(path),
        }
    }

    fn open_with(&mut self, words: &str, changes: &[Change]) -> String {
        let author = self.anyone();
        let branch = format!("branch-{}", self.pulls.len());
        let undo = self.undo(&changes[0]);
        match self
            .github
            .open_pull_request(author, &branch, &branch, changes)
        {
            Ok(number) => {
                self.pulls.push((number, undo));
                format!("{author} opens #{number}: {words}")
            }
            Err(error) => format!("{author} can not open: {error:#}"),
        }
    }

    fn open(&mut self) -> String {
        if self.chance.percent(10) {
            let name = *self.chance.pick(&PIPELINES);
            let path = format!("pipelines/{name}.yaml");
            if let Some(text) = self.github.file("main", &path)
                && !text.contains("previously")
            {
                let changes = [
                    Change::write(
                        format!("pipelines/new-{name}.yaml"),
                        format!("{text}previously: {name}\n"),
                    ),
                    Change::remove(path),
                ];
                return self.open_with(&format!("rename {name}"), &changes);
            }
        }
        let (words, change) = self.change();
        self.open_with(&words, &[change])
    }

    fn push(&mut self) -> String {
        let Some(number) = self.any_pull(|state| *state == PullState::Open) else {
            return self.open();
        };
        let author = self.anyone();
        let (words, change) = self.change();
        let forced = self.chance.percent(40);
        let pushed = match forced {
            true => self.github.force_push(number, author, &[change]),
            false => self.github.push(number, author, &[change]),
        };
        let how = if forced { "force-pushes" } else { "pushes" };
        told(format!("{author} {how} to #{number}: {words}"), pushed)
    }

    fn review(&mut self) -> String {
        let Some(number) = self.any_pull(|state| !matches!(state, PullState::Closed { .. })) else {
            return self.open();
        };
        if self.chance.percent(50) {
            for lead in LEADS {
                // Whoever wrote it can not.
                let _ = self.github.review(number, lead, ReviewState::Approved);
            }
            return format!("all leads approve #{number}");
        }
        let who = self.anyone();
        let state = match self.chance.below(10) {
            0..7 => ReviewState::Approved,
            7..9 => ReviewState::ChangesRequested,
            _ => ReviewState::Commented,
        };
        told(
            format!("{who} reviews #{number}: {state:?}"),
            self.github.review(number, who, state),
        )
    }

    fn merge(&mut self) -> String {
        let Some(number) = self.any_pull(|state| *state == PullState::Open) else {
            return self.open();
        };
        let who = self.anyone();
        told(
            format!("{who} merges #{number}"),
            self.github.merge(number, who),
        )
    }

    fn close_or_reopen(&mut self) -> String {
        let Some(number) = self.any_pull(|state| !matches!(state, PullState::Merged { .. })) else {
            return self.open();
        };
        let who = self.anyone();
        match self.state(number) {
            Some(PullState::Open) => told(
                format!("{who} closes #{number}"),
                self.github.close(number, who),
            ),
            _ => told(
                format!("{who} reopens #{number}"),
                self.github.reopen(number, who),
            ),
        }
    }

    fn push_to_default(&mut self) -> String {
        let who = self.anyone();
        let (words, change) = self.change();
        let pushed = self.github.push_to_default(who, &words, &[change]);
        told(format!("{who} pushes to main: {words}"), pushed)
    }

    fn revert(&mut self) -> String {
        let Some(number) = self.any_pull(|state| matches!(state, PullState::Merged { .. })) else {
            return self.open();
        };
        let undo = self.pulls.iter().find(|(one, _)| *one == number);
        let undo = undo.map(|(_, undo)| undo.clone()).unwrap();
        self.open_with(&format!("revert #{number}"), &[undo])
    }

    fn drift_in_the_cluster(&mut self) -> String {
        let ours: Vec<Value> = self
            .kubernetes
            .objects()
            .into_iter()
            .filter(|one| labelled(one) && one["kind"] != "Workflow")
            // Without its Record the bot can not know whose a grant is: that is no drift.
            .filter(|one| one.pointer("/data/record").is_none())
            .collect();
        if ours.is_empty() {
            return self.open();
        }
        let mut object = self.chance.pick(&ours).clone();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if kind == "CronWorkflow" && self.chance.percent(60) {
            object["spec"]["schedules"] = json!(["* * * * *"]);
            return told(
                format!("kubectl edits {kind} {name}"),
                self.kubernetes.put(object),
            );
        }
        self.kubernetes.remove(&kind, NAMESPACE, &name);
        format!("kubectl deletes {kind} {name}")
    }

    fn drift_at_google(&mut self) -> String {
        if self.chance.percent(20) {
            let resource = self.chance.pick(&policies(&self.google)).clone();
            self.google.grant(
                &resource,
                "roles/bigquery.jobUser",
                "user:somebody@acme.example",
            );
            return format!("somebody is let into {resource}");
        }
        if self.chance.percent(30) {
            for project in ["acme-orders", "acme-billing"] {
                let dataset = *self.chance.pick(&DATASETS);
                if let Some(found) = self.google.dataset(project, dataset) {
                    let mut access = found["access"].as_array().cloned().unwrap_or_default();
                    access.pop();
                    self.google.set_dataset_access(project, dataset, access);
                    return format!("an entry of {project}.{dataset} is taken away");
                }
            }
        }
        let mut held = Vec::new();
        for resource in policies(&self.google) {
            let policy = self.google.policy(&resource);
            for binding in policy["bindings"].as_array().into_iter().flatten() {
                for member in binding["members"].as_array().into_iter().flatten() {
                    held.push((resource.clone(), text(&binding["role"]), text(member)));
                }
            }
        }
        if held.is_empty() {
            return self.open();
        }
        let (resource, role, member) = self.chance.pick(&held).clone();
        self.google.revoke(&resource, &role, &member);
        format!("{role} is taken from {member} on {resource}")
    }

    fn meddle_with_comments(&mut self) -> String {
        let all: Vec<Comment> = self
            .pulls()
            .flat_map(|number| self.github.comments(number))
            .collect();
        if all.is_empty() {
            return self.open();
        }
        let comment = self.chance.pick(&all).clone();
        self.commands.retain(|(_, id)| *id != comment.id);
        let who = *self.chance.pick(&LEADS);
        if self.chance.percent(50) {
            return told(
                format!("{who} deletes a comment under #{}", comment.number),
                self.github.delete_comment(comment.id, who),
            );
        }
        let body = comment.body.replace("/plan", "/rerun") + "\n\n/rerun\n";
        told(
            format!("{who} edits a comment under #{}", comment.number),
            self.github.edit_comment(comment.id, who, &body),
        )
    }

    fn command(&mut self) -> String {
        let Some(number) = self.any_pull(|_| true) else {
            return self.open();
        };
        let who = self.anyone();
        let body = match self.chance.below(10) {
            0..4 => match self.offered() {
                Some(digest) => format!("/apply {digest}"),
                None => "/plan".to_owned(),
            },
            4..7 => "/rerun".to_owned(),
            7 => format!("/rerun {}", self.chance.pick(&PIPELINES)),
            8 => "/status".to_owned(),
            _ => "/plan".to_owned(),
        };
        match self.github.comment(number, who, &body) {
            Ok(id) => {
                self.commands.push((number, id));
                format!("{who} comments on #{number}: {body}")
            }
            Err(error) => format!("{who} can not comment: {error:#}"),
        }
    }

    /// A digest that the bot has offered somewhere.
    fn offered(&mut self) -> Option<String> {
        let said: Vec<String> = self
            .pulls()
            .flat_map(|number| self.github.comments(number))
            .filter(|comment| comment.login.ends_with("[bot]"))
            .filter_map(|comment| {
                let (_, rest) = comment.body.rsplit_once("/apply ")?;
                let digest: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
                (digest.len() == 64).then_some(digest)
            })
            .collect();
        (!said.is_empty()).then(|| self.chance.pick(&said).clone())
    }

    fn queue(&mut self) -> String {
        let Some(number) = self.any_pull(|state| *state == PullState::Open) else {
            return self.open();
        };
        let who = self.anyone();
        let queued = self.github.queue_merge_group(number, who);
        if queued.is_ok() && self.chance.percent(50) {
            return told(
                format!("{who} merges #{number} by the queue"),
                self.github.finish_merge_group(number, who),
            );
        }
        told(format!("{who} queues #{number}"), queued)
    }

    fn argo(&mut self) -> String {
        self.end_runs();
        let crons: Vec<String> = self
            .kubernetes
            .objects()
            .iter()
            .filter(|one| one["kind"] == "CronWorkflow")
            .map(|one| text(&one["metadata"]["name"]))
            .collect();
        if crons.is_empty() {
            return "Argo looks around".to_owned();
        }
        let name = self.chance.pick(&crons).clone();
        told(
            format!("the time of {name} comes"),
            self.kubernetes.argo_tick(NAMESPACE, &name),
        )
    }

    /// Argo begins what waits, and every run ends.
    pub fn end_runs(&mut self) {
        for _ in 0..20 {
            let began = self.kubernetes.argo_step().unwrap_or_default();
            let mut ended = 0;
            for run in self.kubernetes.objects() {
                if run["kind"] == "Workflow" {
                    let name = text(&run["metadata"]["name"]);
                    let end =
                        self.kubernetes
                            .finish_run(NAMESPACE, &name, Ending::Succeeded, "", None);
                    ended += usize::from(end.is_ok());
                }
            }
            if began == 0 && ended == 0 {
                return;
            }
        }
    }
}

fn told<T>(words: String, done: anyhow::Result<T>) -> String {
    match done {
        Ok(_) => words,
        Err(error) => format!("{words} (refused: {error:#})"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
