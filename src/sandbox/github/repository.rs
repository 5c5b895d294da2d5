//! The bare git repository behind the simulated GitHub: commits, merges and refs, made by libgit2.
//!
//! Nothing here reads a clock, so the same story gives the same object ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use git2::{
    Commit, DiffFindOptions, FileMode, Index, IndexEntry, IndexTime, Oid, Patch, Signature, Time,
};

/// The default branch.
pub(super) const MAIN: &str = "main";

/// One edit to the tree of a branch.
#[derive(Debug, Clone)]
pub enum Change {
    Write {
        path: String,
        text: String,
    },
    Remove {
        path: String,
    },
    /// A symbolic link, which the web editor can not make but a push can.
    Symlink {
        path: String,
        target: String,
    },
}

impl Change {
    pub fn write(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Write {
            path: path.into(),
            text: text.into(),
        }
    }

    pub fn remove(path: impl Into<String>) -> Self {
        Self::Remove { path: path.into() }
    }

    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self::Symlink {
            path: path.into(),
            target: target.into(),
        }
    }
}

/// Who a commit is by.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) login: String,
    pub(super) id: u64,
}

impl Person {
    pub(super) fn email(&self) -> String {
        format!("{}+{}@users.noreply.github.com", self.id, self.login)
    }

    fn signature(&self, at: i64) -> Result<Signature<'static>, git2::Error> {
        Signature::new(&self.login, &self.email(), &Time::new(at, 0))
    }
}

/// One changed file between two commits.
#[derive(Debug)]
pub(super) struct ChangedFile {
    pub(super) path: String,
    pub(super) previous: Option<String>,
    pub(super) status: &'static str,
    pub(super) blob: String,
    pub(super) additions: usize,
    pub(super) deletions: usize,
    /// From the first `@@` on; none for a binary file.
    pub(super) patch: Option<String>,
}

/// A commit as listings show it.
#[derive(Debug)]
pub(super) struct CommitInfo {
    pub(super) sha: String,
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) author: String,
    pub(super) email: String,
    pub(super) message: String,
    pub(super) at: i64,
}

/// One handle for all that is quick: opening one reads a dozen files. Whoever packs opens its
/// own, and holds up nobody.
#[derive(Clone)]
pub(super) struct Repository {
    path: PathBuf,
    handle: Arc<Mutex<git2::Repository>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Repository").field(&self.path).finish()
    }
}

impl Repository {
    /// Makes the bare repository with one commit on the default branch.
    pub(super) fn create(
        path: PathBuf,
        files: BTreeMap<String, Vec<u8>>,
        by: &Person,
        at: i64,
    ) -> anyhow::Result<Self> {
        let repo = git2::Repository::init_bare(&path)
            .with_context(|| format!("making a bare repository at {}", path.display()))?;
        repo.set_head(&format!("refs/heads/{MAIN}"))?;
        let mut index = Index::new()?;
        for (path, content) in &files {
            index.add(&entry(path, FileMode::Blob, repo.blob(content)?))?;
        }
        let tree = repo.find_tree(index.write_tree_to(&repo)?)?;
        let signature = by.signature(at)?;
        let main = format!("refs/heads/{MAIN}");
        repo.commit(
            Some(&main),
            &signature,
            &signature,
            "Initial commit",
            &tree,
            &[],
        )?;
        drop(tree);
        Ok(Self {
            path,
            handle: Arc::new(Mutex::new(repo)),
        })
    }

