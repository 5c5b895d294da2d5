//! Who consented to what: standing approvals, the digests they saw, and who is in which team.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::digest::Shown;
use super::wire::encoded;
use super::{Forge, ForgeError, PullRequest, PullState, UserWire};
use crate::event::PullNumber;
use crate::name::{CommitSha, Owner};
use crate::plan::approval::{ApprovingReview, Digests, Memberships, Reviewed};

impl Forge {
    /// What GitHub holds about the review of a pull request, read now.
    ///
    /// # Errors
    /// If there is no such pull request, or GitHub does not answer.
    pub async fn reviewed(&self, number: PullNumber) -> Result<Reviewed, ForgeError> {
        let pull = self.pull_request(number).await?;
        let pushers = self.pushers(&pull).await?;
        let PullRequest {
            author,
            head,
            state,
            merged_at,
            ..
        } = pull;
        let attempt = format!("list reviews of #{number}");
        let path = self.path(&format!("/pulls/{number}/reviews"));
        let reviews: Vec<ReviewWire> = self.list(&attempt, &path).await?;
        let mut runs = BTreeMap::new();
        let given = standing(reviews);
        for commit in given.iter().map(|given| &given.commit).chain([&head]) {
            if !runs.contains_key(commit) {
                runs.insert(commit.clone(), self.shown_at(commit).await?);
            }
        }
        let digests = runs
            .get(&head)
            .and_then(|runs| runs.last())
            .map(|run| run.digests.clone())
            .unwrap_or_default();
        let approvals = given
            .into_iter()
            .map(|given| ApprovingReview {
                shown: runs
                    .get(&given.commit)
                    .and_then(|runs| seen_by(given.at, runs))
                    .unwrap_or_default(),
                login: given.login,
                commit: given.commit,
            })
            .collect();
        let merge_commit = match state {
            PullState::Merged { commit } => commit,
            PullState::Open | PullState::Closed => None,
        };
        Ok(Reviewed {
            number,
            author,
            pushers,
            head,
            merge_commit,
            merged_at,
            digests,
            approvals,
        })
    }

    /// Which of `logins` are active members of which of `teams`.
    ///
    /// Owners that are no team are skipped. So are teams of other organisations: GitHub
    /// gives a repository only to teams of its own, and the App can not look elsewhere.
    ///
    /// # Errors
    /// If the App may not read members, or GitHub does not answer.
    pub async fn memberships(
        &self,
        teams: &BTreeSet<Owner>,
        logins: &BTreeSet<String>,
    ) -> Result<Memberships, ForgeError> {
        let mut members = BTreeSet::new();
        let own = self.repository().owner();
        for owner in teams {
            let Some((org, team)) = owner.team() else {
                continue;
            };
            if !org.eq_ignore_ascii_case(own) {
                continue;
            }
            for login in logins {
                if self.is_member(org, team, login).await? {
                    members.insert((owner.clone(), login.to_lowercase()));
                }
            }
        }
        Ok(Memberships { members })
    }

