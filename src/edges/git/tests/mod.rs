//! Against real repositories in temporary folders.

#[cfg(feature = "sandbox")]
mod http;
mod merges;

use std::path::Path;

use git2::{Index, IndexEntry, IndexTime, ObjectType, Oid, Repository, Signature};
use tempfile::TempDir;

use super::*;
use crate::snapshot::{Entry, Tree};

const FILE: u32 = 0o100644;
const LINK: u32 = 0o120000;
const MODULE: u32 = 0o160000;

/// A remote, and a mirror that has fetched nothing yet.
struct World {
    dir: TempDir,
    remote: Repository,
    mirror: Mirror,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let remote = Repository::init_bare(dir.path().join("remote.git")).unwrap();
        let url = dir.path().join("remote.git");
        let mirror = Mirror::open(&dir.path().join("mirror"), url.to_str().unwrap()).unwrap();
        Self {
            dir,
            remote,
            mirror,
        }
    }

    fn folder(&self) -> &Path {
        &self.mirror.inner.folder
    }

    /// Commits `files` and points `name` at the result, wherever it pointed before.
    fn commit(&self, name: &str, parents: &[&CommitSha], files: &[(&str, &str)]) -> CommitSha {
        let files: Vec<_> = files
            .iter()
            .map(|&(path, text)| (path, FILE, text))
            .collect();
        let tree = tree(&self.remote, &files);
        self.commit_tree(name, parents, tree)
    }

    fn commit_tree(&self, name: &str, parents: &[&CommitSha], tree: Oid) -> CommitSha {
        let commit = commit_tree(&self.remote, parents, tree);
        self.remote
            .reference(name, oid(&commit), true, "test")
            .unwrap();
        commit
    }

    async fn fetch(&self, refs: &[&str]) -> Result<Vec<CommitSha>, GitError> {
        let refs: Vec<String> = refs.iter().map(|&name| name.to_owned()).collect();
        let found = self.mirror.fetch(&refs, None).await?;
        assert_eq!(found.len(), refs.len());
        Ok(refs.iter().map(|name| found[name].clone()).collect())
    }

    /// What the mirror reads for the merge of two commits that it has fetched.
    async fn merge(&self, base: &CommitSha, head: &CommitSha) -> Result<SnapshotRead, GitError> {
        let (base, head) = (base.clone(), head.clone());
        self.mirror.snapshot(&Revisions::Merge { base, head }).await
    }

    async fn read(&self, commit: &CommitSha) -> Result<Tree, GitError> {
        let commit = commit.clone();
        match self.mirror.snapshot(&Revisions::Default { commit }).await? {
            SnapshotRead::Snapshot(Snapshot { base, proposed, .. }) => {
                assert_eq!(proposed, None);
                Ok(base)
            }
            SnapshotRead::Conflict { files } => panic!("conflict in {files:?}"),
        }
    }
}

fn oid(commit: &CommitSha) -> Oid {
    Oid::from_str(commit.as_str()).unwrap()
}

fn tree(repository: &Repository, files: &[(&str, u32, &str)]) -> Oid {
    let mut index = Index::new().unwrap();
    for &(path, mode, text) in files {
        let id = match mode {
            MODULE => Oid::from_str(text).unwrap(),
            _ => repository.blob(text.as_bytes()).unwrap(),
        };
        let zero = IndexTime::new(0, 0);
        let entry = IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        };
        index.add(&entry).unwrap();
    }
    index.write_tree_to(repository).unwrap()
}

fn commit_tree(repository: &Repository, parents: &[&CommitSha], tree: Oid) -> CommitSha {
    let by = Signature::new("t", "t@acme.example", &git2::Time::new(0, 0)).unwrap();
    let parents: Vec<_> = parents
        .iter()
        .map(|parent| repository.find_commit(oid(parent)).unwrap())
        .collect();
    let parents: Vec<_> = parents.iter().collect();
    let tree = repository.find_tree(tree).unwrap();
    let commit = repository.commit(None, &by, &by, "test", &tree, &parents);
    commit.unwrap().to_string().parse().unwrap()
}

/// The keys of a tree with the text of each file.
fn shown(tree: &Tree) -> Vec<(&str, &str)> {
    let entries = tree.entries.iter();
    entries
        .map(|(path, entry)| match entry {
            Entry::File(bytes) => (path.as_str(), std::str::from_utf8(bytes).unwrap()),
            Entry::TooLarge(_) => (path.as_str(), "too large"),
            Entry::Symlink => (path.as_str(), "symlink"),
            Entry::Submodule => (path.as_str(), "submodule"),
        })
        .collect()
}