    /// Not to be taken by who holds it already.
    fn handle(&self) -> MutexGuard<'_, git2::Repository> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self) -> Result<git2::Repository, git2::Error> {
        git2::Repository::open_bare(&self.path)
    }

    /// Commits `changes` on top of `parent`, without moving any ref.
    pub(super) fn commit(
        &self,
        parent: &str,
        changes: &[Change],
        message: &str,
        by: &Person,
        at: i64,
    ) -> anyhow::Result<String> {
        let repo = self.handle();
        let parent = repo.find_commit(Oid::from_str(parent)?)?;
        let mut index = Index::new()?;
        index.read_tree(&parent.tree()?)?;
        for change in changes {
            match change {
                Change::Write { path, text } => {
                    let blob = repo.blob(text.as_bytes())?;
                    index.add(&entry(path, FileMode::Blob, blob))?;
                }
                Change::Symlink { path, target } => {
                    let blob = repo.blob(target.as_bytes())?;
                    index.add(&entry(path, FileMode::Link, blob))?;
                }
                Change::Remove { path } => {
                    index
                        .remove(Path::new(path), 0)
                        .with_context(|| format!("there is no {path} to remove"))?;
                }
            }
        }
        let tree = repo.find_tree(index.write_tree_to(&repo)?)?;
        let signature = by.signature(at)?;
        let made = repo.commit(None, &signature, &signature, message, &tree, &[&parent])?;
        Ok(made.to_string())
    }

    /// A true merge commit of `head` into `base`; none on a conflict. Moves no ref.
    pub(super) fn merge(
        &self,
        base: &str,
        head: &str,
        message: &str,
        by: &Person,
        at: i64,
    ) -> anyhow::Result<Option<String>> {
        let repo = self.handle();
        let base = repo.find_commit(Oid::from_str(base)?)?;
        let head = repo.find_commit(Oid::from_str(head)?)?;
        let mut index = repo.merge_commits(&base, &head, None)?;
        if index.has_conflicts() {
            return Ok(None);
        }
        let tree = repo.find_tree(index.write_tree_to(&repo)?)?;
        let signature = by.signature(at)?;
        let made = repo.commit(
            None,
            &signature,
            &signature,
            message,
            &tree,
            &[&base, &head],
        )?;
        Ok(Some(made.to_string()))
    }

    /// Points a ref at a commit, or removes it.
    pub(super) fn set_ref(&self, name: &str, sha: Option<&str>) -> anyhow::Result<()> {
        let repo = self.handle();
        match sha {
            Some(sha) => {
                repo.reference(name, Oid::from_str(sha)?, true, "")?;
            }
            None => match repo.find_reference(name) {
                Ok(mut reference) => reference.delete()?,
                Err(error) if error.code() == git2::ErrorCode::NotFound => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(())
    }

    /// All refs by name, without HEAD.
    pub(super) fn refs(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let repo = self.handle();
        let mut refs = BTreeMap::new();
        for reference in repo.references()? {
            let reference = reference?;
            if let Some(target) = reference.target() {
                refs.insert(reference.name()?.to_owned(), target.to_string());
            }
        }
        Ok(refs)
    }

    pub(super) fn branch(&self, name: &str) -> Option<String> {
        let repo = self.handle();
        let head = repo.refname_to_id(&format!("refs/heads/{name}")).ok()?;
        Some(head.to_string())
    }

    /// The commit that a full id or a branch name means.
    pub(super) fn resolve(&self, reference: &str) -> Option<String> {
        if reference.len() == 40
            && let Ok(id) = Oid::from_str(reference)
        {
            return self
                .handle()
                .find_commit(id)
                .ok()
                .map(|found| found.id().to_string());
        }
        self.branch(reference)
    }

    /// The content of a file on a branch or at a commit.
    pub(super) fn file(&self, reference: &str, path: &str) -> Option<String> {
        let commit = self.resolve(reference)?;
        let repo = self.handle();
        let commit = repo.find_commit(Oid::from_str(&commit).ok()?).ok()?;
        let found = commit.tree().ok()?.get_path(Path::new(path)).ok()?;
        let blob = repo.find_blob(found.id()).ok()?;
        String::from_utf8(blob.content().to_vec()).ok()
    }

    /// The paths of all files on a branch or at a commit, in order.
    pub(super) fn paths(&self, reference: &str) -> anyhow::Result<Vec<String>> {
        let commit = self.resolve(reference).context("no such branch")?;
        let repo = self.handle();
        let mut index = Index::new()?;
        index.read_tree(&repo.find_commit(Oid::from_str(&commit)?)?.tree()?)?;
        let path = |entry: IndexEntry| String::from_utf8_lossy(&entry.path).into_owned();
        Ok(index.iter().map(path).collect())
    }

    /// The commit where `head` left `base`.
    pub(super) fn fork_point(&self, base: &str, head: &str) -> anyhow::Result<String> {
        let left = self
            .handle()
            .merge_base(Oid::from_str(base)?, Oid::from_str(head)?)?;
        Ok(left.to_string())
    }

    /// Whether `ancestor` is `descendant` or in its history.
    pub(super) fn contains(&self, descendant: &str, ancestor: &str) -> bool {
        let known = || -> Result<bool, git2::Error> {
            let (below, above) = (Oid::from_str(descendant)?, Oid::from_str(ancestor)?);
            Ok(below == above || self.handle().graph_descendant_of(below, above)?)
        };
        known().unwrap_or(false)
    }

    pub(super) fn info(&self, sha: &str) -> anyhow::Result<CommitInfo> {
        let repo = self.handle();
        Ok(info(&repo.find_commit(Oid::from_str(sha)?)?))
    }

    /// The commits of `head` that `base` lacks, oldest first.
    pub(super) fn commits(&self, base: &str, head: &str) -> anyhow::Result<Vec<CommitInfo>> {
        let repo = self.handle();
        let mut walk = repo.revwalk()?;
        walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::REVERSE)?;
        walk.push(Oid::from_str(head)?)?;
        walk.hide(Oid::from_str(base)?)?;
        let mut commits = Vec::new();
        for id in walk {
            commits.push(info(&repo.find_commit(id?)?));
        }
        Ok(commits)
    }

    /// What `head` changed since it left `base`, as the Files tab shows it.
    pub(super) fn changed_files(&self, base: &str, head: &str) -> anyhow::Result<Vec<ChangedFile>> {
        let repo = self.handle();
        let (base, head) = (Oid::from_str(base)?, Oid::from_str(head)?);
        let fork_point = repo.find_commit(repo.merge_base(base, head)?)?.tree()?;
        let proposed = repo.find_commit(head)?.tree()?;
        let mut diff = repo.diff_tree_to_tree(Some(&fork_point), Some(&proposed), None)?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true)))?;
        let mut files = Vec::new();
        for (number, delta) in diff.deltas().enumerate() {
            let path = |file: &git2::DiffFile<'_>| {
                let path = file.path_bytes().unwrap_or_default();
                String::from_utf8_lossy(path).into_owned()
            };
            let (old, new) = (delta.old_file(), delta.new_file());
            let (status, shown, previous) = match delta.status() {
                git2::Delta::Added => ("added", &new, None),
                git2::Delta::Deleted => ("removed", &old, None),
                git2::Delta::Renamed => ("renamed", &new, Some(path(&old))),
                _ => ("modified", &new, None),
            };
            let (mut additions, mut deletions, mut text) = (0, 0, None);
            if let Some(mut patch) = Patch::from_diff(&diff, number)? {
                (_, additions, deletions) = patch.line_stats()?;
                let printed = patch.to_buf()?;
                let printed = String::from_utf8_lossy(&printed).into_owned();
                text = printed
                    .split_once("\n@@")
                    .map(|(_, hunks)| format!("@@{}", hunks.trim_end()));
            }
            files.push(ChangedFile {
                path: path(shown),
                previous,
                status,
                blob: shown.id().to_string(),
                additions,
                deletions,
                patch: text,
            });
        }
        Ok(files)
    }
}

fn info(commit: &Commit<'_>) -> CommitInfo {
    let author = commit.author();
    CommitInfo {
        sha: commit.id().to_string(),
        tree: commit.tree_id().to_string(),
        parents: commit.parent_ids().map(|id| id.to_string()).collect(),
        author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        at: commit.time().seconds(),
    }
}

fn entry(path: &str, mode: FileMode, id: Oid) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode: u32::from(mode),
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    }
}
