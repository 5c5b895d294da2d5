//! From a comment to what its lines ask for, whoever wrote it.

use std::collections::BTreeSet;

use crate::name::{Digest, NameError, PgName, PipelineName, excerpt};

use super::nearest::nearest;
use super::paragraphs::slash_lines;
use super::{AuthorKind, Command, CommandKey, Comment, Verb};

/// Commands of one comment that are read.
pub const MOST: usize = 20;

/// Bytes of a body that GitHub could hold: 65,536 characters. What is longer is no comment.
const LONGEST: usize = 4 * 65_536;

/// One line that is for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub key: CommandKey,
    /// The beginning of the line, to answer it by.
    pub text: String,
    pub asked: Result<Command, Misread>,
}

/// Why a line that is for us asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// A sentence; names stand in backticks.
    pub why: String,
    /// How the command is written, if it can be told which one was meant.
    pub form: Option<&'static str>,
}

/// The comment's commands in order, readable or not. After the first twenty one more is
/// misread, to say that the rest was not read.
pub fn parse(comment: &Comment) -> Vec<CommandLine> {
    if comment.by == AuthorKind::Bot || comment.body.len() > LONGEST {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for (line, text) in slash_lines(&comment.body) {
        let Some(mut asked) = read(text) else {
            continue;
        };
        let is_over = lines.len() >= MOST;
        if is_over {
            asked = Err(Misread {
                why: format!(
                    "one comment holds at most {MOST} commands: this one and what follows was not read"
                ),
                form: None,
            });
        }
        lines.push(CommandLine {
            key: CommandKey {
                comment: comment.id,
                line,
            },
            text: excerpt(text, 200),
            asked,
        });
        if is_over {
            break;
        }
    }
    lines
}

/// `None` if the line is none of ours: a path, or another bot's command.
fn read(text: &str) -> Option<Result<Command, Misread>> {
    let mut words = text.split_whitespace();
    let word = words.next()?.strip_prefix('/')?.to_lowercase();
    let Some(verb) = Verb::ALL.into_iter().find(|verb| verb.word() == word) else {
        return meant(&word).map(Err);
    };
    let words: Vec<&str> = words.collect();
    let asked = match verb {
        Verb::Plan => nothing_else(&words).map(|()| Command::Plan),
        Verb::Apply => digest(&words).map(|digest| Command::Apply { digest }),
        Verb::Confirm => digest(&words).map(|digest| Command::Confirm { digest }),
        Verb::Rerun => rerun(&words),
        Verb::Status => nothing_else(&words).map(|()| Command::Status),
        Verb::Help => nothing_else(&words).map(|()| Command::Help),
    };
    Some(asked.map_err(|why| Misread {
        why,
        form: Some(verb.form()),
    }))
}

/// People write paths, and the commands of other bots. So only one slip is taken for ours,
/// and nothing with a further slash.
fn meant(word: &str) -> Option<Misread> {
    if word.contains('/') {
        return None;
    }
    let near = nearest(word, Verb::ALL.map(Verb::word), 1)?;
    let verb = Verb::ALL.into_iter().find(|verb| verb.word() == near)?;
    Some(Misread {
        why: format!(
            "`/{}` is not a command; did you mean `/{near}`?",
            excerpt(word, 40)
        ),
        form: Some(verb.form()),
    })
}

fn nothing_else(words: &[&str]) -> Result<(), String> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(format!(
            "nothing may follow the command, and there is `{}`",
            excerpt(word, 40)
        )),
    }
}

fn digest(words: &[&str]) -> Result<Digest, String> {
    let word = match words {
        [] => return Err("it names no digest; copy the whole one from the plan".to_owned()),
        [word] => word,
        [_, more, ..] => {
            return Err(format!(
                "it takes one digest and nothing else, and there is `{}`",
                excerpt(more, 40)
            ));
        }
    };
    if let Ok(digest) = word.parse() {
        return Ok(digest);
    }
    let shown = excerpt(word, 80);
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    Err(if word.starts_with("sha256:") {
        format!(
            "`{shown}` has a prefix; copy the whole digest without it, 64 lowercase hexadecimal \
             digits and nothing else"
        )
    } else if is_hex(word) && word.len() < 64 {
        format!("`{shown}` is only a part of a digest; copy the whole one, 64 hexadecimal digits")
    } else {
        format!(
            "`{shown}` is not a digest; copy the whole one from the plan, 64 lowercase \
             hexadecimal digits"
        )
    })
}

