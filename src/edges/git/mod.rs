//! The Git edge: a bare mirror of the one repository, and what is read from it.
//!
//! Files are read by object id from trees, the trees of merges that nobody made included.
//! Nothing is ever checked out, nothing from a pull request runs.

mod error;
mod fetch;
mod gather;
mod http;
mod listing;
mod local;
mod merge;
mod read;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{ErrorCode, Oid, Repository};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub use error::GitError;
pub use gather::{ENTRY_LIMIT, FILE_LIMIT, PATH_LIMIT, TOTAL_LIMIT};
pub use local::{local_snapshot, two_folders, working_folder};

use crate::name::CommitSha;
use crate::snapshot::{Revisions, Snapshot};
use fetch::Remote;

/// What reading both sides came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRead {
    Snapshot(Snapshot),
    /// Head does not merge into base: which files are in the way. Not an error; somebody
    /// has to resolve it.
    Conflict {
        files: Vec<String>,
    },
}

/// A bare mirror of one remote repository, made of what was fetched so far.
///
/// Clones are the same mirror. Its folder belongs to this process alone.
#[derive(Debug, Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    remote: Remote,
    /// Held during a fetch. Readers need no lock: objects are only ever added.
    fetching: Arc<Mutex<()>>,
}

impl Mirror {
    /// Opens the mirror of `remote` in `folder`, or makes it, without asking the remote.
    ///
    /// `remote` is the `https://` URL of a repository (`http://` is for loopback: no token
    /// is sent there otherwise), a `file://` URL or a path.
    ///
    /// # Errors
    /// If the remote is none of these or holds credentials, or the folder can not be used.
    pub fn open(folder: &Path, remote: &str) -> Result<Self, GitError> {
        transport::prepare()?;
        let remote = Remote::parse(remote)?;
        match Repository::open_bare(folder) {
            Ok(repository) => fetch::remove_stale_locks(repository.path())?,
            Err(error) if error.code() == ErrorCode::NotFound => {
                Repository::init_bare(folder).map_err(GitError::corrupt("making the mirror"))?;
            }
            Err(error) => return Err(GitError::corrupt("opening the mirror")(error)),
        }
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                remote,
                fetching: Arc::default(),
            }),
        })
    }

    /// Brings the objects of `refs` (full names, such as `refs/pull/7/head`) and says which
    /// commit each points at now. Only what is new is transferred.
    ///
    /// # Errors
    /// [`GitError::MissingRef`] for the first ref that the remote does not have; then
    /// nothing was fetched.
    pub async fn fetch(
        &self,
        refs: &[String],
        token: Option<SecretString>,
    ) -> Result<BTreeMap<String, CommitSha>, GitError> {
        // It goes along into the thread, which works on if the caller gives up.
        let alone = Arc::clone(&self.inner.fetching).lock_owned().await;
        let (inner, refs) = (Arc::clone(&self.inner), refs.to_vec());
        blocking("fetching", move || {
            let _alone = alone;
            let repository = inner.repository()?;
            fetch::fetch(&repository, &inner.remote, &refs, token)
        })
        .await
    }

    /// Reads both sides of `revisions`, whose commits must have been fetched.
    ///
    /// # Errors
    /// [`GitError::MissingCommit`] if they were not, [`GitError::Unrelated`] if they have
    /// no history in common, and others if there is more than can be read.
    pub async fn snapshot(&self, revisions: &Revisions) -> Result<SnapshotRead, GitError> {
        let (inner, revisions) = (Arc::clone(&self.inner), revisions.clone());
        blocking("reading files", move || {
            let repository = inner.repository()?;
            match &revisions {
                Revisions::Default { commit } => merge::one_side(&repository, commit),
                Revisions::Merge { base, head } => merge::both_sides(&repository, base, head),
            }
        })
        .await
    }
}

impl Inner {
    /// A handle of one's own: they are cheap and can not be shared between threads.
    fn repository(&self) -> Result<Repository, GitError> {
        Repository::open_bare(&self.folder).map_err(GitError::corrupt("opening the mirror"))
    }
}

async fn blocking<T: Send + 'static>(
    attempt: &'static str,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(GitError::Abandoned {
            attempt,
            source: error.into(),
        })
    })
}

fn commit_sha(oid: Oid, name: &str) -> Result<CommitSha, GitError> {
    oid.to_string().parse().map_err(|_| GitError::NotACommit {
        name: name.to_owned(),
    })
}
