//! The answers to a command that needs no plan: what can be asked, what was not
//! understood, and what is not done.

use std::collections::BTreeSet;

use crate::command::{Denied, Misread, Missing, OwnedBy, Refused, Verb};
use crate::name::Owner;
use crate::pipeline::TableSelection;

use super::markdown::{code, count, prose, table};
use super::words;

/// What can be asked, and by whom.
pub fn help_reply() -> String {
    let rows = Verb::ALL.map(|verb| {
        let [what, who] = meaning(verb);
        [code(verb.form()), what.to_owned(), who.to_owned()]
    });
    let (rows, _) = table(["Command", "What it does", "Who may"], rows, usize::MAX);
    format!(
        "### Commands\n\n{rows}\n\nA command is a line of its own in a new comment, outside of \
         quotes, lists and code; after a quote, leave a line empty. An edited comment commands \
         nothing."
    )
}

/// A new command does not build until it is explained.
fn meaning(verb: Verb) -> [&'static str; 2] {
    match verb {
        Verb::Plan => [
            "plans this open pull request again",
            "its author, and people with write access",
        ],
        Verb::Apply => [
            "approves what is held at exactly this digest, on a merged pull request",
            "the owners whose consent it needs",
        ],
        Verb::Confirm => [
            "lets through what would prune more than the house allows at once, if it is exactly \
             this, on a merged pull request",
            "the house's owners",
        ],
        Verb::Rerun => [
            "runs now what is on the default branch: the named pipelines, or those of this pull \
             request; all tables, or the named ones",
            "the pipeline's owners: those in its file, else its code owners with write access, \
             else the owners of its connection's project; the house's owners",
        ],
        Verb::Status => [
            "says how the pipelines of this pull request are, and how they ran last",
            "people with read access",
        ],
        Verb::Help => ["shows this", "people with read access"],
    }
}

/// Why a line was not understood. `line` is its text.
pub fn misread_reply(line: &str, misread: &Misread) -> String {
    let form = match misread.form {
        Some(form) => format!(" Write it as {}.", code(form)),
        None => String::new(),
    };
    let why = prose(&misread.why);
    let stop = if why.ends_with('?') { "" } else { "." };
    format!("{}: not understood: {why}{stop}{form}", code(line))
}

/// Why a line is not obeyed. `line` is its text.
pub fn refused_reply(line: &str, refused: &Refused) -> String {
    let why = sentence(refused);
    let stop = if why.ends_with('?') { "" } else { "." };
    format!("{}: not done: {why}{stop}", code(line))
}

/// Who may, and what is missing.
fn sentence(refused: &Refused) -> String {
    let verb = |verb: Verb| code(&format!("/{}", verb.word()));
    match refused {
        Refused::Edited => "an edited comment commands nothing, because others than its author \
                            can edit it; write a new one"
            .to_owned(),
        Refused::Bot => "only people command, and this account is a bot".to_owned(),
        Refused::NoReadAccess => "commands are for people with read access to this repository, \
                                  and you have none"
            .to_owned(),
        Refused::NotOpen => format!(
            "{} is for open pull requests, and this one is not open",
            verb(Verb::Plan)
        ),
        Refused::NotMerged { verb: asked } => format!(
            "{} is for merged pull requests, and this one is not merged",
            verb(*asked)
        ),
        Refused::OtherBranch { verb: asked } => format!(
            "{} is for pull requests into the default branch, and this one leads to another",
            verb(*asked)
        ),
        Refused::NeitherAuthorNorWriter => format!(
            "{} is for the pull request's author and for people with write access to this \
             repository, and you are neither",
            verb(Verb::Plan)
        ),
        Refused::BrokenPolicies { verb: asked } => format!(
            "{} takes its rights from the policies on the default branch, and they have \
             mistakes; mend those first",
            verb(*asked)
        ),
        Refused::NoSuchPipeline { name, meant } => match meant {
            Some(meant) => format!(
                "there is no pipeline {} on the default branch; did you mean {}?",
                code(name.as_str()),
                code(meant.as_str())
            ),
            None => format!(
                "there is no pipeline {} on the default branch",
                code(name.as_str())
            ),
        },
        Refused::NoPipeline => format!(
            "this pull request is about no pipeline that is on the default branch; name one: {}",
            code("/rerun <pipeline>")
        ),
        Refused::NotYours(denied) => not_yours(denied),
        Refused::NoSuchTable {
            pipeline,
            table,
            selection,
        } => format!(
            "{} does not copy the table {}: {}",
            code(pipeline.as_str()),
            code(table.as_str()),
            match selection {
                TableSelection::Only(tables) => format!(
                    "{} has {}",
                    code("target_tables"),
                    words::names(tables.iter().map(|table| table.as_str()))
                ),
                TableSelection::Except(_) | TableSelection::All =>
                    format!("it is among its {}", code("excluded_tables")),
            }
        ),
        Refused::NoVoice {
            verb: asked,
            owners,
        } => format!(
            "{} is for the owners of {} ({}), and you are none of them",
            verb(*asked),
            match asked {
                Verb::Confirm => "the house",
                _ => "the house or of a project in the estate",
            },
            all(owners)
        ),
    }
}

fn not_yours(denied: &Denied) -> String {
    let Denied {
        pipeline,
        others,
        by,
        owners,
        house,
        missing,
    } = denied;
    let who = match by {
        OwnedBy::File => format!("its owners ({}, by its file)", all(owners)),
        OwnedBy::CodeOwners => {
            format!("its code owners with write access ({})", all(owners))
        }
        OwnedBy::Estate => format!("the owners of its connection's project ({})", all(owners)),
    };
    let missing = match missing {
        Missing::Ownership => "you are none of them",
        Missing::WriteAccess => "you have no write access",
    };
    let others = match others {
        0 => String::new(),
        others => format!(
            "; {} not yours either",
            count(*others, "more of them is", "more of them are")
        ),
    };
    format!(
        "{} of {} is for {who} and the owners of the house ({}), and {missing}{others}",
        code("/rerun"),
        code(pipeline.as_str()),
        all(house)
    )
}

/// Names as code, so that nobody is notified.
fn all(owners: &BTreeSet<Owner>) -> String {
    match owners.is_empty() {
        true => "nobody".to_owned(),
        false => words::names(owners.iter().map(|owner| owner.as_str())),
    }
}
