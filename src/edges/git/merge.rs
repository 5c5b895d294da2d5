//! What a merge would give, without making it: its objects live in memory only.

use std::collections::BTreeSet;

use git2::{Commit, ErrorCode, Index, MergeOptions, Oid, Repository};

use super::error::GitError;
use super::gather::readable_path;
use super::{SnapshotRead, read};
use crate::name::CommitSha;
use crate::snapshot::Snapshot;

/// Above every backend on disk, so that whatever is written goes to memory.
const FIRST: i32 = 1000;

/// Files that a rename may have come from or gone to. libgit2's 200 is little for a
/// repository of small files that are moved in folders.
const RENAME_CANDIDATES: u32 = 1000;

/// Reads one commit as both sides.
pub(super) fn one_side(
    repository: &Repository,
    commit: &CommitSha,
) -> Result<SnapshotRead, GitError> {
    let found = find(repository, commit)?;
    let tree = read::tree(repository, found.tree_id())?;
    Ok(SnapshotRead::Snapshot(Snapshot {
        base: tree,
        proposed: None,
        base_commit: Some(commit.clone()),
    }))
}

/// Reads `base`, and what merging `head` into it would give.
pub(super) fn both_sides(
    repository: &Repository,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<SnapshotRead, GitError> {
    let (into, from) = (find(repository, base)?, find(repository, head)?);
    let merged = match merged_tree(repository, &into, &from, base, head)? {
        Merged::Clean(tree) => tree,
        Merged::Conflict(files) => return Ok(SnapshotRead::Conflict { files }),
    };
    let base_tree = read::tree(repository, into.tree_id())?;
    let proposed = if merged == into.tree_id() {
        base_tree.clone()
    } else {
        read::tree(repository, merged)?
    };
    Ok(SnapshotRead::Snapshot(Snapshot {
        base: base_tree,
        proposed: Some(proposed),
        base_commit: Some(base.clone()),
    }))
}

enum Merged {
    Clean(Oid),
    Conflict(Vec<String>),
}

fn merged_tree(
    repository: &Repository,
    into: &Commit<'_>,
    from: &Commit<'_>,
    base: &CommitSha,
    head: &CommitSha,
) -> Result<Merged, GitError> {
    let corrupt = || GitError::corrupt(format!("merging {head} into {base}"));
    let ancestor = match repository.merge_base(into.id(), from.id()) {
        Ok(ancestor) => ancestor,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(GitError::Unrelated {
                base: base.clone(),
                head: head.clone(),
            });
        }
        Err(error) => return Err(corrupt()(error)),
    };
    if ancestor == from.id() {
        return Ok(Merged::Clean(into.tree_id()));
    }
    if ancestor == into.id() {
        return Ok(Merged::Clean(from.tree_id()));
    }

    let odb = repository.odb().map_err(corrupt())?;
    odb.add_new_mempack_backend(FIRST).map_err(corrupt())?;
    let mut options = MergeOptions::new();
    options.find_renames(true).target_limit(RENAME_CANDIDATES);
    let mut index = repository
        .merge_commits(into, from, Some(&options))
        .map_err(corrupt())?;
    if index.has_conflicts() {
        return conflicts(&index).map(Merged::Conflict).map_err(corrupt());
    }
    let tree = index.write_tree_to(repository).map_err(corrupt())?;
    Ok(Merged::Clean(tree))
}

fn conflicts(index: &Index) -> Result<Vec<String>, git2::Error> {
    let mut files = BTreeSet::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        for side in [conflict.our, conflict.their, conflict.ancestor] {
            files.extend(side.map(|entry| readable_path(&entry.path)));
        }
    }
    Ok(files.into_iter().collect())
}

fn find<'repo>(
    repository: &'repo Repository,
    commit: &CommitSha,
) -> Result<Commit<'repo>, GitError> {
    let corrupt = || GitError::corrupt(format!("looking for commit {commit}"));
    let oid = Oid::from_str(commit.as_str()).map_err(corrupt())?;
    match repository.find_commit(oid) {
        Ok(found) => Ok(found),
        Err(error) if error.code() == ErrorCode::NotFound => {
            Err(GitError::MissingCommit(commit.clone()))
        }
        Err(error) => Err(corrupt()(error)),
    }
}
