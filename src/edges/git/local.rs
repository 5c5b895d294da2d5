//! A repository on a person's own machine: revisions by name, and files as they lie there.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, Repository};

use super::error::GitError;
use super::gather::{FILE_LIMIT, FOLDERS, Gatherer};
use super::{SnapshotRead, commit_sha, merge, transport};
use crate::command::codeowners::PLACES;
use crate::name::CommitSha;
use crate::snapshot::{Entry, Snapshot, Tree};

/// Reads the files under `pipelines/` and `policies/` of the folder `root`, and CODEOWNERS,
/// as they lie there, committed or not. Symlinks are not followed. What Git does not keep either
/// (sockets, devices) is passed over.
///
/// # Errors
/// If a file can not be read, or there is too much of them.
pub fn working_folder(root: &Path) -> Result<Tree, GitError> {
    // Without this, a folder that is not there would look like one without pipelines.
    fs::read_dir(root).map_err(|source| GitError::Folder {
        path: root.to_owned(),
        attempt: "listing it",
        source,
    })?;
    let mut gatherer = Gatherer::default();
    for folder in FOLDERS {
        gather(&mut gatherer, &root.join(folder), folder)?;
    }
    for place in PLACES {
        code_owners(&mut gatherer, &root.join(place), place)?;
    }
    Ok(gatherer.into_tree())
}

/// The same from two folders that need not lie beside each other.
///
/// # Errors
/// If a file can not be read, or there is too much of them.
pub fn two_folders(pipelines: &Path, policies: &Path) -> Result<Tree, GitError> {
    let mut gatherer = Gatherer::default();
    for (folder, place) in FOLDERS.into_iter().zip([pipelines, policies]) {
        gather(&mut gatherer, place, folder)?;
    }
    Ok(gatherer.into_tree())
}

/// Reads what lies at `place` as if it lay at `folder`.
fn gather(gatherer: &mut Gatherer, place: &Path, folder: &'static str) -> Result<(), GitError> {
    let mut waiting = vec![(place.to_owned(), None::<(String, Vec<u8>)>)];
    while let Some((place, inside)) = waiting.pop() {
        let failed = |attempt| {
            let path = place.clone();
            move |source| GitError::Folder {
                path,
                attempt,
                source,
            }
        };
        let metadata = match fs::symlink_metadata(&place) {
            Ok(metadata) => metadata,
            Err(error) if inside.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(failed("looking at it")(error)),
        };
        let path = match &inside {
            None => gatherer.enter_folder(folder)?,
            Some((parent, name)) => gatherer.enter(folder, parent, name)?,
        };
        let kind = metadata.file_type();
        let entry = if kind.is_symlink() {
            Entry::Symlink
        } else if kind.is_dir() {
            // The mark of another repository: for Git this is a submodule or nothing.
            if fs::symlink_metadata(place.join(".git")).is_ok() {
                Entry::Submodule
            } else {
                for child in fs::read_dir(&place).map_err(failed("listing it"))? {
                    let child = child.map_err(failed("listing it"))?;
                    let name = child.file_name().as_encoded_bytes().to_vec();
                    waiting.push((child.path(), Some((path.clone(), name))));
                }
                continue;
            }
        } else if kind.is_file() {
            file(gatherer, &place)?.map_err(failed("reading it"))?
        } else {
            continue;
        };
        // The names in a folder differ, so nothing can stand there already.
        let _ = gatherer.add(path, entry);
    }
    Ok(())
}

/// Reads the CODEOWNERS at `place`, if it is a file there.
fn code_owners(gatherer: &mut Gatherer, place: &Path, path: &str) -> Result<(), GitError> {
    let failed = |source| GitError::Folder {
        path: place.to_owned(),
        attempt: "reading it",
        source,
    };
    let is_folder = |folder: &Path| fs::symlink_metadata(folder).is_ok_and(|it| it.is_dir());
    if path.contains('/') && !place.parent().is_some_and(is_folder) {
        return Ok(());
    }
    let metadata = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed)?,
    };
    let entry = if metadata.is_symlink() {
        Entry::Symlink
    } else if !metadata.is_file() {
        return Ok(());
    } else if Gatherer::room_for_code_owners(metadata.len()) {
        Entry::File(fs::read(place).map_err(failed)?)
    } else {
        Entry::TooLarge(metadata.len())
    };
    // No other file has this path.
    let _ = gatherer.add(path.to_owned(), entry);
    Ok(())
}

/// Reads by what the file holds, not by what its metadata said a moment ago.
fn file(gatherer: &mut Gatherer, place: &Path) -> Result<std::io::Result<Entry>, GitError> {
    let mut bytes = Vec::new();
    let read = File::open(place).and_then(|file| {
        let size = file.metadata()?.len();
        file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(size.max(bytes.len() as u64))
    });
    Ok(match read {
        Err(error) => Err(error),
        Ok(size) if gatherer.room_for(size)? => Ok(Entry::File(bytes)),
        Ok(size) => Ok(Entry::TooLarge(size)),
    })
}

/// Both sides of a plan made at home: `base`, and the merge of `head` into it, or without
/// `head` the working folder just as it is.
///
/// The working folder is not merged with anything: where it is behind `base`, the plan
/// undoes what `base` did since.
///
/// # Errors
/// If `repository` is in no Git repository, or a revision is not known to it.
pub fn local_snapshot(
    repository: &Path,
    base: &str,
    head: Option<&str>,
) -> Result<SnapshotRead, GitError> {
    transport::prepare()?;
    let found = match Repository::discover(repository) {
        Ok(found) => found,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(GitError::NoRepository(repository.to_owned()));
        }
        Err(error) => return Err(GitError::corrupt("opening the repository")(error)),
    };
    let base = revision(&found, base)?;
    let Some(head) = head else {
        let root: PathBuf = found.workdir().ok_or(GitError::Bare)?.to_owned();
        return Ok(match merge::one_side(&found, &base)? {
            SnapshotRead::Snapshot(at_base) => SnapshotRead::Snapshot(Snapshot {
                proposed: Some(working_folder(&root)?),
                ..at_base
            }),
            conflict @ SnapshotRead::Conflict { .. } => conflict,
        });
    };
    let head = revision(&found, head)?;
    match merge::both_sides(&found, &base, &head) {
        Err(GitError::Unrelated { base, head }) if found.is_shallow() => {
            Err(GitError::Shallow { base, head })
        }
        other => other,
    }
}

fn revision(repository: &Repository, rev: &str) -> Result<CommitSha, GitError> {
    let commit = repository
        .revparse_single(rev)
        .and_then(|object| object.peel_to_commit());
    match commit {
        Ok(commit) => commit_sha(commit.id(), rev),
        // Not there, not one, or not a commit: for whoever wrote it, it is the same.
        Err(error)
            if matches!(
                error.code(),
                ErrorCode::NotFound
                    | ErrorCode::Ambiguous
                    | ErrorCode::InvalidSpec
                    | ErrorCode::Peel
            ) =>
        {
            Err(GitError::UnknownRevision {
                rev: rev.to_owned(),
                branch: rev.strip_prefix("origin/").unwrap_or(rev).to_owned(),
            })
        }
        Err(error) => Err(GitError::corrupt(format!("resolving `{rev}`"))(error)),
    }
}
