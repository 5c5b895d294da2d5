//! What to try next: the promises of the bot, each as a thing to do and to see.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::sandbox::cast::Cast;
use crate::sandbox::story::Draft;

use super::act::{Act, Verdict};
use super::pulls::Pull;
use super::reach::Reach;

/// One thing to try.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub id: &'static str,
    pub title: &'static str,
    pub text: String,
    pub done: bool,
    #[serde(flatten)]
    pub way: Way,
}

/// Where it is done, as whom, and what does it in one press.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Way {
    /// Who to be.
    pub login: Option<String>,
    pub pull: Option<u64>,
    /// `conversation`, `files` or `world`.
    pub tab: &'static str,
    pub label: &'static str,
    pub act: Option<Act>,
}

/// What the steps are judged by.
pub(super) struct Scene<'s> {
    pub pulls: &'s [Pull],
    pub reach: &'s Reach,
    /// Names and phases of the runs.
    pub runs: &'s [(String, String)],
    pub cast: &'s Cast,
    pub draft: &'s Draft,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Guide {
    done: BTreeSet<&'static str>,
    /// The schedule was edited by hand, and not put back yet.
    edited: bool,
}

const STEPS: [(&str, &str); 12] = [
    ("break", "Break a line"),
    ("fix", "Mend it"),
    ("merge", "Merge it, although no owner agreed"),
    ("approve", "Let the owner agree"),
    ("refused", "Ask for what is not yours"),
    ("rerun", "Run it now, as the owner"),
    ("fail", "Ask for a table that is not there"),
    ("revoke", "Take a right away behind the bot's back"),
    ("mend", "Watch it come back"),
    ("deny", "Share the data with one person"),
    ("share", "Share it with a group instead"),
    ("remove", "Remove the pipeline"),
];

impl Guide {
    /// Something was done that leaves no trace of its own.
    pub(super) fn acted(&mut self, act: &Act) {
        match act {
            Act::Revoke { .. } => {
                self.done.insert("revoke");
            }
            Act::Schedule { .. } => self.edited = true,
            Act::Sweep {} => self.edited = false,
            _ => {}
        }
    }

    /// The steps, with what is done by now. What was seen once stays done.
    pub(super) fn steps(&mut self, scene: &Scene<'_>) -> Vec<Step> {
        for (id, _) in STEPS {
            if !self.done.contains(id) && self.is_seen(id, scene) {
                self.done.insert(id);
            }
        }
        let step = |(id, title): (&'static str, &'static str)| Step {
            id,
            title,
            text: text(id, scene),
            done: self.done.contains(id),
            way: way(id, scene),
        };
        STEPS.into_iter().map(step).collect()
    }

    fn is_seen(&self, id: &str, scene: &Scene<'_>) -> bool {
        let after = |earlier: &str| self.done.contains(earlier);
        let first = scene.first();
        let conclusion = first.and_then(|pull| Some(pull.check.as_ref()?.conclusion.as_str()));
        match id {
            "break" => conclusion == Some("failure"),
            "fix" => after("break") && conclusion == Some("success"),
            "merge" => first.is_some_and(|pull| pull.state == "merged"),
            "approve" => scene.has_schedule(),
            "refused" => scene.bot_said("not done"),
            "rerun" => scene.runs.iter().any(|(_, phase)| phase == "Succeeded"),
            "fail" => scene.runs.iter().any(|(_, phase)| phase == "Failed"),
            "mend" => after("revoke") && scene.reads_through().is_some(),
            "deny" => scene.sharing().is_some_and(|pull| pull.is_refused()),
            "share" => scene.is_shared(),
            "remove" => after("approve") && !scene.has_schedule(),
            _ => false,
        }
    }
}

impl Pull {
    fn is_refused(&self) -> bool {
        let check = self.check.as_ref();
        check.is_some_and(|check| check.conclusion == "failure")
    }
}