fn files_below(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

const MAIN: &str = "refs/heads/main";
const HEAD: &str = "refs/pull/7/head";

#[tokio::test]
async fn a_fetch_brings_what_is_new_and_follows_the_remote() {
    let world = World::new();
    let first = world.commit(MAIN, &[], &[("pipelines/a/x.yaml", "1"), ("src/y", "no")]);
    assert_eq!(world.fetch(&[MAIN]).await.unwrap()[0], first);
    let read = world.read(&first).await.unwrap();
    assert_eq!(shown(&read), [("pipelines/a/x.yaml", "1")]);
    let unknown: CommitSha = "1".repeat(40).parse().unwrap();
    assert!(matches!(
        world.read(&unknown).await,
        Err(GitError::MissingCommit(sha)) if sha == unknown
    ));

    let second = world.commit(MAIN, &[&first], &[("policies/z", "3")]);
    let head = world.commit(HEAD, &[&first], &[("pipelines/a/x.yaml", "2")]);
    assert_eq!(
        world.fetch(&[MAIN, HEAD]).await.unwrap(),
        [second.clone(), head.clone()]
    );
    assert_eq!(
        shown(&world.read(&second).await.unwrap()),
        [("policies/z", "3")]
    );

    let forced = world.commit(MAIN, &[], &[("policies/z", "4")]);
    assert_eq!(world.fetch(&[MAIN]).await.unwrap()[0], forced);
    assert_eq!(
        shown(&world.read(&forced).await.unwrap()),
        [("policies/z", "4")]
    );
    let before = files_below(world.folder());
    world.fetch(&[MAIN, HEAD]).await.unwrap();
    assert_eq!(
        files_below(world.folder()),
        before,
        "nothing new, nothing written"
    );
}

#[tokio::test]
async fn a_deleted_ref_is_missing_and_makes_room() {
    let world = World::new();
    let commit = world.commit("refs/heads/a", &[], &[("policies/z", "3")]);
    world.fetch(&["refs/heads/a"]).await.unwrap();
    world
        .remote
        .find_reference("refs/heads/a")
        .unwrap()
        .delete()
        .unwrap();
    world.commit("refs/heads/a/b", &[&commit], &[("policies/z", "4")]);
    world.fetch(&["refs/heads/a/b"]).await.unwrap();
    assert!(matches!(
        world.fetch(&["refs/heads/a"]).await,
        Err(GitError::MissingRef(name)) if name == "refs/heads/a"
    ));
    world
        .remote
        .find_reference("refs/heads/a/b")
        .unwrap()
        .delete()
        .unwrap();
    world.commit("refs/heads/a", &[&commit], &[("policies/z", "5")]);
    world.fetch(&["refs/heads/a"]).await.unwrap();
    for name in [
        "main",
        "refs/heads/*",
        "refs/heads/a:refs/heads/b",
        "refs/heads/../x",
    ] {
        let fetched = world.fetch(&[name]).await;
        assert!(matches!(fetched, Err(GitError::BadRefName(_))), "{name}");
    }
}

#[tokio::test]
async fn a_mirror_outlives_its_process() {
    let world = World::new();
    let first = world.commit(MAIN, &[], &[("policies/z", "1")]);
    world.fetch(&[MAIN]).await.unwrap();
    std::fs::write(world.folder().join("refs/heads/main.lock"), "").unwrap();
    let second = world.commit(MAIN, &[&first], &[("policies/z", "2")]);
    assert!(world.fetch(&[MAIN]).await.is_err(), "the lock is held");

    let remote = format!("file://{}", world.dir.path().join("remote.git").display());
    let mirror = Mirror::open(world.folder(), &remote).unwrap();
    let found = mirror.fetch(&[MAIN.to_owned()], None).await.unwrap();
    assert_eq!(found[MAIN], second);
}

#[tokio::test]
async fn what_is_no_file_is_named_and_not_read() {
    let world = World::new();
    let big = "x".repeat(FILE_LIMIT as usize + 1);
    let fits = "x".repeat(FILE_LIMIT as usize);
    let files = [
        ("pipelines/big.yaml", FILE, big.as_str()),
        ("pipelines/fits.yaml", FILE, fits.as_str()),
        ("pipelines/link.yaml", LINK, "/etc/passwd"),
        ("pipelines/module", MODULE, &"1".repeat(40)),
        ("pipelines/run", 0o100755, "#!"),
        ("policies", LINK, "/etc"),
    ];
    let commit = world.commit_tree(MAIN, &[], tree(&world.remote, &files));
    world.fetch(&[MAIN]).await.unwrap();
    let read = world.read(&commit).await.unwrap();
    assert_eq!(
        shown(&read),
        [
            ("pipelines/big.yaml", "too large"),
            ("pipelines/fits.yaml", fits.as_str()),
            ("pipelines/link.yaml", "symlink"),
            ("pipelines/module", "submodule"),
            ("pipelines/run", "#!"),
            ("policies", "symlink"),
        ]
    );
    assert_eq!(
        read.entries["pipelines/big.yaml"],
        Entry::TooLarge(FILE_LIMIT + 1)
    );
}

#[tokio::test]
async fn code_owners_are_read_where_github_looks() {
    let world = World::new();
    let big = "x".repeat(FILE_LIMIT as usize + 1);
    let files = [
        (".github/CODEOWNERS", FILE, big.as_str()),
        (".github/other", FILE, "no"),
        ("CODEOWNERS", LINK, "elsewhere"),
        ("CODEOWNERS.md", FILE, "no"),
        ("docs/CODEOWNERS/x", FILE, "a folder is no file"),
        ("src/CODEOWNERS", FILE, "no"),
    ];
    let commit = world.commit_tree(MAIN, &[], tree(&world.remote, &files));
    world.fetch(&[MAIN]).await.unwrap();
    let read = world.read(&commit).await.unwrap();
    assert_eq!(
        shown(&read),
        [
            (".github/CODEOWNERS", big.as_str()),
            ("CODEOWNERS", "symlink")
        ]
    );

    let huge = "x".repeat(crate::command::codeowners::LIMIT);
    let files = [
        (".github", LINK, "docs"),
        ("docs/CODEOWNERS", FILE, huge.as_str()),
    ];
    let commit = world.commit_tree(MAIN, &[], tree(&world.remote, &files));
    world.fetch(&[MAIN]).await.unwrap();
    let read = world.read(&commit).await.unwrap();
    assert_eq!(shown(&read), [("docs/CODEOWNERS", "too large")]);

    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("docs/CODEOWNERS", "* @a"), ("CODEOWNERS/x", "no")] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let read = working_folder(folder.path()).unwrap();
    assert_eq!(shown(&read), [("docs/CODEOWNERS", "* @a")]);
}

