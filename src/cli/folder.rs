//! Which files a path on the command line means.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::edges::git::two_folders;
use crate::pipeline;
use crate::policy;
use crate::snapshot::{Snapshot, Tree};

/// The tree to look at, and how a path in it is called on this machine.
pub struct Folder {
    pub tree: Tree,
    root: PathBuf,
    policies: PathBuf,
    /// Only this file was asked for, as the tree names it.
    pub only: Option<String>,
}

impl Folder {
    /// Reads the pipelines that `path` means, with the policies that belong to them.
    ///
    /// # Errors
    /// If there is no such path, or no policies: saying where they were looked for.
    pub fn read(path: &Path, policies: Option<&Path>) -> anyhow::Result<Self> {
        let path = path
            .canonicalize()
            .with_context(|| format!("there is no {}", path.display()))?;
        let (root, only) = if path.is_dir() {
            (path, None)
        } else {
            around(&path)?
        };
        let policies = find_policies(&root, policies)?;
        let tree = two_folders(&root, &policies)?;
        let only = only.map(|file| format!("{}{file}", pipeline::FOLDER));
        Ok(Self {
            tree,
            root,
            policies,
            only,
        })
    }

    /// As a default branch.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            base: self.tree.clone(),
            proposed: None,
            base_commit: None,
        }
    }

    /// How many files are pipelines, or ought to be.
    pub fn pipelines(&self) -> usize {
        let is_pipeline =
            |path: &&String| path.starts_with(pipeline::FOLDER) && path.ends_with(".yaml");
        self.tree.entries.keys().filter(is_pipeline).count()
    }

    /// What a person would type to open a file of the tree.
    pub fn shown(&self, path: &str) -> String {
        match path.strip_prefix(pipeline::FOLDER) {
            Some(rest) => self.root.join(rest).display().to_string(),
            None => match path.strip_prefix(policy::FOLDER) {
                Some(rest) => self.policies.join(rest).display().to_string(),
                None => path.to_owned(),
            },
        }
    }
}

/// The folder of pipelines that a file belongs to, and the file's place in it.
fn around(file: &Path) -> anyhow::Result<(PathBuf, Option<String>)> {
    let folder = file
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name().is_some_and(|name| name == "pipelines"))
        .or_else(|| file.parent())
        .context("the file is in no folder")?;
    let place = file.strip_prefix(folder)?.to_string_lossy().into_owned();
    Ok((folder.to_owned(), Some(place)))
}

fn find_policies(root: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return given
            .canonicalize()
            .with_context(|| format!("there is no {}", given.display()));
    }
    let beside = root.parent().map(|parent| parent.join("policies"));
    let here = std::env::current_dir()?.join("policies");
    let places: Vec<PathBuf> = beside.into_iter().chain([here]).collect();
    places
        .iter()
        .find(|place| place.is_dir())
        .cloned()
        .with_context(|| {
            let looked: Vec<String> = places
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            format!(
                "there are no policies: looked for {}; name them with --policies",
                looked.join(" and ")
            )
        })
}