impl Scene<'_> {
    /// The pull request that the sandbox opened itself.
    fn first(&self) -> Option<&Pull> {
        self.pulls.iter().min_by_key(|pull| pull.number)
    }

    /// The newest one that adds a reader to the pipeline.
    fn sharing(&self) -> Option<&Pull> {
        self.pulls.iter().find(|pull| {
            let mut files = pull.files.iter();
            files.any(|file| {
                let text = file.text.as_deref().unwrap_or_default();
                file.path == self.draft.path && text.contains("readers:")
            })
        })
    }

    /// The newest open one that removes the pipeline.
    fn removal(&self) -> Option<&Pull> {
        self.pulls.iter().find(|pull| {
            let mut files = pull.files.iter();
            pull.state == "open"
                && files.any(|file| file.path == self.draft.path && file.text.is_none())
        })
    }

    fn has_schedule(&self) -> bool {
        let id = format!("schedule:{}", self.draft.name);
        self.reach.nodes.contains_key(&id)
    }

    fn bot_said(&self, words: &str) -> bool {
        let mut said = self.pulls.iter().flat_map(|pull| &pull.conversation);
        said.any(|one| one.bot && one.html.contains(words))
    }

    /// The id of the right to use the connection.
    fn reads_through(&self) -> Option<&String> {
        let project = format!("/{}/", self.cast.project);
        let mut edges = self.reach.edges.iter();
        let found =
            edges.find(|(_, edge)| edge.can == "reads through" && edge.to.contains(&project));
        found.map(|(id, _)| id)
    }

    fn is_shared(&self) -> bool {
        let to = format!("dataset:{}.{}", self.cast.project, self.draft.dataset);
        let mut edges = self.reach.edges.values();
        edges.any(|edge| edge.can == "reads" && edge.to == to)
    }

    fn with_reader(&self, reader: &str) -> String {
        format!("{}readers:\n  - {reader}\n", self.draft.text)
    }
}

fn text(id: &str, scene: &Scene<'_>) -> String {
    let (author, owner) = (&scene.cast.author, &scene.cast.owner);
    let project = &scene.cast.project;
    match id {
        "break" => format!(
            "{author} asks for a new pipeline, and the bot has answered with a plan. \
             Read it, then misspell a key in the Files tab: the finding stands on your line."
        ),
        "fix" => "Put the key back. The bot edits its one comment; it never adds another.".into(),
        "merge" => format!(
            "{author} can merge, but {project} is not {author}'s. \
             See what the bot does about it: nothing."
        ),
        "approve" => format!(
            "{owner} speaks for {project}. An approving review is the consent, \
             and it is taken up at once: watch the world."
        ),
        "refused" => format!("{author} writes /rerun, and is told who may."),
        "rerun" => format!(
            "{owner} writes the same. The real runner copies the tables, as a process of its own, \
             and says of each what became of it."
        ),
        "fail" => "A run that fails says why, in the same place.".into(),
        "revoke" => "Press the line between the identity and its connection, as somebody in \
             Google's console would. Nobody tells the bot."
            .into(),
        "mend" => "The bot looks at everything every few minutes, webhooks or not. Let it look \
             now: what was agreed comes back."
            .into(),
        "deny" => {
            format!("{author} adds a person outside of the company as a reader. A rule says no.")
        }
        "share" => {
            "A group may read, once the owner agrees. The plan says who gains access.".into()
        }
        "remove" => format!(
            "{owner} removes the file. Schedule, identity and grants go; the data stays. \
             An owner's own change needs no second review."
        ),
        _ => String::new(),
    }
}

