//! A pipeline's objects in Google: its dataset, and the grants that let it be filled and read.

use std::collections::BTreeMap;

use crate::object::{Grant, Member, Object, ObjectKey, Resource, Role};
use crate::pipeline::Bound;

use super::Identity;

pub(super) fn objects(bound: &Bound, identity: &Identity) -> BTreeMap<ObjectKey, Object> {
    let pipeline = &bound.pipeline;
    let dataset = || Resource::Dataset {
        project: pipeline.project.clone(),
        dataset: pipeline.dataset.clone(),
    };
    let identity = || Member::ServiceAccount(identity.google.clone());
    let grants = [
        // On the one connection: on the project it would open every connection there,
        // and IAM has no condition that narrows it (connections are not among the
        // resources that conditions know).
        (
            Resource::Connection(bound.connection.clone()),
            Role::ConnectionUser,
            identity(),
        ),
        (
            Resource::Project(pipeline.project.clone()),
            Role::JobUser,
            identity(),
        ),
        (dataset(), Role::Writer, identity()),
    ];
    let readers = pipeline
        .readers
        .iter()
        .map(|reader| (dataset(), Role::Reader, Member::Reader(reader.clone())));
    grants
        .into_iter()
        .chain(readers)
        .map(|(resource, role, member)| {
            (
                ObjectKey::Grant(Grant {
                    resource,
                    role,
                    member,
                }),
                Object::Grant,
            )
        })
        .chain([(
            ObjectKey::Dataset {
                project: pipeline.project.clone(),
                dataset: pipeline.dataset.clone(),
            },
            Object::Dataset {
                location: bound.location.clone(),
            },
        )])
        .collect()
}
