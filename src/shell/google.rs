//! Between the core's words for Google and the client's.

use std::collections::BTreeSet;

use crate::edges::google::{AccessEntry, DatasetRole, Grantee, PolicyTarget};
use crate::object::{Member, Resource, Role};

/// What a resource's policy hangs on, or the dataset whose access list takes its place.
pub(super) enum Target<'a> {
    Policy(PolicyTarget),
    Dataset { project: &'a str, id: &'a str },
}

pub(super) fn target(resource: &Resource) -> Target<'_> {
    match resource {
        Resource::Project(project) => Target::Policy(PolicyTarget::Project(project.to_string())),
        Resource::Connection(connection) => Target::Policy(PolicyTarget::Connection {
            project: connection.project.to_string(),
            location: connection.location.to_string(),
            id: connection.id.to_string(),
        }),
        Resource::ServiceAccount(account) => Target::Policy(PolicyTarget::ServiceAccount {
            project: account.project.to_string(),
            email: account.email(),
        }),
        Resource::Dataset { project, dataset } => Target::Dataset {
            project: project.as_str(),
            id: dataset.as_str(),
        },
    }
}

/// As an IAM policy writes role and member.
pub(super) fn pairs(grants: &BTreeSet<(Role, Member)>) -> Vec<(&'static str, String)> {
    grants
        .iter()
        .map(|(role, member)| (role.as_str(), member.iam()))
        .collect()
}

/// The same, borrowed as the client wants it.
pub(super) fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs
        .iter()
        .map(|(role, member)| (*role, member.as_str()))
        .collect()
}

/// As a dataset's access list writes them. Roles that no dataset takes are left out: the
/// core renders none.
pub(super) fn entries(grants: &BTreeSet<(Role, Member)>) -> Vec<AccessEntry> {
    grants
        .iter()
        .filter_map(|(role, member)| {
            let role = match role {
                Role::Writer => DatasetRole::Writer,
                Role::Reader => DatasetRole::Reader,
                Role::WorkloadIdentityUser | Role::JobUser | Role::ConnectionUser => return None,
            };
            Some(AccessEntry::new(role, &grantee(&member.iam())))
        })
        .collect()
}

/// A dataset names users and service accounts alike by their address.
fn grantee(member: &str) -> Grantee {
    match member.split_once(':') {
        Some(("user" | "serviceAccount", email)) => Grantee::User(email.to_owned()),
        Some(("group", email)) => Grantee::Group(email.to_owned()),
        Some(("domain", domain)) => Grantee::Domain(domain.to_owned()),
        _ => Grantee::IamMember(member.to_owned()),
    }
}

/// The entry as the role and member that the core compares with, if it is one that we could
/// have written. A service account and a user look alike here, so both are said.
pub(super) fn seen(entry: &AccessEntry) -> Vec<(String, String)> {
    let role = match entry.role() {
        Some(DatasetRole::Writer) => Role::Writer,
        Some(DatasetRole::Reader) => Role::Reader,
        _ => return Vec::new(),
    };
    if entry.is_conditional() {
        return Vec::new();
    }
    let members = match entry.grantee() {
        Some(Grantee::User(email)) => {
            vec![format!("serviceAccount:{email}"), format!("user:{email}")]
        }
        Some(Grantee::Group(email)) => vec![format!("group:{email}")],
        Some(Grantee::Domain(domain)) => vec![format!("domain:{domain}")],
        _ => Vec::new(),
    };
    members
        .into_iter()
        .map(|member| (role.as_str().to_owned(), member))
        .collect()
}
