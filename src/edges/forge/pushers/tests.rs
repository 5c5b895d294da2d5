//! Tests of who pushed.

use serde_json::json;

use super::*;

/// Of moves from the newest to the oldest: who pushed what `head` is.
fn pushers(
    head: char,
    merged: Option<i64>,
    moves: &[(&str, char, char, i64, Option<&str>)],
) -> Pushers {
    let sha = |letter: char| letter.to_string().repeat(40);
    let head = sha(head).parse().unwrap();
    let merged = merged.map(|at| Timestamp::from_second(at).unwrap());
    let mut row = Row::to(&head, merged);
    for (kind, before, after, at, actor) in moves {
        let wire = json!({
            "activity_type": kind, "before": sha(*before), "after": sha(*after),
            "timestamp": Timestamp::from_second(*at).unwrap(),
            "actor": actor.map(|login| json!({"login": login})),
        });
        if let Some(ended) = row.follow(serde_json::from_value(wire).unwrap()) {
            return ended;
        }
    }
    row.end()
}

fn known(logins: &[&str]) -> Pushers {
    Pushers::Known(logins.iter().map(|login| (*login).to_owned()).collect())
}

#[test]
fn every_move_from_the_creation_to_the_head_counts() {
    let ada = Some("Ada");
    let made = ("branch_creation", '0', 'a', 1, ada);
    let alone = [("push", 'a', 'b', 2, ada), made];
    assert_eq!(pushers('b', None, &alone), known(&["ada"]));
    let forced = [("force_push", 'a', 'b', 2, Some("mallory")), made];
    assert_eq!(pushers('b', None, &forced), known(&["ada", "mallory"]));
    let taken_back = [
        ("force_push", 'b', 'c', 3, ada),
        ("pr_merge", 'a', 'b', 2, Some("mallory")),
        made,
    ];
    assert_eq!(pushers('c', None, &taken_back), known(&["ada", "mallory"]));
}

#[test]
fn what_leaves_a_gap_is_unknown() {
    let ada = Some("ada");
    let made = ("branch_creation", '0', 'a', 1, ada);
    assert_eq!(pushers('b', None, &[]), Pushers::Unknown);
    // The newest push is not listed yet.
    assert_eq!(pushers('b', None, &[made]), Pushers::Unknown);
    assert_eq!(
        pushers('c', None, &[("push", 'b', 'c', 3, ada), made]),
        Pushers::Unknown
    );
    // Older than what GitHub keeps.
    assert_eq!(
        pushers('b', None, &[("push", 'a', 'b', 2, ada)]),
        Pushers::Unknown
    );
    assert_eq!(
        pushers('b', None, &[("push", 'a', 'b', 2, None), made]),
        Pushers::Unknown
    );
}

#[test]
fn what_comes_after_the_merge_is_somebody_elses() {
    let (ada, bob) = (Some("ada"), Some("bob"));
    let life = [
        ("branch_creation", '0', 'b', 9, bob),
        ("branch_deletion", 'b', '0', 3, bob),
        ("push", 'a', 'b', 2, ada),
        ("branch_creation", '0', 'a', 1, ada),
    ];
    assert_eq!(pushers('b', Some(3), &life), known(&["ada"]));
}

#[test]
fn a_name_used_again_is_another_branch_but_a_restored_one_is_the_same() {
    let (ada, bob) = (Some("ada"), Some("bob"));
    let again = [
        ("branch_creation", '0', 'c', 9, ada),
        ("branch_deletion", 'b', '0', 3, ada),
        ("branch_creation", '0', 'b', 1, bob),
    ];
    assert_eq!(pushers('c', None, &again), known(&["ada"]));
    let restored = [
        ("branch_creation", '0', 'b', 9, ada),
        ("branch_deletion", 'b', '0', 3, ada),
        ("push", 'a', 'b', 2, bob),
        ("branch_creation", '0', 'a', 1, ada),
    ];
    assert_eq!(pushers('b', None, &restored), known(&["ada", "bob"]));
}

#[test]
fn a_cursor_is_all_that_is_taken_from_a_link() {
    let link = "<https://a.b/x?ref=r&before=1>; rel=\"prev\", \
                <https://a.b/x?ref=r&after=MTA%3D&per_page=100>; rel=\"next\"";
    assert_eq!(cursor(link).as_deref(), Some("MTA%3D"));
    assert_eq!(cursor("<https://a.b/x?after=1>; rel=\"prev\""), None);
    assert_eq!(cursor("<https://a.b/x?after=1 x>; rel=\"next\""), None);
    assert_eq!(cursor("rel=\"next\""), None);
}

#[cfg(feature = "sandbox")]
mod network {
    use super::*;
    use crate::clock::Clock;
    use crate::edges::forge::testing::github;
    use crate::sandbox::github::Change;

    #[tokio::test]
    async fn githubs_own_list_of_moves_is_followed_to_the_branchs_creation() {
        let (github, forge, number, _directory) = github(&Clock::system()).await;
        let pushers = async |number| {
            let pull = forge.pull_request(number).await.unwrap();
            forge.pushers(&pull).await.unwrap()
        };
        let known =
            |logins: &[&str]| Pushers::Known(logins.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(pushers(number).await, known(&["ada"]));
        for step in 0..120 {
            let change = [Change::write("a", format!("{step}"))];
            github.push(number, "ada", &change).unwrap();
        }
        assert_eq!(pushers(number).await, known(&["ada"]));
        github
            .force_push(number, "mia", &[Change::write("a", "c")])
            .unwrap();
        assert_eq!(pushers(number).await, known(&["ada", "mia"]));
        github.merge(number, "adm").unwrap();
        github.delete_branch("a/b", "adm").unwrap();
        assert_eq!(pushers(number).await, known(&["ada", "mia"]));

        let change = [Change::write("b", "b")];
        let fork = github
            .open_fork_pull_request("eve", "a", "Add b", &change)
            .unwrap();
        assert_eq!(pushers(fork).await, Pushers::Unknown);
    }
}
