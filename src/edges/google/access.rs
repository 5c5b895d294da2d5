//! Entries of a dataset's access list.

use serde_json::{Map, Value, json};

/// The roles that a dataset's own list knows; Google takes two names for each and answers with the short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DatasetRole {
    Owner,
    Writer,
    Reader,
}

impl DatasetRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "OWNER",
            Self::Writer => "WRITER",
            Self::Reader => "READER",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "OWNER" | "roles/bigquery.dataOwner" => Some(Self::Owner),
            "WRITER" | "roles/bigquery.dataEditor" => Some(Self::Writer),
            "READER" | "roles/bigquery.dataViewer" => Some(Self::Reader),
            _ => None,
        }
    }
}

/// Who an entry is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grantee {
    /// By email; service accounts too.
    User(String),
    Group(String),
    Domain(String),
    /// `projectOwners`, `projectWriters`, `projectReaders` or `allAuthenticatedUsers`.
    SpecialGroup(String),
    /// Any other member of an IAM policy, a deleted account among them.
    IamMember(String),
}

impl Grantee {
    fn field(&self) -> (&'static str, &str) {
        match self {
            Self::User(email) => ("userByEmail", email),
            Self::Group(email) => ("groupByEmail", email),
            Self::Domain(domain) => ("domain", domain),
            Self::SpecialGroup(group) => ("specialGroup", group),
            Self::IamMember(member) => ("iamMember", member),
        }
    }

    fn parse(fields: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        text("userByEmail")
            .map(Self::User)
            .or_else(|| text("groupByEmail").map(Self::Group))
            .or_else(|| text("domain").map(Self::Domain))
            .or_else(|| text("specialGroup").map(Self::SpecialGroup))
            .or_else(|| text("iamMember").map(Self::IamMember))
    }

    /// Emails and domains come back in small letters, however they were sent.
    fn is_same(&self, other: &Self) -> bool {
        let ((field, name), (other_field, other_name)) = (self.field(), other.field());
        field == other_field && name.eq_ignore_ascii_case(other_name)
    }
}

/// One entry, exactly as Google gave it or will get it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessEntry(Value);

impl AccessEntry {
    pub fn new(role: DatasetRole, grantee: &Grantee) -> Self {
        let (field, name) = grantee.field();
        Self(json!({"role": role.as_str(), field: name}))
    }

    pub(super) fn from_raw(raw: Value) -> Self {
        Self(raw)
    }

    pub(super) fn raw(&self) -> &Value {
        &self.0
    }

    /// None for authorized views and the like, and for roles that are not of this list.
    pub fn role(&self) -> Option<DatasetRole> {
        self.0
            .get("role")
            .and_then(Value::as_str)
            .and_then(DatasetRole::parse)
    }

    /// None for authorized views, routines and datasets.
    pub fn grantee(&self) -> Option<Grantee> {
        self.0.as_object().and_then(Grantee::parse)
    }

    pub fn is_conditional(&self) -> bool {
        self.0
            .get("condition")
            .is_some_and(|condition| !condition.is_null())
    }

    /// Whether both give the same role to the same grantee without a condition, whatever the role is called.
    pub fn grants_same(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let same_role = self.role().is_some() && self.role() == other.role();
        let same_grantee = match (self.grantee(), other.grantee()) {
            (Some(one), Some(another)) => one.is_same(&another),
            _ => false,
        };
        same_role && same_grantee && !self.is_conditional() && !other.is_conditional()
    }
}
