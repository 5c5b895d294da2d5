//! Bringing what is new at the remote into the mirror.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use git2::{AutotagOption, ErrorClass, ErrorCode, FetchOptions, Oid, Reference, Repository};
use reqwest::Url;
use reqwest::blocking::Client;
use secrecy::SecretString;

use super::commit_sha;
use super::error::GitError;
use super::http::{Endpoint, Session};
use super::listing::Listing;
use super::transport::{Exchange, Registered};
use crate::name::CommitSha;

/// Where a mirror's contents come from.
#[derive(Debug)]
pub(super) enum Remote {
    Http {
        endpoint: Endpoint,
        /// Made at the first fetch, which is where blocking is allowed.
        client: OnceLock<Client>,
    },
    Folder(PathBuf),
}

impl Remote {
    pub(super) fn parse(remote: &str) -> Result<Self, GitError> {
        if !remote.contains("://") {
            return Ok(Self::Folder(PathBuf::from(remote)));
        }
        let url = Url::parse(remote).map_err(|_| GitError::BadRemote("it is not a URL"))?;
        match url.scheme() {
            "https" | "http" => Ok(Self::Http {
                endpoint: Endpoint::new(url)?,
                client: OnceLock::new(),
            }),
            "file" => match url.to_file_path() {
                Ok(path) => Ok(Self::Folder(path)),
                Err(()) => Err(GitError::BadRemote("its file:// URL is not a path here")),
            },
            _ => Err(GitError::BadRemote(
                "it is neither https:// nor file:// nor a path",
            )),
        }
    }
}

/// Fetches `refs` and says where they point.
pub(super) fn fetch(
    repository: &Repository,
    remote: &Remote,
    refs: &[String],
    token: Option<SecretString>,
) -> Result<BTreeMap<String, CommitSha>, GitError> {
    for name in refs {
        if !name.starts_with("refs/") || !Reference::is_valid_name(name) {
            return Err(GitError::BadRefName(name.clone()));
        }
    }
    if refs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tips = match remote {
        Remote::Folder(folder) => {
            let tips = tips_of_folder(folder, refs)?;
            let missing = missing_objects(repository, refs, &tips)?;
            if !missing.is_empty() {
                download_from_folder(repository, folder, &missing)?;
            }
            tips
        }
        Remote::Http { endpoint, client } => {
            let client = match client.get() {
                Some(client) => client.clone(),
                None => {
                    let made = endpoint.client()?;
                    client.get_or_init(|| made).clone()
                }
            };
            let session = Session::new(endpoint.clone(), client, token)?;
            let listing = Listing::ask(&session, refs)?;
            let missing = missing_objects(repository, refs, &listing.tips)?;
            if !missing.is_empty() {
                download_over_http(repository, session, &listing, &missing)?;
            }
            listing.tips
        }
    };
    tips.into_iter()
        .map(|(name, tip)| {
            point(repository, &name, tip)?;
            let commit = repository
                .find_object(tip, None)
                .and_then(|object| object.peel_to_commit())
                .map_err(|_| GitError::NotACommit { name: name.clone() })?;
            let commit = commit_sha(commit.id(), &name)?;
            Ok((name, commit))
        })
        .collect()
}

/// Which of `refs` point at something that is not here yet.
fn missing_objects(
    repository: &Repository,
    refs: &[String],
    tips: &BTreeMap<String, Oid>,
) -> Result<BTreeMap<String, Oid>, GitError> {
    if let Some(gone) = refs.iter().find(|name| !tips.contains_key(*name)) {
        if let Ok(mut reference) = repository.find_reference(gone) {
            // Kept, it would only offer the remote commits that it may no longer know.
            reference
                .delete()
                .map_err(GitError::corrupt(format!("forgetting {gone}")))?;
        }
        return Err(GitError::MissingRef(gone.clone()));
    }
    let odb = repository
        .odb()
        .map_err(GitError::corrupt("opening the mirror"))?;
    Ok(tips
        .iter()
        .filter(|(_, tip)| !odb.exists(**tip))
        .map(|(name, tip)| (name.clone(), *tip))
        .collect())
}