/// Writes a tree that no Git client would, entry by entry.
fn raw_tree(repository: &Repository, entries: &[(&str, &[u8], Oid)]) -> Oid {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    let odb = repository.odb().unwrap();
    odb.write(ObjectType::Tree, &bytes).unwrap()
}

#[tokio::test]
async fn hostile_trees_do_no_harm() {
    let world = World::new();
    let remote = &world.remote;
    let blob = remote.blob(b"1").unwrap();
    let inner = raw_tree(
        remote,
        &[
            ("100644", b"..", blob),
            ("100644", b"a\xff\x1b", blob),
            ("100644", b"x/../y", blob),
        ],
    );
    let root = raw_tree(
        remote,
        &[("40000", b"pipelines", inner), ("40000", b"..", inner)],
    );
    let commit = world.commit_tree(MAIN, &[], root);
    world.fetch(&[MAIN]).await.unwrap();
    assert_eq!(
        shown(&world.read(&commit).await.unwrap()),
        [
            ("pipelines/\\.\\.", "1"),
            ("pipelines/a\\xff\\u{1b}", "1"),
            ("pipelines/x\\u{2f}..\\u{2f}y", "1"),
        ]
    );

    // Ten trees of ten make ten thousand million files.
    let mut bomb = raw_tree(remote, &[("100644", b"x", blob)]);
    for _ in 0..10 {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let entries: Vec<_> = names
            .iter()
            .map(|n| ("40000", n.as_bytes(), bomb))
            .collect();
        bomb = raw_tree(remote, &entries);
    }
    let twice = raw_tree(remote, &[("100644", b"x", blob), ("100644", b"x", blob)]);
    for (policies, message) in [
        (
            bomb,
            "pipelines/ and policies/ together hold more than 20000 files and folders",
        ),
        (twice, "the object store failed while reading a tree"),
    ] {
        let root = raw_tree(remote, &[("40000", b"policies", policies)]);
        let commit = world.commit_tree(MAIN, &[], root);
        world.fetch(&[MAIN]).await.unwrap();
        let error = world.read(&commit).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_working_folder_reads_as_git_would() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    assert!(working_folder(&root.join("absent")).is_err());
    assert_eq!(working_folder(root).unwrap(), Tree::default());
    std::fs::create_dir_all(root.join("pipelines/a/b")).unwrap();
    std::fs::create_dir_all(root.join("pipelines/module/.git")).unwrap();
    std::fs::write(root.join("pipelines/a/x.yaml"), "1").unwrap();
    std::fs::write(root.join("pipelines/big"), vec![0; FILE_LIMIT as usize + 1]).unwrap();
    std::fs::write(root.join("README.md"), "no").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("pipelines/link")).unwrap();
    std::os::unix::fs::symlink(root.join("pipelines"), root.join("policies")).unwrap();
    assert_eq!(
        shown(&working_folder(root).unwrap()),
        [
            ("pipelines/a/x.yaml", "1"),
            ("pipelines/big", "too large"),
            ("pipelines/link", "symlink"),
            ("pipelines/module", "submodule"),
            ("policies", "symlink"),
        ]
    );
}

#[test]
fn a_remote_is_not_a_place_for_credentials() {
    let dir = tempfile::tempdir().unwrap();
    for remote in [
        "https://x:hunter2@git.example/acme/data",
        "https://hunter2@git.example/acme/data",
        "https://git.example/acme/data?hunter2",
        "ssh://hunter2@git.example/acme/data",
    ] {
        let error = Mirror::open(dir.path(), remote).unwrap_err();
        assert!(matches!(error, GitError::BadRemote(_)));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
