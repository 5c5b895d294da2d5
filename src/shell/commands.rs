//! The lane of the commands under one pull request: read, decide, bring about, answer.
//!
//! A command's key is its comment and its line. The effect comes first, then the reply, then
//! the last reaction, and each is found again by that key: a crash between two of them
//! repeats none. A reply that stands means that the command is done. Nothing waits here:
//! what takes long (a run, another lane's work) is looked at again later.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::command::{self, AuthorizedCommand, Command, CommandKey, CommandLine, Comment};
use crate::edges::forge::comment::IfMissing;
use crate::edges::forge::{ForgeError, Reaction};
use crate::event::{Lane, PullNumber};
use crate::plan::commanded::{Commanded, Names};
use crate::report;

use super::ground::Ground;
use super::queue::Waiting;
use super::worker::Worker;

/// The marker of what answers a command.
pub(super) fn answer_marker(key: CommandKey) -> String {
    format!("answer-{key}")
}

/// The marker of what refuses one.
fn refusal_marker(key: CommandKey) -> String {
    format!("refusal-{key}")
}

/// How a command stands after a look.
pub(super) enum End {
    Done,
    Refused,
    /// Its effect is under way; look again after this.
    Waits(Duration),
}

/// A comment whose commands have not all ended.
struct Open {
    comment: Comment,
    /// Whether our App has said that it is under way.
    accepted: bool,
}

/// Another lane tells when it is done; this is for the case that it can not.
const NOT_FORGOTTEN: Duration = Duration::from_secs(300);

