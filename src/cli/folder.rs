//! Which files a path on the command line means.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::edges::git::two_folders;
use crate::finding::Finding;
use crate::pipeline;
use crate::policy;
use crate::snapshot::{RepoPath, Snapshot, Tree};

/// The tree to look at, and how a path in it is called on this machine.
pub struct Folder {
    /// All pipelines, whatever was asked for: rules see all of them.
    pub tree: Tree,
    asked: Asked,
    root: PathBuf,
    policies: PathBuf,
    current: PathBuf,
}

/// What findings and objects are wanted of. Paths are the tree's.
enum Asked {
    All,
    /// Ends with `/`.
    Below(RepoPath),
    File(RepoPath),
}

impl Folder {
    /// Reads the pipelines that `path` means, with the policies that belong to them.
    ///
    /// # Errors
    /// If there is no such path, it is no pipeline, or there are no policies: saying where
    /// they were looked for.
    pub fn read(path: &Path, policies: Option<&Path>) -> anyhow::Result<Self> {
        let current = std::env::current_dir().context("the current folder can not be told")?;
        let place = placed(path, &current)?;
        let (root, asked) = around(&place)?;
        let policies = find_policies(&root, policies, &current)?;
        let tree = two_folders(&root, &policies)?;
        if let Asked::File(file) = &asked {
            let is_read = tree.entries.contains_key(file)
                && [".yaml", ".yml"].iter().any(|end| file.ends_with(end));
            anyhow::ensure!(
                is_read,
                "{} is not read as a pipeline: name a file that ends with `.yaml`, or a folder",
                path.display()
            );
        }
        Ok(Self {
            tree,
            asked,
            root,
            policies,
            current,
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

    /// Whether a path of the tree is what was asked for.
    pub fn is_asked(&self, path: &str) -> bool {
        match &self.asked {
            Asked::All => true,
            Asked::Below(folder) => path.starts_with(folder),
            Asked::File(file) => path == file,
        }
    }

    /// Whether a finding concerns who asked: mistakes in the policies concern everybody.
    pub fn concerns(&self, finding: &Finding) -> bool {
        self.is_asked(&finding.path) || finding.path.starts_with(policy::FOLDER)
    }

    /// Asks for this one file of the tree from here on.
    pub fn narrow(&mut self, file: RepoPath) {
        self.asked = Asked::File(file);
    }

    /// How many of the files asked for are pipelines, or ought to be.
    pub fn pipelines(&self) -> usize {
        let is_pipeline = |path: &&String| {
            path.starts_with(pipeline::FOLDER) && path.ends_with(".yaml") && self.is_asked(path)
        };
        self.tree.entries.keys().filter(is_pipeline).count()
    }

    /// What a person would type here to open a file of the tree.
    pub fn shown(&self, path: &str) -> String {
        let folders = [
            (pipeline::FOLDER, &self.root),
            (policy::FOLDER, &self.policies),
        ];
        for (folder, place) in folders {
            let place = place.strip_prefix(&self.current).unwrap_or(place);
            if let Some(rest) = path.strip_prefix(folder) {
                return place.join(rest).display().to_string();
            }
            if path == folder.trim_end_matches('/') {
                return place.display().to_string();
            }
        }
        path.to_owned()
    }
}

/// The path without `..` and links on the way. What stands at its end is not followed: the
/// bot does not follow it either.
fn placed(path: &Path, current: &Path) -> anyhow::Result<PathBuf> {
    let cause = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "there is no {} (looked from {}): name a file or a folder of pipelines",
            path.display(),
            current.display()
        ),
        _ => anyhow::Error::new(error).context(format!("{} can not be read", path.display())),
    };
    let absolute = current.join(path);
    let place = match (absolute.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map_err(cause)?.join(name),
        _ => absolute.canonicalize().map_err(cause)?,
    };
    fs::symlink_metadata(&place).map_err(cause)?;
    Ok(place)
}

/// The folder of all pipelines that a file or a folder belongs to, and its part in it.
fn around(place: &Path) -> anyhow::Result<(PathBuf, Asked)> {
    let is_root = |folder: &&Path| folder.file_name().is_some_and(|name| name == "pipelines");
    let is_folder = place.is_dir();
    if is_folder {
        let inside = place.join("pipelines");
        // A checkout, whatever it is called itself.
        if inside.is_dir() && place.join("policies").is_dir() {
            return Ok((inside, Asked::All));
        }
        if is_root(&place) {
            return Ok((place.to_owned(), Asked::All));
        }
    }
    let root = match place.ancestors().skip(1).find(is_root) {
        Some(root) => root,
        None if is_folder => return Ok((place.to_owned(), Asked::All)),
        None => place.parent().context("the file is in no folder")?,
    };
    let part = place.strip_prefix(root)?.to_string_lossy();
    let part = format!("{}{part}", pipeline::FOLDER);
    let asked = if is_folder {
        Asked::Below(part + "/")
    } else {
        Asked::File(part)
    };
    Ok((root.to_owned(), asked))
}

fn find_policies(root: &Path, given: Option<&Path>, current: &Path) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        let place = given.canonicalize().ok().filter(|place| place.is_dir());
        return place.with_context(|| {
            format!(
                "there is no folder {} (looked from {}): --policies names the folder with estate.yaml",
                given.display(),
                current.display()
            )
        });
    }
    let beside = root.parent().map(|parent| parent.join("policies"));
    let here = current.join("policies");
    let mut places: Vec<PathBuf> = beside.into_iter().chain([here]).collect();
    places.dedup();
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
