//! A Git tree's files, by object id: nothing is checked out, no link is followed.

use git2::{ObjectType, Odb, Oid, Repository};

use super::error::GitError;
use super::gather::{FOLDERS, Gatherer};
use crate::command::codeowners::PLACES;
use crate::snapshot::{Entry, Tree};

const FORMAT: i32 = 0o170000;
const DIRECTORY: i32 = 0o040000;
const REGULAR: i32 = 0o100000;
const SYMLINK: i32 = 0o120000;
const SUBMODULE: i32 = 0o160000;

/// Reads what the tree `root` holds under the folders that concern us, and CODEOWNERS.
pub(super) fn tree(repository: &Repository, root: Oid) -> Result<Tree, GitError> {
    let corrupt = |error| GitError::corrupt("reading a tree")(error);
    let odb = repository.odb().map_err(corrupt)?;
    let mut gatherer = Gatherer::default();
    for folder in FOLDERS {
        let mut directories = vec![(root, None::<String>)];
        while let Some((oid, path)) = directories.pop() {
            let directory = repository.find_tree(oid).map_err(corrupt)?;
            for entry in &directory {
                let path = match &path {
                    // Looked for one by one: a search relies on an order that a tree made
                    // by hand need not have.
                    None if entry.name_bytes() != folder.as_bytes() => continue,
                    None => gatherer.enter_folder(folder)?,
                    Some(path) => gatherer.enter(folder, path, entry.name_bytes())?,
                };
                let found = match entry.filemode_raw() & FORMAT {
                    DIRECTORY => {
                        directories.push((entry.id(), Some(path)));
                        continue;
                    }
                    SYMLINK => Entry::Symlink,
                    SUBMODULE => Entry::Submodule,
                    REGULAR => {
                        let (size, kind) = odb.read_header(entry.id()).map_err(corrupt)?;
                        if kind != ObjectType::Blob {
                            return Err(malformed("a file that is not a blob"));
                        }
                        match gatherer.room_for(size as u64)? {
                            true => {
                                let blob = odb.read(entry.id()).map_err(corrupt)?;
                                Entry::File(blob.data().to_vec())
                            }
                            false => Entry::TooLarge(size as u64),
                        }
                    }
                    _ => return Err(malformed("an entry of no known kind")),
                };
                if !gatherer.add(path, found) {
                    return Err(malformed("a name that stands there twice"));
                }
            }
        }
    }
    for place in PLACES {
        code_owners(repository, &odb, root, place, &mut gatherer)?;
    }
    Ok(gatherer.into_tree())
}

/// Reads the file at `place`. A folder there, or a link on the way to it, is no file.
fn code_owners(
    repository: &Repository,
    odb: &Odb<'_>,
    root: Oid,
    place: &str,
    gatherer: &mut Gatherer,
) -> Result<(), GitError> {
    let corrupt = |error| GitError::corrupt("reading CODEOWNERS")(error);
    let (folder, name) = match place.split_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, place),
    };
    let mut within = repository.find_tree(root).map_err(corrupt)?;
    if let Some(folder) = folder {
        let found = within.iter().find(|entry| {
            entry.name_bytes() == folder.as_bytes() && entry.filemode_raw() & FORMAT == DIRECTORY
        });
        let Some(found) = found.map(|entry| entry.id()) else {
            return Ok(());
        };
        within = repository.find_tree(found).map_err(corrupt)?;
    }
    for entry in &within {
        if entry.name_bytes() != name.as_bytes() {
            continue;
        }
        let found = match entry.filemode_raw() & FORMAT {
            SYMLINK => Entry::Symlink,
            REGULAR => {
                let (size, _) = odb.read_header(entry.id()).map_err(corrupt)?;
                if Gatherer::room_for_code_owners(size as u64) {
                    let blob = odb.read(entry.id()).map_err(corrupt)?;
                    Entry::File(blob.data().to_vec())
                } else {
                    Entry::TooLarge(size as u64)
                }
            }
            _ => continue,
        };
        if !gatherer.add(place.to_owned(), found) {
            return Err(malformed("a name that stands there twice"));
        }
    }
    Ok(())
}

fn malformed(what: &'static str) -> GitError {
    GitError::Corrupt {
        attempt: "reading a tree".to_owned(),
        source: format!("it holds {what}").into(),
    }
}
