//! Names: what a person wrote, once it is known to be legal where it is going.
//!
//! Each type holds the real limit of the system that will receive it, so that
//! nothing downstream has to check again. The rule's words are part of the error,
//! because a person who wrote the name will read them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {what}: {rule}")]
pub struct NameError {
    pub what: &'static str,
    pub value: String,
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $legal:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let legal: fn(&str) -> bool = $legal;
                if legal(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { what: $what, value: excerpt(text, 80), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A pipeline: its file's stem, and the name of its CronWorkflow.
    /// Argo refuses CronWorkflow names over 52 characters, and `-` with 8 hex digits
    /// follows for further schedules: 43 remain.
    PipelineName,
    "pipeline name",
    "1 to 43 lowercase letters, digits and hyphens, beginning and ending with a letter or digit",
    |s| dns_label(s, 43)
);
name!(
    /// A Google Cloud project id, domain-scoped ones (`example.com:thing`) included.
    ProjectId,
    "Google Cloud project id",
    "6 to 30 lowercase letters, digits and hyphens, beginning with a letter, not ending with a hyphen",
    |s| {
        let id = s.split_once(':').map_or(Some(s), |(domain, id)| {
            (domain.contains('.') && domain.split('.').all(|part| dns_label(part, 63))).then_some(id)
        });
        id.is_some_and(|id| (6..=30).contains(&id.len()) && dns_label(id, 30) && starts_with_letter(id))
    }
);
name!(
    /// A BigQuery connection's id, without project and location.
    ConnectionId,
    "BigQuery connection id",
    "letters, digits, underscores and hyphens",
    |s| (1..=256).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);
name!(
    /// A BigQuery dataset id.
    DatasetId,
    "BigQuery dataset id",
    "1 to 1024 letters, digits and underscores (no hyphens)",
    |s| (1..=1024).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
);
name!(
    /// A BigQuery location in lowercase: `us`, `eu`, `europe-west1`.
    Location,
    "BigQuery location",
    "a region such as `europe-west1`, or `us` or `eu`, in lowercase",
    |s| (2..=40).contains(&s.len()) && dns_label(s, 40) && starts_with_letter(s)
);
name!(
    /// The service that data belongs to. Carried as a Kubernetes label and as a
    /// Google label, so it obeys the stricter of both.
    ServiceName,
    "service name",
    "1 to 63 lowercase letters, digits, underscores and hyphens, beginning with a letter, ending with a letter or digit",
    |s| (1..=63).contains(&s.len())
        && starts_with_letter(s)
        && s.bytes().all(|b| lower_or_digit(b) || b == b'_' || b == b'-')
        && s.bytes().last().is_some_and(lower_or_digit)
);
name!(
    /// A PostgreSQL identifier, exactly as the catalog holds it.
    /// 63 bytes is NAMEDATALEN - 1 of an unpatched server.
    PgName,
    "PostgreSQL name",
    "1 to 63 bytes, without control characters",
    |s| (1..=63).contains(&s.len()) && !s.chars().any(char::is_control)
);
name!(
    /// A Cloud SQL instance: `project:region:instance`.
    InstanceName,
    "Cloud SQL instance",
    "project:region:instance, as the Cloud SQL page shows it",
    |s| {
        let mut parts = s.rsplitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(instance), Some(region), Some(project)) => {
                dns_label(instance, 98)
                    && starts_with_letter(instance)
                    && region.parse::<Location>().is_ok()
                    && project.parse::<ProjectId>().is_ok()
            }
            _ => false,
        }
    }
);
name!(
    /// Somebody on GitHub, as owners are written: `@user` or `@org/team`.
    Owner,
    "GitHub user or team",
    "`@user` or `@organisation/team`",
    |s| match s.strip_prefix('@') {
        Some(rest) => match rest.split_once('/') {
            Some((org, team)) => login(org) && slug(team),
            None => login(rest),
        },
        None => false,
    }
);
name!(
    /// Who may read a dataset, as IAM writes it.
    Reader,
    "reader",
    "`group:`, `user:` or `serviceAccount:` with an e-mail address, or `domain:` with a domain, in lowercase",
    |s| match s.split_once(':') {
        Some(("group" | "user" | "serviceAccount", email)) => is_email(email),
        Some(("domain", domain)) => is_domain(domain),
        _ => false,
    }
);
name!(
    /// A full commit id.
    CommitSha,
    "commit id",
    "40 lowercase hexadecimal digits",
    |s| s.len() == 40 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);
