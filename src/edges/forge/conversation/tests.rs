//! Tests of comments, reactions and permissions, against the simulated GitHub.

use jiff::SignedDuration;

use super::*;
use crate::clock::Clock;
use crate::edges::forge::testing::github;

#[tokio::test]
async fn a_comment_says_who_wrote_it_and_whether_it_still_does() {
    let (github, forge, number, _directory) = github(&Clock::system()).await;
    let said = github.comment(number, "eve", "/plan").unwrap();
    let machine = github.comment(number, "helper[bot]", "/plan").unwrap();
    let comment = forge.comment(said).await.unwrap();
    assert_eq!((comment.id, comment.pull), (said, number));
    assert_eq!(
        (comment.author.as_str(), comment.body.as_str()),
        ("eve", "/plan")
    );
    assert_eq!(
        (comment.by, comment.edits),
        (AuthorKind::Person, Edits::Never)
    );
    let comment = forge.comment(machine).await.unwrap();
    assert_eq!(comment.by, AuthorKind::Bot);

    forge.react(said, Reaction::Eyes).await.unwrap();
    assert_eq!(forge.comment(said).await.unwrap().edits, Edits::Never);
    github.edit_comment(said, "mia", "/apply").unwrap();
    let comment = forge.comment(said).await.unwrap();
    assert_eq!(
        (comment.author.as_str(), comment.edits),
        ("eve", Edits::Edited)
    );

    github.delete_comment(said, "eve").unwrap();
    let gone = forge.comment(said).await.unwrap_err();
    assert!(matches!(gone, ForgeError::NotFound { .. }));
    let ids: Vec<u64> = forge
        .comments(number)
        .await
        .unwrap()
        .iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(ids, [machine]);
}

#[tokio::test]
async fn reactions_are_ours_and_given_once() {
    let (github, forge, number, _directory) = github(&Clock::system()).await;
    let id = github.comment(number, "ada", "/plan").unwrap();
    assert!(forge.our_reactions(id).await.unwrap().is_empty());
    for reaction in [
        Reaction::Eyes,
        Reaction::Eyes,
        Reaction::Rocket,
        Reaction::Confused,
    ] {
        forge.react(id, reaction).await.unwrap();
    }
    github.react(id, "eve", "heart").unwrap();
    let given = [Reaction::Eyes, Reaction::Rocket, Reaction::Confused];
    assert_eq!(forge.our_reactions(id).await.unwrap(), given.into());
    assert_eq!(github.comments(number)[0].reactions.len(), 4);

    let other = github.comment(number, "ada", "/plan").unwrap();
    github.react(other, "eve", "eyes").unwrap();
    assert!(forge.our_reactions(other).await.unwrap().is_empty());
}

#[tokio::test]
async fn permissions_are_folded_as_github_folds_them() {
    let (_github, forge, _, _directory) = github(&Clock::system()).await;
    for (login, expected) in [
        ("adm", Permission::Admin),
        ("mia", Permission::Write),
        ("ADA", Permission::Write),
        ("tom", Permission::Read),
        ("eve", Permission::None),
        ("nobody", Permission::None),
    ] {
        assert_eq!(forge.permission(login).await.unwrap(), expected, "{login}");
    }
}

#[tokio::test]
async fn comments_since_an_instant_are_found_once_each_over_several_pages() {
    let (github, forge, number, _directory) = github(&Clock::system()).await;
    let issue: serde_json::Value = forge
        .post(
            "open",
            &forge.path("/issues"),
            &serde_json::json!({"title": "An issue"}),
        )
        .await
        .unwrap();
    let issue = issue["number"].as_u64().unwrap();
    let mut wanted = Vec::new();
    for _ in 0..130 {
        wanted.push(github.comment(number, "ada", "x").unwrap());
    }
    let elsewhere = github.comment(issue, "ada", "x").unwrap();
    let (old, first) = (wanted.remove(0), wanted[0]);
    let since = forge.comment(first).await.unwrap().created_at;
    // A fraction of a second is not lost on the way down.
    let since = since + SignedDuration::from_millis(400);
    let ids = |found: Vec<Comment>| found.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(forge.comments_since(since).await.unwrap()), wanted);

    github.edit_comment(old, "mia", "y").unwrap();
    wanted.push(old);
    assert_eq!(ids(forge.comments_since(since).await.unwrap()), wanted);
    let stands_elsewhere = forge.comment(elsewhere).await.unwrap_err();
    assert!(matches!(stands_elsewhere, ForgeError::NotFound { .. }));
}

#[tokio::test]
async fn an_edit_between_two_pages_hides_no_comment() {
    let (github, forge, number, _directory) = github(&Clock::system()).await;
    let written: Vec<u64> = (0..130)
        .map(|_| github.comment(number, "ada", "x").unwrap())
        .collect();
    let (editor, first) = (github.clone(), written[0]);
    let mut pages = 0;
    github.wire().fail_with(move |_, uri| {
        pages += usize::from(uri.path().ends_with("/issues/comments"));
        if pages == 2 {
            editor.edit_comment(first, "ada", "y").unwrap();
        }
        None
    });
    let found = forge.comments_since(Timestamp::UNIX_EPOCH).await.unwrap();
    let mut ids: Vec<u64> = found.iter().map(|one| one.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, written);
    github.wire().heal();
}
