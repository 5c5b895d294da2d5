//! A comment for the tests of this module.

use jiff::Timestamp;

use super::{AuthorKind, Comment, Edits};

/// A person's comment 7 on pull request 12, as it was written.
pub(crate) fn comment(author: &str, body: &str) -> Comment {
    Comment {
        id: 7,
        pull: 12,
        author: author.to_owned(),
        by: AuthorKind::Person,
        body: body.to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        edits: Edits::Never,
    }
}
