//! The fields that each kind may have, as far down as this project writes them.
//!
//! `Any` marks where the real schema goes on and this one stops: whatever is below passes.

use Schema::{Any, Flag, List, Object, Text, Texts, Whole};

/// What a value may look like.
#[derive(Debug)]
pub(super) enum Schema {
    Any,
    Text,
    Flag,
    Whole,
    WholeOrText,
    /// A map of strings.
    Texts,
    Object(Fields),
    /// The same, where these fields may not be missing.
    Needs(&'static [&'static str], Fields),
    List(&'static Schema),
}

pub(super) type Fields = &'static [(&'static str, Schema)];

pub(super) const METADATA: Fields = &[
    ("annotations", Texts),
    ("creationTimestamp", Any),
    ("deletionGracePeriodSeconds", Whole),
    ("deletionTimestamp", Any),
    ("finalizers", List(&Text)),
    ("generateName", Text),
    ("generation", Whole),
    ("labels", Texts),
    ("managedFields", Any),
    ("name", Text),
    ("namespace", Text),
    (
        "ownerReferences",
        List(&Object(&[
            ("apiVersion", Text),
            ("blockOwnerDeletion", Flag),
            ("controller", Flag),
            ("kind", Text),
            ("name", Text),
            ("uid", Text),
        ])),
    ),
    ("resourceVersion", Text),
    ("selfLink", Text),
    ("uid", Text),
];

const SUBJECTS: Schema = List(&Object(&[
    ("apiGroup", Text),
    ("kind", Text),
    ("name", Text),
    ("namespace", Text),
]));

pub(super) static CONFIG_MAP: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    ("binaryData", Texts),
    ("data", Texts),
    ("immutable", Flag),
]);

pub(super) static NAMESPACE: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    ("spec", Any),
    ("status", Any),
]);

pub(super) static POD: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    ("spec", Any),
    ("status", Any),
]);

pub(super) static SERVICE_ACCOUNT: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    ("automountServiceAccountToken", Flag),
    ("imagePullSecrets", List(&Object(&[("name", Text)]))),
    ("secrets", List(&Any)),
]);

pub(super) static LEASE: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    (
        "spec",
        Object(&[
            ("acquireTime", Text),
            ("holderIdentity", Text),
            ("leaseDurationSeconds", Whole),
            ("leaseTransitions", Whole),
            ("preferredHolder", Text),
            ("renewTime", Text),
            ("strategy", Text),
        ]),
    ),
]);

pub(super) static ROLE: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    (
        "rules",
        List(&Object(&[
            ("apiGroups", List(&Text)),
            ("nonResourceURLs", List(&Text)),
            ("resourceNames", List(&Text)),
            ("resources", List(&Text)),
            ("verbs", List(&Text)),
        ])),
    ),
]);

pub(super) static ROLE_BINDING: Schema = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Object(METADATA)),
    (
        "roleRef",
        Object(&[("apiGroup", Text), ("kind", Text), ("name", Text)]),
    ),
    ("subjects", SUBJECTS),
]);