fn way(id: &str, scene: &Scene<'_>) -> Way {
    let (author, owner) = (scene.cast.author.clone(), scene.cast.owner.clone());
    let Some(first) = scene.first().map(|pull| pull.number) else {
        return Way::default();
    };
    let path = scene.draft.path.clone();
    let at = |login: String, pull: u64, tab, label, act| Way {
        login: Some(login),
        pull: Some(pull),
        tab,
        label,
        act: Some(act),
    };
    let edit = |login: &str, number: u64, text: String| Act::Edit {
        login: login.to_owned(),
        number,
        path: path.clone(),
        text,
    };
    let world = |label, act| Way {
        tab: "world",
        label,
        act,
        ..Way::default()
    };
    match id {
        "break" => {
            let wrong = scene.draft.text.replace("db_schema_name", "db_schema_nam");
            let act = edit(&author, first, wrong);
            at(author, first, "files", "Misspell it for me", act)
        }
        "fix" => {
            let act = edit(&author, first, scene.draft.text.clone());
            at(author, first, "files", "Mend it for me", act)
        }
        "merge" => {
            let act = Act::Merge {
                login: author.clone(),
                number: first,
            };
            at(author, first, "conversation", "Merge as the author", act)
        }
        "approve" => {
            let act = approve(&owner, first);
            at(owner, first, "conversation", "Approve as the owner", act)
        }
        "refused" => {
            let act = rerun(&author, first, "");
            at(
                author,
                first,
                "conversation",
                "Write /rerun as the author",
                act,
            )
        }
        "rerun" => {
            let act = rerun(&owner, first, "");
            at(
                owner,
                first,
                "conversation",
                "Write /rerun as the owner",
                act,
            )
        }
        "fail" => {
            let act = rerun(&owner, first, " tables=invoices");
            at(owner, first, "conversation", "Ask for it", act)
        }
        "revoke" => {
            let act = scene.reads_through().cloned();
            world("Take it away", act.map(|edge| Act::Revoke { edge }))
        }
        "mend" => world("Let the bot look", Some(Act::Sweep {})),
        "deny" => {
            let act = Act::Open {
                login: author.clone(),
                title: "Let a friend read the CRM".to_owned(),
                path,
                text: Some(scene.with_reader("user:eve@elsewhere.example")),
            };
            at(author, first, "files", "Ask for it", act)
        }
        "share" => share(scene, author, owner, edit),
        "remove" => match scene.removal() {
            Some(pull) => {
                let act = Act::Merge {
                    login: owner.clone(),
                    number: pull.number,
                };
                at(owner, pull.number, "conversation", "Merge it", act)
            }
            None => {
                let act = Act::Open {
                    login: owner.clone(),
                    title: "The CRM is gone".to_owned(),
                    path,
                    text: None,
                };
                at(owner, first, "files", "Ask for its removal", act)
            }
        },
        _ => Way::default(),
    }
}

/// Three acts, one after the other: another reader, the owner's consent, the merge.
fn share(
    scene: &Scene<'_>,
    author: String,
    owner: String,
    edit: impl Fn(&str, u64, String) -> Act,
) -> Way {
    let Some(pull) = scene.sharing() else {
        return Way::default();
    };
    let number = pull.number;
    let (login, tab, label, act) = if pull.is_refused() {
        let text = scene.with_reader("group:finance@acme.example");
        let act = edit(&author, number, text);
        (author, "files", "Make it a group", act)
    } else if pull.approvals.iter().all(|one| !one.current) {
        let act = approve(&owner, number);
        (owner, "conversation", "Approve as the owner", act)
    } else {
        let act = Act::Merge {
            login: owner.clone(),
            number,
        };
        (owner, "conversation", "Merge it", act)
    };
    Way {
        login: Some(login),
        pull: Some(number),
        tab,
        label,
        act: Some(act),
    }
}

fn approve(login: &str, number: u64) -> Act {
    Act::Review {
        login: login.to_owned(),
        number,
        verdict: Verdict::Approve,
    }
}

fn rerun(login: &str, number: u64, tables: &str) -> Act {
    Act::Comment {
        login: login.to_owned(),
        number,
        text: format!("/rerun{tables}"),
    }
}