fn tips_of_folder(folder: &Path, refs: &[String]) -> Result<BTreeMap<String, Oid>, GitError> {
    let unreachable = |error: git2::Error| GitError::Unreachable {
        host: folder.display().to_string(),
        attempt: "asking for its refs".to_owned(),
        source: error.into(),
    };
    let remote = Repository::open(folder).map_err(unreachable)?;
    let mut tips = BTreeMap::new();
    for name in refs {
        match remote.refname_to_id(name) {
            Ok(tip) => {
                tips.insert(name.clone(), tip);
            }
            Err(error) if error.code() == ErrorCode::NotFound => {}
            Err(error) => return Err(unreachable(error)),
        }
    }
    Ok(tips)
}

/// Here libgit2 copies the objects of all refs of the remote, whichever it is asked for.
fn download_from_folder(
    repository: &Repository,
    folder: &Path,
    missing: &BTreeMap<String, Oid>,
) -> Result<(), GitError> {
    let url = folder
        .to_str()
        .ok_or(GitError::BadRemote("its path is not UTF-8"))?;
    download(repository, url, missing).map_err(GitError::corrupt(attempt(missing)))
}

fn download_over_http(
    repository: &Repository,
    session: Session,
    listing: &Listing,
    missing: &BTreeMap<String, Oid>,
) -> Result<(), GitError> {
    let advertisement = listing.advertisement(missing);
    let exchange = Exchange::new(session, advertisement, attempt(missing));
    let registered = Registered::new(exchange.clone());
    download(repository, &registered.url(), missing).map_err(|error| {
        if let Some(failure) = exchange.take_failure() {
            failure
        } else if error.class() == ErrorClass::Net {
            // What the server said amid the transfer; most likely the ref moved.
            GitError::Interrupted {
                host: exchange.host(),
                attempt: attempt(missing),
                source: error.into(),
            }
        } else {
            GitError::corrupt(attempt(missing))(error)
        }
    })
}

fn download(
    repository: &Repository,
    url: &str,
    missing: &BTreeMap<String, Oid>,
) -> Result<(), git2::Error> {
    let mut options = FetchOptions::new();
    options
        .download_tags(AutotagOption::None)
        .update_fetchhead(false);
    let names: Vec<&str> = missing.keys().map(String::as_str).collect();
    let mut remote = repository.remote_anonymous(url)?;
    remote.download(&names, Some(&mut options))
}

fn attempt(missing: &BTreeMap<String, Oid>) -> String {
    match missing.keys().next() {
        Some(name) if missing.len() == 1 => format!("fetching {name}"),
        Some(name) => format!("fetching {name} and {} more", missing.len() - 1),
        None => "fetching".to_owned(),
    }
}

/// Keeps the ref in the mirror as well, so that the next fetch can say what is here.
fn point(repository: &Repository, name: &str, tip: Oid) -> Result<(), GitError> {
    let corrupt = || GitError::corrupt(format!("keeping {name}"));
    if repository.refname_to_id(name).is_ok_and(|now| now == tip) {
        return Ok(());
    }
    if repository.reference(name, tip, true, "fetch").is_ok() {
        return Ok(());
    }
    // `a` and `a/b` can not both exist. As the remote has this one, it lost the other.
    let mut in_the_way: Vec<String> = Vec::new();
    let below = repository
        .references_glob(&format!("{name}/*"))
        .map_err(corrupt())?;
    for reference in below {
        let reference = reference.map_err(corrupt())?;
        in_the_way.extend(reference.name().ok().map(str::to_owned));
    }
    let above = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
    in_the_way.extend(above.map(str::to_owned));
    for name in in_the_way {
        if let Ok(mut reference) = repository.find_reference(&name) {
            reference.delete().map_err(corrupt())?;
        }
    }
    repository
        .reference(name, tip, true, "fetch")
        .map(drop)
        .map_err(corrupt())
}

/// Removes what a process that was killed left behind: with its lock in place, a ref could
/// never move again.
pub(super) fn remove_stale_locks(mirror: &Path) -> Result<(), GitError> {
    let mut folders = vec![mirror.join("refs")];
    let mut stale = vec![mirror.join("packed-refs.lock"), mirror.join("HEAD.lock")];
    while let Some(folder) = folders.pop() {
        let failed = |source| GitError::Folder {
            path: folder.clone(),
            attempt: "looking for locks that were left behind",
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "lock")
            {
                stale.push(path);
            }
        }
    }
    for path in stale {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(GitError::Folder {
                    path,
                    attempt: "removing a lock that was left behind",
                    source,
                });
            }
        }
    }
    Ok(())
}
