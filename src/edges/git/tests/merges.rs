//! Merges, and plans made at home.

use super::*;

fn both(read: SnapshotRead) -> Snapshot {
    match read {
        SnapshotRead::Snapshot(snapshot) => snapshot,
        SnapshotRead::Conflict { files } => panic!("conflict in {files:?}"),
    }
}

const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

#[tokio::test]
async fn a_clean_merge_is_read_and_written_nowhere() {
    let world = World::new();
    let changed_below = LINES.replace('9', "nine");
    let changed_above = LINES.replace('1', "one");
    let root = world.commit(MAIN, &[], &[("pipelines/x", LINES), ("policies/z", "1")]);
    let base = world.commit(
        MAIN,
        &[&root],
        &[
            ("pipelines/new", "n"),
            ("pipelines/x", &changed_below),
            ("policies/z", "1"),
        ],
    );
    // Head renames the file that base has changed since.
    let head = world.commit(
        HEAD,
        &[&root],
        &[("pipelines/team/x", &changed_above), ("policies/z", "1")],
    );
    world.fetch(&[MAIN, HEAD]).await.unwrap();
    let before = files_below(&world.folder().join("objects"));
    let snapshot = both(world.merge(&base, &head).await.unwrap());
    assert_eq!(files_below(&world.folder().join("objects")), before);

    assert_eq!(snapshot.base_commit, Some(base));
    assert_eq!(
        shown(&snapshot.base),
        [
            ("pipelines/new", "n"),
            ("pipelines/x", &changed_below),
            ("policies/z", "1")
        ]
    );
    let merged = changed_above.replace('9', "nine");
    assert_eq!(
        shown(snapshot.tree()),
        [
            ("pipelines/new", "n"),
            ("pipelines/team/x", &merged),
            ("policies/z", "1")
        ]
    );
}

#[tokio::test]
async fn a_conflict_anywhere_names_its_files() {
    let world = World::new();
    let root = world.commit(
        MAIN,
        &[],
        &[("README", "1"), ("pipelines/x", "1"), ("y", "1")],
    );
    let base = world.commit(
        MAIN,
        &[&root],
        &[("README", "2"), ("pipelines/x", "1"), ("y", "1")],
    );
    let head = world.commit(HEAD, &[&root], &[("README", "3"), ("pipelines/x", "2")]);
    world.fetch(&[MAIN, HEAD]).await.unwrap();
    let files = vec!["README".to_owned()];
    assert_eq!(
        world.merge(&base, &head).await.unwrap(),
        SnapshotRead::Conflict { files }
    );
}

#[tokio::test]
async fn without_two_lines_there_is_nothing_to_merge() {
    let world = World::new();
    let root = world.commit(MAIN, &[], &[("pipelines/x", "1")]);
    let ahead = world.commit(MAIN, &[&root], &[("pipelines/x", "2")]);
    world.fetch(&[MAIN]).await.unwrap();

    let forward = both(world.merge(&root, &ahead).await.unwrap());
    assert_eq!(shown(&forward.base), [("pipelines/x", "1")]);
    assert_eq!(shown(forward.tree()), [("pipelines/x", "2")]);

    let merged_already = both(world.merge(&ahead, &root).await.unwrap());
    assert_eq!(shown(&merged_already.base), [("pipelines/x", "2")]);
    assert_eq!(merged_already.tree(), &merged_already.base);

    let stranger = world.commit(HEAD, &[], &[("pipelines/y", "1")]);
    world.fetch(&[HEAD]).await.unwrap();
    let error = world.merge(&ahead, &stranger).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{ahead} and {stranger} have no common ancestor")
    );
}

/// Two merge bases, each way of merging them right: the case for merging recursively.
#[tokio::test]
async fn criss_cross_histories_merge_without_a_trace() {
    let world = World::new();
    let root = world.commit(MAIN, &[], &[("pipelines/x", LINES)]);
    let (one, nine) = (LINES.replace('1', "one"), LINES.replace('9', "nine"));
    let (left, right) = (
        world.commit(MAIN, &[&root], &[("pipelines/x", &one)]),
        world.commit(HEAD, &[&root], &[("pipelines/x", &nine)]),
    );
    // What the two have in common as merged, is nobody's commit.
    let both_changes = one.replace('9', "nine");
    let with_two = both_changes.replace('2', "two");
    let with_six = both_changes.replace('6', "six");
    let base = world.commit(MAIN, &[&left, &right], &[("pipelines/x", &with_two)]);
    let head = world.commit(HEAD, &[&right, &left], &[("pipelines/x", &with_six)]);
    world.fetch(&[MAIN, HEAD]).await.unwrap();
    let before = files_below(&world.folder().join("objects"));
    let snapshot = both(world.merge(&base, &head).await.unwrap());
    let merged = with_two.replace('6', "six");
    assert_eq!(shown(snapshot.tree()), [("pipelines/x", merged.as_str())]);
    assert_eq!(files_below(&world.folder().join("objects")), before);
}

#[test]
fn a_plan_at_home_takes_revisions_or_the_working_folder() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = local_snapshot(dir.path(), "main", None);
    assert!(matches!(elsewhere, Err(GitError::NoRepository(_))));

    let repository = Repository::init(dir.path()).unwrap();
    let root = tree(&repository, &[("pipelines/x", FILE, "1")]);
    let root = commit_tree(&repository, &[], root);
    repository
        .reference("refs/heads/base", oid(&root), true, "test")
        .unwrap();
    let next = tree(&repository, &[("pipelines/x", FILE, "2")]);
    let next = commit_tree(&repository, &[&root], next);
    std::fs::create_dir_all(dir.path().join("pipelines/deep")).unwrap();
    std::fs::write(dir.path().join("pipelines/x"), "3").unwrap();

    let at_head = both(local_snapshot(dir.path(), "base", Some(next.short())).unwrap());
    assert_eq!(shown(at_head.tree()), [("pipelines/x", "2")]);
    let here = dir.path().join("pipelines/deep");
    let on_disk = both(local_snapshot(&here, "base", None).unwrap());
    assert_eq!(shown(&on_disk.base), [("pipelines/x", "1")]);
    assert_eq!(shown(on_disk.tree()), [("pipelines/x", "3")]);
    assert_eq!(on_disk.base_commit, Some(root));

    let error = local_snapshot(dir.path(), "origin/main", None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`origin/main` is not a revision of this repository: run `git fetch origin main` and use `origin/main`"
    );
    let blob = local_snapshot(dir.path(), "base:pipelines/x", None);
    assert!(matches!(blob, Err(GitError::UnknownRevision { .. })));
}
