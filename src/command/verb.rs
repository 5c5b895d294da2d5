//! The words of the commands, and how each is written.

use super::Command;

/// What a command begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Plan,
    Apply,
    Confirm,
    Rerun,
    Status,
    Help,
}

impl Verb {
    pub const ALL: [Self; 6] = [
        Self::Plan,
        Self::Apply,
        Self::Confirm,
        Self::Rerun,
        Self::Status,
        Self::Help,
    ];

    /// Without the slash.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Confirm => "confirm",
            Self::Rerun => "rerun",
            Self::Status => "status",
            Self::Help => "help",
        }
    }

    /// The whole line, as a person would write it.
    pub fn form(self) -> &'static str {
        match self {
            Self::Plan => "/plan",
            Self::Apply => "/apply <digest>",
            Self::Confirm => "/confirm <digest>",
            Self::Rerun => "/rerun [pipeline ...] [tables=a,b]",
            Self::Status => "/status",
            Self::Help => "/help",
        }
    }
}

impl Command {
    pub fn verb(&self) -> Verb {
        match self {
            Self::Plan => Verb::Plan,
            Self::Apply { .. } => Verb::Apply,
            Self::Confirm { .. } => Verb::Confirm,
            Self::Rerun { .. } => Verb::Rerun,
            Self::Status => Verb::Status,
            Self::Help => Verb::Help,
        }
    }
}