fn rerun(words: &[&str]) -> Result<Command, String> {
    let mut pipelines: BTreeSet<PipelineName> = BTreeSet::new();
    let mut tables: Option<BTreeSet<PgName>> = None;
    for word in words {
        let Some((option, value)) = word.split_once('=') else {
            let name = word
                .parse()
                .map_err(|error: NameError| format!("{error}; separate several with blanks"))?;
            pipelines.insert(name);
            continue;
        };
        if option != "tables" {
            return Err(format!(
                "`{}=` is not known here; there is `tables=`",
                excerpt(option, 40)
            ));
        }
        if tables.is_some() {
            return Err("`tables=` stands there twice; name all tables in one".to_owned());
        }
        if value.is_empty() {
            return Err("`tables=` names no table".to_owned());
        }
        let named: Result<_, NameError> = value.split(',').map(str::parse).collect();
        tables =
            Some(named.map_err(|error| {
                format!("{error}; separate several with commas, without blanks")
            })?);
    }
    Ok(Command::Rerun {
        pipelines,
        tables: tables.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::comment;
    use super::*;

    /// What each line of a person's comment asks for; what is wrong with the others.
    fn asked(body: &str) -> Vec<Result<Command, String>> {
        parse(&comment("alice", body))
            .into_iter()
            .map(|line| line.asked.map_err(|misread| misread.why))
            .collect()
    }

    fn rerun(pipelines: &[&str], tables: &[&str]) -> Command {
        Command::Rerun {
            pipelines: pipelines.iter().map(|name| name.parse().unwrap()).collect(),
            tables: tables.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn every_command() {
        let whole = "0a".repeat(32);
        let digest = whole.parse().unwrap();
        for (text, expected) in [
            ("/plan", Command::Plan),
            ("/Status", Command::Status),
            ("/HELP", Command::Help),
            (&format!("/apply {whole}"), Command::Apply { digest }),
            ("/rerun", rerun(&[], &[])),
            ("/Rerun b a b", rerun(&["a", "b"], &[])),
            ("/rerun a tables=x,Y_z c", rerun(&["a", "c"], &["x", "Y_z"])),
            ("/rerun tables=é", rerun(&[], &["é"])),
        ] {
            assert_eq!(asked(text), [Ok(expected)], "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let short = "a".repeat(12);
        let prefixed = format!("/apply sha256:{}", "a".repeat(64));
        for (text, why) in [
            (
                "/plan now",
                "nothing may follow the command, and there is `now`",
            ),
            ("/apply", "it names no digest"),
            (
                &format!("/apply {short}"),
                "`aaaaaaaaaaaa` is only a part of a digest; copy the whole",
            ),
            (&prefixed, "copy the whole digest without it"),
            (
                "/apply everything",
                "`everything` is not a digest; copy the whole",
            ),
            (
                &format!("/apply {0} {0}", "a".repeat(64)),
                "it takes one digest and nothing else",
            ),
            (
                &format!("/apply {}", "A".repeat(64)),
                "64 lowercase hexadecimal digits",
            ),
            ("/rerun a,b", "`a,b` is not a pipeline name"),
            ("/rerun --full", "`--full` is not a pipeline name"),
            (
                "/rerun full=yes",
                "`full=` is not known here; there is `tables=`",
            ),
            ("/rerun tables=", "`tables=` names no table"),
            ("/rerun tables=a, b", "`` is not a PostgreSQL name"),
            ("/rerun tables=a tables=b", "`tables=` stands there twice"),
            ("/pln", "`/pln` is not a command; did you mean `/plan`?"),
            (
                "/Aplpy x",
                "`/aplpy` is not a command; did you mean `/apply`?",
            ),
            ("/help!", "did you mean `/help`?"),
        ] {
            let found = asked(text);
            assert!(
                matches!(found.as_slice(), [Err(said)] if said.contains(why)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn paths_and_the_commands_of_others_are_none_of_ours() {
        for word in [
            "lgtm",
            "approve",
            "hold",
            "assign",
            "cc",
            "close",
            "retest",
            "test",
            "test-all",
            "label",
            "kind",
            "area",
            "priority",
            "remove",
            "override",
            "skip",
            "rebase",
            "merge",
            "backport",
            "retry",
            "run",
            "deploy",
            "lock",
            "unlock",
            "import",
            "state",
            "etc",
            "home",
            "usr/bin",
            "plans/a",
            "plan/",
            "apply.sh",
            "status.json",
            "rerun-all",
        ] {
            assert_eq!(asked(&format!("/{word} orders")), [], "{word}");
        }
    }

    #[test]
    fn a_line_has_its_number_and_bots_have_none() {
        let mut written = comment("alice", "please\n\n/plan\n/plans/x\n/rerun é,\n");
        let keys: Vec<String> = parse(&written)
            .iter()
            .map(|line| format!("{} {}", line.key, line.text))
            .collect();
        assert_eq!(keys, ["7-3 /plan", "7-5 /rerun é,"]);
        written.by = AuthorKind::Bot;
        assert_eq!(parse(&written), []);
    }

    #[test]
    fn there_is_an_end_to_everything() {
        let lines = asked(&"/plan\n".repeat(1000));
        assert_eq!(lines.len(), MOST + 1);
        assert!(lines[..MOST].iter().all(Result::is_ok));
        assert!(
            lines[MOST]
                .as_ref()
                .is_err_and(|why| why.contains("at most 20"))
        );
        assert_eq!(asked(&format!("/plan\n{}", "x".repeat(LONGEST))), []);
        let names = "a ".repeat(30_000);
        assert_eq!(asked(&format!("/rerun {names}")), [Ok(rerun(&["a"], &[]))]);
    }
}