    async fn is_member(&self, org: &str, team: &str, login: &str) -> Result<bool, ForgeError> {
        #[derive(Deserialize)]
        struct MembershipWire {
            state: String,
        }
        let attempt = format!("read the membership of {login} in @{org}/{team}");
        let path = format!(
            "/orgs/{}/teams/{}/memberships/{}",
            encoded(org),
            encoded(team),
            encoded(login)
        );
        match self.get::<MembershipWire>(&attempt, &path).await {
            // An invitation that nobody took yet is `pending`.
            Ok(membership) => Ok(membership.state == "active"),
            Err(ForgeError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct ReviewWire {
    user: Option<UserWire>,
    state: String,
    commit_id: Option<String>,
    submitted_at: Option<jiff::Timestamp>,
}

/// An approval that stands, and when it was given.
struct Given {
    login: String,
    commit: CommitSha,
    at: Option<jiff::Timestamp>,
}

/// What a reviewer had before them: the newest run that was finished by then. Who approved
/// before any run was finished gets the first one: it is the plan of the code they read.
fn seen_by(at: Option<jiff::Timestamp>, runs: &[Shown]) -> Option<Digests> {
    let finished =
        |run: &&Shown| matches!((run.completed_at, at), (Some(run), Some(at)) if run <= at);
    let seen = runs.iter().rfind(finished).or_else(|| runs.first())?;
    Some(seen.digests.clone())
}

/// The approvals that stand, of reviews in the order they were given.
///
/// A comment takes no consent back; a request for changes and a dismissal do. A person
/// whose approval names no commit is left out: nobody can tell what they saw.
fn standing(reviews: Vec<ReviewWire>) -> Vec<Given> {
    let mut last: BTreeMap<String, ReviewWire> = BTreeMap::new();
    for review in reviews {
        let decides = matches!(
            review.state.as_str(),
            "APPROVED" | "CHANGES_REQUESTED" | "DISMISSED"
        );
        if let (true, Some(user)) = (decides, &review.user) {
            last.insert(user.login.to_lowercase(), review);
        }
    }
    let approving = last.into_values().filter_map(|review| {
        let approved = review.state == "APPROVED";
        let commit = review.commit_id?.parse().ok()?;
        let login = review.user?.login;
        approved.then_some(Given {
            login,
            commit,
            at: review.submitted_at,
        })
    });
    approving.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn review(login: &str, state: &str, commit: impl Into<Value>) -> Value {
        json!({"user": {"login": login}, "state": state, "commit_id": commit.into()})
    }

    fn check(reviews: &[Value], expected: &[(&str, &str)]) {
        let wires = serde_json::from_value(json!(reviews)).unwrap();
        let found: Vec<_> = standing(wires)
            .into_iter()
            .map(|it| (it.login, it.commit.to_string()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(login, commit)| ((*login).to_owned(), (*commit).to_owned()))
            .collect();
        assert_eq!(found, expected, "{reviews:?}");
    }

    #[test]
    fn the_last_deciding_review_of_each_person_counts() {
        let approved = review("ada", "APPROVED", A);
        let commented = review("ada", "COMMENTED", B);
        let refused = review("Ada", "CHANGES_REQUESTED", B);
        let dismissed = review("ada", "DISMISSED", A);
        let pending = review("ada", "PENDING", B);
        check(&[approved.clone(), commented, pending], &[("ada", A)]);
        check(&[approved.clone(), refused.clone()], &[]);
        check(
            &[refused.clone(), review("ada", "APPROVED", B)],
            &[("ada", B)],
        );
        check(&[approved.clone(), dismissed], &[]);
        check(
            &[approved, refused, review("bob", "APPROVED", B)],
            &[("bob", B)],
        );
    }

    #[test]
    fn an_approval_of_nothing_or_by_nobody_is_none() {
        let first = review("ada", "APPROVED", A);
        check(&[first, review("ada", "APPROVED", Value::Null)], &[]);
        check(
            &[json!({"user": null, "state": "APPROVED", "commit_id": A})],
            &[],
        );
    }

    #[test]
    fn an_approval_counts_for_what_was_shown_when_it_was_given() {
        let time = |second: &str| format!("2026-01-02T03:04:{second}Z").parse().ok();
        let run = |second, c: &str| Shown {
            completed_at: time(second),
            digests: [("orders".parse().unwrap(), c.repeat(64).parse().unwrap())].into(),
        };
        let runs = [run("10", "a"), run("20", "b")];
        for (at, expected) in [("05", 0), ("10", 0), ("19", 0), ("20", 1), ("30", 1)] {
            let seen = seen_by(time(at), &runs).unwrap();
            assert_eq!(seen, runs[expected].digests, "{at}");
        }
        assert_eq!(seen_by(None, &runs).unwrap(), runs[0].digests);
        assert_eq!(seen_by(time("30"), &[]), None);
    }

    #[cfg(feature = "sandbox")]
    mod network {
        use axum::routing::get;
        use axum::{Json, Router};
        use http::StatusCode;

        use super::*;
        use crate::edges::forge::digest::digest_block;
        use crate::edges::forge::testing::{APP, REPO, forge};

        #[tokio::test]
        async fn digests_come_from_our_own_newest_finished_run() {
            let digest = |c: &str| c.repeat(64).parse().unwrap();
            let block = |c| digest_block(&[("orders".parse().unwrap(), digest(c))].into());
            let run = |id: u64, app: u64, status: &str, c| {
                json!({"id": id, "name": "pipewright", "status": status,
                       "app": {"id": app}, "output": {"text": block(c)}})
            };
            let runs = json!({"total_count": 4, "check_runs": [
                run(1, APP, "completed", "1"), run(5, APP, "in_progress", "5"),
                run(2, APP, "completed", "2"), run(9, APP + 1, "completed", "9"),
            ]});
            let pull = json!({
                "number": 3, "title": "t", "user": {"login": "eve"}, "state": "closed",
                "merged_at": "2026-01-02T03:04:05Z", "merge_commit_sha": B,
                "updated_at": "2026-01-02T03:04:05Z",
                "head": {"ref": "f", "sha": A, "repo": null},
                "base": {"ref": "main", "sha": B, "repo": null},
            });
            let reviews = json!([review("ada", "APPROVED", B)]);
            let (forge, _server) = forge(
                Router::new()
                    .route(&format!("{REPO}/pulls/3"), get(|| async { Json(pull) }))
                    .route(
                        &format!("{REPO}/pulls/3/reviews"),
                        get(|| async { Json(reviews) }),
                    )
                    .route(
                        &format!("{REPO}/commits/{A}/check-runs"),
                        get(|| async { Json(runs) }),
                    )
                    .route(
                        &format!("{REPO}/commits/{B}/check-runs"),
                        get(|| async { Json(json!({"total_count": 0, "check_runs": []})) }),
                    ),
            )
            .await;
            let reviewed = forge.reviewed(3).await.unwrap();
            let (a, b): (CommitSha, CommitSha) = (A.parse().unwrap(), B.parse().unwrap());
            assert_eq!(reviewed.merge_commit, Some(b.clone()));
            let shown = [("orders".parse().unwrap(), digest("2"))].into();
            assert_eq!(reviewed.digests, shown);
            assert_eq!((reviewed.author.as_str(), reviewed.head), ("eve", a));
            assert_eq!(reviewed.approvals.len(), 1);
        }

        #[tokio::test]
        async fn only_active_members_of_our_own_teams_count() {
            let state =
                |state: &'static str| get(move || async move { Json(json!({"state": state})) });
            let at = "/orgs/acme/teams/data/memberships";
            let (forge, server) = forge(
                Router::new()
                    .route(&format!("{at}/Ada"), state("active"))
                    .route(&format!("{at}/bob"), state("pending"))
                    .route(
                        "/orgs/acme/teams/sealed/memberships/Ada",
                        get(|| async { (StatusCode::FORBIDDEN, "no permission") }),
                    ),
            )
            .await;
            let teams = |names: &[&str]| names.iter().map(|n| n.parse().unwrap()).collect();
            let logins = ["Ada", "bob", "dependabot[bot]"].map(str::to_owned).into();
            let asked = teams(&["@acme/data", "@ada", "@other/data"]);
            let found = forge.memberships(&asked, &logins).await.unwrap();
            let ada = ("@acme/data".parse().unwrap(), "ada".to_owned());
            assert_eq!(found.members, [ada].into());
            assert!(
                !server
                    .wire()
                    .traffic()
                    .iter()
                    .any(|e| e.uri.contains("other"))
            );

            let sealed = forge.memberships(&teams(&["@acme/sealed"]), &logins).await;
            assert!(matches!(sealed, Err(ForgeError::Forbidden { .. })));
        }
    }
}
