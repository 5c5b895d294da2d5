//! Who moved the branch of a pull request, since it was made.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;

use super::wire::{Answer, PAGE, encoded};
use super::{Forge, ForgeError, PullRequest, UserWire};
use crate::name::CommitSha;
use crate::plan::approval::Pushers;

/// A branch that moved more often than fits these pages is not read to its beginning.
const MOST_PAGES: usize = 10;

impl Forge {
    /// Who pushed what the head of a pull request is, or was when it was merged.
    ///
    /// GitHub tells it only of this repository's own branches. Whatever leaves a gap in
    /// the row of moves from the branch's creation to the head is [`Pushers::Unknown`].
    ///
    /// # Errors
    /// If the App may not read the contents, or GitHub does not answer.
    pub async fn pushers(&self, pull: &PullRequest) -> Result<Pushers, ForgeError> {
        if pull.from_fork {
            return Ok(Pushers::Unknown);
        }
        let attempt = format!("list pushes to the branch of #{}", pull.number);
        let first = self.path(&format!(
            "/activity?ref={}&per_page={PAGE}",
            encoded(&format!("refs/heads/{}", pull.head_branch))
        ));
        let mut row = Row::to(&pull.head, pull.merged_at);
        let mut path = first.clone();
        for _ in 0..MOST_PAGES {
            let answer: Answer<Vec<MoveWire>> = match self.page(&attempt, &path).await {
                Ok(answer) => answer,
                // Older servers do not keep it.
                Err(ForgeError::NotFound { .. }) => return Ok(Pushers::Unknown),
                Err(error) => return Err(error),
            };
            let next = answer.link().and_then(cursor);
            for wire in answer.body {
                if let Some(ended) = row.follow(wire) {
                    return Ok(ended);
                }
            }
            match next {
                Some(cursor) => path = format!("{first}&after={cursor}"),
                None => return Ok(row.end()),
            }
        }
        Ok(Pushers::Unknown)
    }
}

/// What a page says of the next: these pages are not counted. The value stays encoded as
/// it came, and of the address nothing else is believed.
fn cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    let (_, query) = address.split_once('?')?;
    let mut pairs = query.split('&');
    let cursor = pairs.find_map(|pair| pair.strip_prefix("after="))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%=+/:".contains(&byte);
    (!cursor.is_empty() && cursor.bytes().all(plain)).then(|| cursor.to_owned())
}

/// One move of a branch.
#[derive(Deserialize)]
struct MoveWire {
    before: String,
    after: String,
    timestamp: Timestamp,
    activity_type: String,
    actor: Option<UserWire>,
}

/// The moves that led to a head, followed from the newest to the oldest.
struct Row<'p> {
    head: &'p CommitSha,
    merged_at: Option<Timestamp>,
    pushers: BTreeSet<String>,
    at: At,
}

enum At {
    /// Before the move that made the head: what came later is none of the pull request's.
    After,
    /// The next older move must lead to this commit.
    Commit(String),
    /// The branch was made at this commit. It may have been removed there and restored,
    /// and who restores does not answer for what others had pushed.
    Creation(String),
}

impl<'p> Row<'p> {
    fn to(head: &'p CommitSha, merged_at: Option<Timestamp>) -> Self {
        Self {
            head,
            merged_at,
            pushers: BTreeSet::new(),
            at: At::After,
        }
    }

    /// Takes the next older move. Says who it was once there is nothing more to follow.
    fn follow(&mut self, wire: MoveWire) -> Option<Pushers> {
        let removes = wire.activity_type == "branch_deletion";
        match &self.at {
            At::After => {
                let later = self.merged_at.is_some_and(|at| wire.timestamp > at);
                if later || removes || wire.after != self.head.as_str() {
                    return None;
                }
            }
            At::Commit(commit) => {
                if removes || wire.after != *commit {
                    return Some(Pushers::Unknown);
                }
            }
            At::Creation(commit) => {
                if !removes || wire.before != *commit {
                    return Some(Pushers::Known(std::mem::take(&mut self.pushers)));
                }
                self.at = At::Commit(wire.before);
                return None;
            }
        }
        let Some(actor) = wire.actor else {
            return Some(Pushers::Unknown);
        };
        self.pushers.insert(actor.login.to_lowercase());
        self.at = if wire.activity_type == "branch_creation" {
            At::Creation(wire.after)
        } else {
            At::Commit(wire.before)
        };
        None
    }

    /// There are no older moves.
    fn end(self) -> Pushers {
        match self.at {
            At::Creation(_) => Pushers::Known(self.pushers),
            At::After | At::Commit(_) => Pushers::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
