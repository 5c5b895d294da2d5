//! The cast: who is who on the stage, as the estate says.

use std::collections::BTreeSet;

use crate::estate::Estate;
use crate::name::{Owner, ProjectId};

use super::github::{Github, Permission};

/// Who is who: played by the story, and known to the simulated GitHub.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Writes pull requests, and owns nothing.
    pub author: String,
    /// Speaks for the project that the story is about.
    pub owner: String,
    pub project: ProjectId,
}

/// The organisation that the estate's teams belong to.
pub(super) fn organisation(estate: &Estate) -> String {
    all_owners(estate)
        .iter()
        .find_map(|owner| {
            owner
                .team()
                .map(|(organisation, _)| organisation.to_owned())
        })
        .unwrap_or_else(|| "acme".to_owned())
}

fn all_owners(estate: &Estate) -> BTreeSet<Owner> {
    estate
        .projects
        .values()
        .flat_map(|project| &project.owners)
        .chain(&estate.owners)
        .cloned()
        .collect()
}

/// One person for each team of the estate, one for each user, and a stranger who writes.
pub(super) fn people(github: &Github, estate: &Estate, project: ProjectId) -> Cast {
    let author = "nina".to_owned();
    github.add_user(&author, Permission::Write);
    for owner in all_owners(estate) {
        let login = person(&owner);
        github.add_user(&login, Permission::Write);
        if let Some((organisation, team)) = owner.team() {
            github.add_team(organisation, team, &[&login]);
        }
    }
    let owner = estate
        .consenting_owners(&project)
        .first()
        .map_or_else(|| author.clone(), person);
    Cast {
        author,
        owner,
        project,
    }
}

/// Who plays an owner: the user, or `lead-of-<team>`.
fn person(owner: &Owner) -> String {
    match owner.team() {
        Some((_, team)) => format!("lead-of-{team}"),
        None => owner.as_str().trim_start_matches('@').to_owned(),
    }
}