name!(
    /// SHA-256 of what a pipeline would become; what a reviewer approves.
    Digest,
    "digest",
    "64 lowercase hexadecimal digits",
    |s| s.len() == 64 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

impl Digest {
    /// SHA-256 of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::{Digest as _, Sha256};
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The first twelve digits: what people read and compare.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl CommitSha {
    /// The first eight digits.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl Owner {
    /// Organisation and slug, if this is a team.
    pub fn team(&self) -> Option<(&str, &str)> {
        self.0
            .strip_prefix('@')
            .and_then(|rest| rest.split_once('/'))
    }

    /// Whether this names the user `login`. GitHub logins ignore case.
    pub fn is_user(&self, login: &str) -> bool {
        self.0
            .strip_prefix('@')
            .is_some_and(|user| user.eq_ignore_ascii_case(login))
    }
}

/// A BigQuery connection with all that finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionName {
    pub project: ProjectId,
    pub location: Location,
    pub id: ConnectionId,
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "projects/{}/locations/{}/connections/{}",
            self.project, self.location, self.id
        )
    }
}

/// The beginning of a text that goes into a message, without control characters.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let mut out: String = text
        .chars()
        .take(limit)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().count() > limit {
        out.push('…');
    }
    out
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn starts_with_letter(s: &str) -> bool {
    s.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
}

fn dns_label(s: &str, max: usize) -> bool {
    !s.is_empty()
        && s.len() <= max
        && s.bytes().all(|b| lower_or_digit(b) || b == b'-')
        && !s.starts_with('-')
        && !s.ends_with('-')
}

/// GitHub: letters, digits and single hyphens, at most 39; `_` occurs in managed accounts.
fn login(s: &str) -> bool {
    (1..=39).contains(&s.len())
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn slug(s: &str) -> bool {
    (1..=100).contains(&s.len())
        && s.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.')
}

fn is_email(s: &str) -> bool {
    s.split_once('@').is_some_and(|(local, domain)| {
        (1..=64).contains(&local.len())
            // BigQuery gives addresses back in lowercase: another spelling would look missing.
            && local
                .bytes()
                .all(|b| lower_or_digit(b) || b"._%+-".contains(&b))
            && is_domain(domain)
    })
}

fn is_domain(s: &str) -> bool {
    s.len() <= 253 && s.contains('.') && s.split('.').all(|part| dns_label(part, 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(legal: &[&str], illegal: &[&str]) {
        for text in legal {
            assert!(text.parse::<T>().is_ok(), "{text} should be legal");
        }
        for text in illegal {
            assert!(text.parse::<T>().is_err(), "{text} should be illegal");
        }
    }

    #[test]
    fn project_ids() {
        check::<ProjectId>(
            &["acme-orders", "example.com:acme-orders", "abcdef"],
            &[
                "some_project",
                "short",
                "Acme-orders",
                "1acme-orders",
                "acme-orders-",
                "x:acme-orders",
                "",
            ],
        );
    }

    #[test]
    fn pipeline_names_leave_room_for_a_hash() {
        check::<PipelineName>(
            &["a", &"a".repeat(43)],
            &[&"a".repeat(44), "-a", "a_b", "A", "a.b"],
        );
    }

    #[test]
    fn instances() {
        check::<InstanceName>(
            &[
                "acme-orders:europe-west1:main",
                "example.com:acme-orders:us-central1:db",
            ],
            &[
                "main",
                "europe-west1:main",
                "acme_orders:europe-west1:main",
                "acme-orders::main",
            ],
        );
    }

    #[test]
    fn owners_and_readers() {
        check::<Owner>(
            &["@alice", "@acme/data-platform"],
            &["alice", "@", "@a/", "@/t", "@a b", "@a/b/c"],
        );
        check::<Reader>(
            &[
                "group:bi@acme.example",
                "domain:acme.example",
                "serviceAccount:x@p-123456.iam.gserviceaccount.com",
            ],
            &[
                "allUsers",
                "bi@acme.example",
                "group:bi",
                "user:a@b@c.example",
                "group:BI@acme.example",
                "group:a{{b}}@x.example",
                "deleted:user:a@b.c",
            ],
        );
        let owner: Owner = "@Alice".parse().unwrap();
        assert!(owner.is_user("alice") && owner.team().is_none());
    }

    #[test]
    fn an_error_shows_no_control_character() {
        let error = "a\u{1b}[31m".parse::<DatasetId>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn names_survive_serde_and_refuse_there_too() {
        let name: DatasetId = serde_json::from_str("\"orders\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"orders\"");
        assert!(serde_json::from_str::<DatasetId>("\"or-ders\"").is_err());
    }
}
