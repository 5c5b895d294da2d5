//! The estate: which project, connection and Cloud SQL instance belongs to whom.
//!
//! `policies/estate.yaml` is read from the base branch only. The identity that may use a
//! connection follows from the instance written here, so no pull request can claim
//! another's; and what is not listed is denied before anything at Google is read for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::name::{ConnectionId, InstanceName, Location, Owner, ProjectId};
use crate::yaml::fields::Field;
use crate::yaml::reader::Reader;

/// Where the estate is written.
pub const PATH: &str = "policies/estate.yaml";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estate {
    /// The owners of the house: they consent to what the house changes for everybody.
    pub owners: BTreeSet<Owner>,
    pub projects: BTreeMap<ProjectId, Project>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub owners: BTreeSet<Owner>,
    pub connections: BTreeMap<ConnectionId, Connection>,
}

/// A BigQuery connection as its owner declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub location: Location,
    pub instance: InstanceName,
}

impl Estate {
    /// Reads the file. With a deny among the findings, nothing of it may be used.
    pub fn parse(bytes: &[u8]) -> (Self, Vec<Finding>) {
        let mut reader = Reader::new(PATH);
        let estate = read(&mut reader, bytes).unwrap_or_default();
        let (findings, _) = reader.finish();
        (estate, findings)
    }

    /// The owners of a project; none if it is not listed.
    pub fn owners_of(&self, project: &ProjectId) -> BTreeSet<Owner> {
        self.projects
            .get(project)
            .map(|project| project.owners.clone())
            .unwrap_or_default()
    }

    /// Who answers for a project: its owners, or the house's if it left the estate.
    pub fn consenting_owners(&self, project: &ProjectId) -> BTreeSet<Owner> {
        let owners = self.owners_of(project);
        if owners.is_empty() {
            self.owners.clone()
        } else {
            owners
        }
    }
}

fn read(reader: &mut Reader<'_>, bytes: &[u8]) -> Option<Estate> {
    let tree = reader.tree(bytes)?;
    let mut fields = reader.root(&tree)?;
    let owners = fields
        .require(reader, "owners")
        .and_then(|field| reader.names(&field))
        .unwrap_or_default();
    let projects = fields
        .require(reader, "projects")
        .and_then(|field| projects(reader, &field))
        .unwrap_or_default();
    reader.end(fields);
    Some(Estate { owners, projects })
}

fn projects(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeMap<ProjectId, Project>> {
    let mut projects = BTreeMap::new();
    for (id, value) in reader.named::<ProjectId>(field)? {
        let Some(mut keys) = reader.fields(&value) else {
            continue;
        };
        let owners = keys
            .require(reader, "owners")
            .and_then(|field| reader.names(&field))
            .unwrap_or_default();
        let connections = keys
            .take("connections")
            .and_then(|field| connections(reader, &field))
            .unwrap_or_default();
        reader.end(keys);
        projects.insert(
            id,
            Project {
                owners,
                connections,
            },
        );
    }
    Some(projects)
}

fn connections(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
) -> Option<BTreeMap<ConnectionId, Connection>> {
    let mut connections = BTreeMap::new();
    for (id, value) in reader.named::<ConnectionId>(field)? {
        let Some(mut keys) = reader.fields(&value) else {
            continue;
        };
        let location = keys
            .require(reader, "location")
            .and_then(|field| reader.name::<Location>(&field));
        let instance = keys
            .require(reader, "instance")
            .and_then(|field| reader.name::<InstanceName>(&field));
        reader.end(keys);
        if let (Some(location), Some(instance)) = (location, instance) {
            connections.insert(id, Connection { location, instance });
        }
    }
    Some(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estate() {
        let (estate, findings) = Estate::parse(
            b"owners: ['@acme/data-platform']
projects:
  acme-orders:
    owners: ['@acme/orders', '@alice']
    connections:
      orders-db: {location: europe-west1, instance: 'acme-orders:europe-west1:orders'}
  acme-shared:
    owners: ['@bob']
",
        );
        assert_eq!(findings, vec![]);
        let project: ProjectId = "acme-orders".parse().unwrap();
        assert_eq!(estate.owners_of(&project).len(), 2);
        assert_eq!(estate.projects[&project].connections.len(), 1);
        assert_eq!(estate.consenting_owners(&project).len(), 2);
        let gone: ProjectId = "acme-gone".parse().unwrap();
        assert_eq!(estate.consenting_owners(&gone), estate.owners);
    }

    #[test]
    fn a_project_without_owners_is_refused() {
        let (_, findings) =
            Estate::parse(b"owners: ['@a']\nprojects: {acme-orders: {owners: []}}\n");
        assert!(findings.iter().any(Finding::is_deny), "{findings:?}");
        let (_, findings) = Estate::parse(b"owners: ['@a']\nprojects: {acme-orders: {}}\n");
        assert_eq!(findings[0].rule, "missing-key");
    }
}