impl Worker {
    /// Carries every command of these comments as far as it goes.
    pub(super) async fn commands(
        &self,
        number: PullNumber,
        waiting: &Waiting,
    ) -> anyhow::Result<()> {
        let mut open = Vec::new();
        for id in &waiting.comments {
            if let Some(comment) = self.unsettled(number, *id).await? {
                open.push(comment);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let ground = Ground::read(self, number).await?;
        let mut left = Waiting {
            effected: waiting.effected.clone(),
            ..Waiting::default()
        };
        for one in &mut open {
            if let Some(wait) = self.comment(&ground, one, waiting).await? {
                left.comments.insert(one.comment.id);
                let due = self.clock.now() + wait;
                left.due = Some(left.due.map_or(due, |other| other.min(due)));
            }
        }
        if !left.comments.is_empty() {
            self.queue.put(Lane::Commands(number), left);
        }
        Ok(())
    }

    /// The comment, unless it holds no command, is gone, or was settled before.
    async fn unsettled(
        &self,
        number: PullNumber,
        id: command::CommentId,
    ) -> anyhow::Result<Option<Open>> {
        if self.memory.is_settled(id) {
            return Ok(None);
        }
        let comment = match self.edges.forge.comment(id).await {
            Ok(comment) => comment,
            Err(ForgeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if comment.pull != number || command::parse(&comment).is_empty() {
            return Ok(None);
        }
        let ours = self.edges.forge.our_reactions(id).await?;
        if ours.contains(&Reaction::Rocket) || ours.contains(&Reaction::Confused) {
            self.memory.settle(id);
            return Ok(None);
        }
        let accepted = ours.contains(&Reaction::Eyes);
        Ok(Some(Open { comment, accepted }))
    }

    /// Looks at every command of a comment. When all have ended the last reaction says so;
    /// else it is told when to look again.
    async fn comment(
        &self,
        ground: &Ground,
        open: &mut Open,
        waiting: &Waiting,
    ) -> anyhow::Result<Option<Duration>> {
        let forge = &self.edges.forge;
        let mut last = Reaction::Rocket;
        let mut waits: Option<Duration> = None;
        for line in command::parse(&open.comment) {
            match self.line(ground, open, &line, waiting).await? {
                End::Done => {}
                End::Refused => last = Reaction::Confused,
                End::Waits(wait) => waits = Some(waits.map_or(wait, |other| other.min(wait))),
            }
        }
        if waits.is_none() {
            forge.react(open.comment.id, last).await?;
            self.memory.settle(open.comment.id);
        }
        Ok(waits)
    }

    async fn line(
        &self,
        ground: &Ground,
        open: &mut Open,
        line: &CommandLine,
        waiting: &Waiting,
    ) -> anyhow::Result<End> {
        let key = line.key;
        if ground.has_said(&answer_marker(key)) {
            return Ok(End::Done);
        }
        if ground.has_said(&refusal_marker(key)) {
            return Ok(End::Refused);
        }
        let asked = match &line.asked {
            Ok(asked) => asked,
            Err(misread) => {
                return self
                    .refuse(
                        &open.comment,
                        key,
                        &report::misread_reply(&line.text, misread),
                    )
                    .await;
            }
        };
        match ground.authorize(self, &open.comment, key, asked).await? {
            Ok(command) => {
                self.obey(ground, open, (&command, &line.text), waiting)
                    .await
            }
            Err(refused) => {
                let reply = report::refused_reply(&line.text, &refused);
                self.refuse(&open.comment, key, &reply).await
            }
        }
    }

    async fn obey(
        &self,
        ground: &Ground,
        open: &mut Open,
        (command, text): (&AuthorizedCommand, &str),
        waiting: &Waiting,
    ) -> anyhow::Result<End> {
        let (key, number) = (command.key(), command.pull());
        match command.command() {
            Command::Help => self.answer(number, key, &report::help_reply()).await,
            Command::Status => {
                let reply = self.status(ground).await?;
                self.answer(number, key, &reply).await
            }
            Command::Plan if waiting.effected.contains(&key) => Ok(End::Done),
            Command::Plan => {
                self.accept(open).await?;
                let commands = [(number, key)].into();
                let more = Waiting {
                    commands,
                    ..Waiting::default()
                };
                self.queue.put(Lane::PullRequest(number), more);
                Ok(End::Waits(NOT_FORGOTTEN))
            }
            Command::Apply { .. } | Command::Confirm { .. } => {
                self.accept(open).await?;
                let more = Waiting {
                    commanded: self.commanded(ground, command.command()).await?,
                    commands: [(number, key)].into(),
                    ..Waiting::default()
                };
                self.queue.put(Lane::Default, more);
                Ok(End::Waits(NOT_FORGOTTEN))
            }
            Command::Rerun { pipelines, tables } => {
                self.accept(open).await?;
                self.rerun(ground, command, (pipelines, tables), text).await
            }
        }
    }

    /// Everything like this `/apply` or `/confirm` under the pull request that may be given:
    /// where two owners have to agree, each gives their own.
    async fn commanded(
        &self,
        ground: &Ground,
        like: &Command,
    ) -> anyhow::Result<BTreeSet<Commanded>> {
        let mut commanded = BTreeSet::new();
        let (names, digest) = match like {
            Command::Apply { digest } => (Names::Pipeline, digest),
            Command::Confirm { digest } => (Names::Prunes, digest),
            _ => return Ok(commanded),
        };
        for comment in &ground.comments {
            for line in command::parse(comment) {
                let Some(asked) = line.asked.as_ref().ok().filter(|asked| *asked == like) else {
                    continue;
                };
                if let Ok(command) = ground.authorize(self, comment, line.key, asked).await? {
                    commanded.insert(Commanded {
                        key: command.key(),
                        names,
                        pull: command.pull(),
                        actor: command.actor().to_owned(),
                        at: command.at(),
                        digest: digest.clone(),
                    });
                }
            }
        }
        Ok(commanded)
    }

    /// Says that the command is understood, and under way.
    async fn accept(&self, open: &mut Open) -> anyhow::Result<()> {
        if !open.accepted {
            let id = open.comment.id;
            self.edges.forge.react(id, Reaction::Eyes).await?;
            open.accepted = true;
        }
        Ok(())
    }

    pub(super) async fn answer(
        &self,
        pull: PullNumber,
        key: CommandKey,
        reply: &str,
    ) -> anyhow::Result<End> {
        self.reply(pull, &answer_marker(key), reply).await?;
        Ok(End::Done)
    }

    async fn refuse(&self, comment: &Comment, key: CommandKey, reply: &str) -> anyhow::Result<End> {
        self.reply(comment.pull, &refusal_marker(key), reply)
            .await?;
        Ok(End::Refused)
    }

    async fn reply(&self, pull: PullNumber, marker: &str, reply: &str) -> anyhow::Result<()> {
        let forge = &self.edges.forge;
        forge
            .put_sticky_comment(pull, marker, reply, IfMissing::Create)
            .await?;
        Ok(())
    }
}
