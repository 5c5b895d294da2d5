//! Who may command what, and what the others are told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pipewright::command::{
    AuthorKind, AuthorizedCommand, Base, Circumstances, CodeOwners, Command, CommandKey, Comment,
    Edits, Permission, PullState, Refused, Target, asked_owners, authorize, parse,
};
use pipewright::name::PipelineName;
use pipewright::pipeline::{self, Pipeline};
use pipewright::plan::approval::Memberships;
use pipewright::policy::Policies;
use pipewright::proposal::{Scope, propose};
use pipewright::report::refused_reply;
use pipewright::snapshot::Tree;

use crate::common::{house, proposal_of, tree_of};
use crate::planning::{Files, name};

/// Three pipelines: one has owners in its file, one in CODEOWNERS, one only in the estate.
fn files() -> Files {
    let file = |service: &str, more: &str| {
        format!(
            "bq_project_id: acme-{service}\nbq_connection_id: db\nbq_dataset_name: {service}\n\
             service_name: {service}\ndb_catalog_name: db\ndb_schema_name: {service}\n{more}"
        )
    };
    let project = |service: &str, owner: &str| {
        format!(
            "  acme-{service}:\n    owners: ['{owner}']\n    connections:\n      db: \
             {{location: eu, instance: 'acme-{service}:europe-west1:db'}}\n"
        )
    };
    let estate = ["orders", "stock"].map(|service| project(service, "@acme/lenders"));
    [
        (
            "policies/estate.yaml",
            format!(
                "owners: ['@acme/house']\nprojects:\n{}{}",
                estate.concat(),
                project("parts", "@pia")
            ),
        ),
        (
            ".github/CODEOWNERS",
            "* @nobody\n/pipelines/\n/pipelines/s* @acme/keepers\n/pipelines/o* @acme/keepers\n"
                .into(),
        ),
        (
            "pipelines/orders.yaml",
            file(
                "orders",
                "owners: ['@oona', '@acme/runners']\ntarget_tables: [lines, heads]\n",
            ),
        ),
        (
            "pipelines/stock.yaml",
            file("stock", "excluded_tables: [audit]\n"),
        ),
        ("pipelines/parts.yaml", file("parts", "")),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .into()
}

/// What a base branch says, read once.
struct Read {
    policies: Policies,
    pipelines: BTreeMap<PipelineName, Pipeline>,
    code_owners: CodeOwners,
    about: BTreeSet<PipelineName>,
}

impl Read {
    fn of(tree: &Tree, about: &[&str]) -> Self {
        Self {
            policies: Policies::parse(tree),
            pipelines: pipeline::parse(tree).pipelines,
            code_owners: CodeOwners::of(tree),
            about: about.iter().map(|one| name(one)).collect(),
        }
    }

    fn base(&self) -> Base<'_> {
        Base {
            policies: &self.policies,
            pipelines: &self.pipelines,
            code_owners: &self.code_owners,
            about: &self.about,
        }
    }
}

fn memberships() -> Memberships {
    let team = |team: &str, login: &str| (team.parse().unwrap(), login.to_owned());
    Memberships {
        members: [
            team("@acme/runners", "theo"),
            team("@acme/keepers", "kim"),
            team("@acme/keepers", "rex"),
            team("@acme/house", "hugo"),
        ]
        .into(),
    }
}

struct Actor {
    who: &'static str,
    login: &'static str,
    permission: Permission,
    by: AuthorKind,
}

fn actors() -> Vec<Actor> {
    use Permission::{None, Read, Write};
    [
        ("author", "ann", Read),
        ("fork's author", "fay", Read),
        ("owner", "oona", Read),
        ("team member", "theo", Read),
        ("code owner", "kim", Write),
        ("reading code owner", "rex", Read),
        ("project owner", "PIA", Read),
        ("house owner", "Hugo", Read),
        ("writer", "will", Write),
        ("reader", "rita", Read),
        ("stranger", "sam", None),
        ("bot", "will[bot]", Write),
    ]
    .map(|(who, login, permission)| Actor {
        who,
        login,
        permission,
        by: if who == "bot" {
            AuthorKind::Bot
        } else {
            AuthorKind::Person
        },
    })
    .into()
}

/// Name, state, where it leads, and whether the comment was edited.
const STATES: [(&str, PullState, Target, Edits); 6] = [
    ("open", PullState::Open, Target::DefaultBranch, Edits::Never),
    (
        "merged",
        PullState::Merged,
        Target::DefaultBranch,
        Edits::Never,
    ),
    (
        "closed",
        PullState::Closed,
        Target::DefaultBranch,
        Edits::Never,
    ),
    (
        "open elsewhere",
        PullState::Open,
        Target::OtherBranch,
        Edits::Never,
    ),
    (
        "merged elsewhere",
        PullState::Merged,
        Target::OtherBranch,
        Edits::Never,
    ),
    (
        "edited",
        PullState::Merged,
        Target::DefaultBranch,
        Edits::Edited,
    ),
];

fn comment(actor: &Actor, text: &str, edits: Edits) -> Comment {
    Comment {
        id: 7,
        pull: 12,
        author: actor.login.into(),
        by: actor.by,
        body: text.into(),
        created_at: Timestamp::UNIX_EPOCH,
        edits,
    }
}

/// What the one line of a comment comes to; `None` if it has none.
fn decide(
    read: &Read,
    actor: &Actor,
    text: &str,
    (_, state, target, edits): (&str, PullState, Target, Edits),
) -> Option<Result<AuthorizedCommand, Refused>> {
    let comment = comment(actor, text, edits);
    let mut lines = parse(&comment);
    let line = lines.pop()?;
    assert!(lines.is_empty());
    let circumstances = Circumstances {
        comment: &comment,
        pull_author: if actor.who == "fork's author" {
            "fay"
        } else {
            "Ann"
        },
        state,
        target,
        permission: actor.permission,
        memberships: &memberships(),
        base: read.base(),
    };
    Some(authorize(line.key, &line.asked.unwrap(), &circumstances))
}

fn answer(
    read: &Read,
    actor: &Actor,
    text: &str,
    state: (&str, PullState, Target, Edits),
) -> String {
    match decide(read, actor, text, state) {
        None => "no command".to_owned(),
        Some(Ok(authorized)) => {
            assert_eq!((authorized.actor(), authorized.pull()), (actor.login, 12));
            "allowed".to_owned()
        }
        Some(Err(refused)) => refused_reply(text, &refused)
            .split_once(": not done: ")
            .map(|(_, why)| why.to_owned())
            .unwrap(),
    }
}

/// For each command and state every answer, with who gets it. What has the same answers is
/// told once.
fn told(read: &Read, commands: &[&str]) -> String {
    type Answers = Vec<(String, Vec<&'static str>)>;
    let mut told: Vec<(BTreeMap<usize, Vec<&str>>, Answers)> = Vec::new();
    for (index, text) in commands.iter().enumerate() {
        for state in STATES {
            let mut answers: Answers = Vec::new();
            for actor in actors() {
                let answer = answer(read, &actor, text, state);
                match answers.iter_mut().find(|(known, _)| *known == answer) {
                    Some((_, who)) => who.push(actor.who),
                    None => answers.push((answer, vec![actor.who])),
                }
            }
            let at = told.iter().position(|(_, known)| *known == answers);
            let at = at.unwrap_or_else(|| {
                told.push((BTreeMap::new(), answers));
                told.len() - 1
            });
            told[at].0.entry(index).or_default().push(state.0);
        }
    }
    let mut out = String::new();
    for (asked, answers) in told {
        for (index, states) in asked {
            out.push_str(&format!("{}: {}\n", commands[index], states.join(", ")));
        }
        for (answer, who) in answers {
            out.push_str(&format!("    {answer}\n        {}\n", who.join(", ")));
        }
    }
    out
}

#[test]
fn everybody_every_command_every_state() {
    let read = Read::of(&tree_of(&files()), &["orders"]);
    let apply = format!("/apply {}", "a".repeat(64));
    let confirm = format!("/confirm {}", "a".repeat(64));
    let commands = [
        "/plan",
        &apply,
        &confirm,
        "/rerun orders",
        "/rerun stock",
        "/rerun parts",
        "/status",
        "/help",
    ];
    let told = told(&read, &commands).replace(&confirm, "/confirm");
    insta::assert_snapshot!(told.replace(&apply, "/apply"), @r##"
    /plan: open
        allowed
            author, fork's author, code owner, writer
        `/plan` is for the pull request's author and for people with write access to this repository, and you are neither.
            owner, team member, reading code owner, project owner, house owner, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /plan: merged, closed, merged elsewhere
        `/plan` is for open pull requests, and this one is not open.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /plan: open elsewhere
        `/plan` is for pull requests into the default branch, and this one leads to another.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /plan: edited
    /apply: edited
    /confirm: edited
    /rerun orders: edited
    /rerun stock: edited
    /rerun parts: edited
    /status: edited
    /help: edited
        an edited comment commands nothing, because others than its author can edit it; write a new one.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader, stranger
        no command
            bot
    /apply: open, closed, open elsewhere
        `/apply` is for merged pull requests, and this one is not merged.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /apply: merged
        `/apply` is for the owners of the house or of a project in the estate (`@acme/house`, `@acme/lenders` and `@pia`), and you are none of them.
            author, fork's author, owner, team member, code owner, reading code owner, writer, reader
        allowed
            project owner, house owner
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /apply: merged elsewhere
        `/apply` is for pull requests into the default branch, and this one leads to another.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /confirm: open, closed, open elsewhere
        `/confirm` is for merged pull requests, and this one is not merged.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /confirm: merged
        `/confirm` is for the owners of the house (`@acme/house`), and you are none of them.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, writer, reader
        allowed
            house owner
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /confirm: merged elsewhere
        `/confirm` is for pull requests into the default branch, and this one leads to another.
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /rerun orders: open, merged, closed, open elsewhere, merged elsewhere
        `/rerun` of `orders` is for its owners (`@acme/runners` and `@oona`, by its file) and the owners of the house (`@acme/house`), and you are none of them.
            author, fork's author, code owner, reading code owner, project owner, writer, reader
        allowed
            owner, team member, house owner
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /rerun stock: open, merged, closed, open elsewhere, merged elsewhere
        `/rerun` of `stock` is for its code owners with write access (`@acme/keepers`) and the owners of the house (`@acme/house`), and you are none of them.
            author, fork's author, owner, team member, project owner, writer, reader
        allowed
            code owner, house owner
        `/rerun` of `stock` is for its code owners with write access (`@acme/keepers`) and the owners of the house (`@acme/house`), and you have no write access.
            reading code owner
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /rerun parts: open, merged, closed, open elsewhere, merged elsewhere
        `/rerun` of `parts` is for the owners of its connection's project (`@pia`) and the owners of the house (`@acme/house`), and you are none of them.
            author, fork's author, owner, team member, code owner, reading code owner, writer, reader
        allowed
            project owner, house owner
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    /status: open, merged, closed, open elsewhere, merged elsewhere
    /help: open, merged, closed, open elsewhere, merged elsewhere
        allowed
            author, fork's author, owner, team member, code owner, reading code owner, project owner, house owner, writer, reader
        commands are for people with read access to this repository, and you have none.
            stranger
        no command
            bot
    "##);
}

/// What `login` gets for a command on a merged pull request.
fn ask(read: &Read, login: &str, text: &str) -> String {
    let actor = actors().into_iter().find(|actor| actor.login == login);
    answer(read, &actor.unwrap(), text, STATES[1])
}

#[test]
fn a_rerun_is_for_pipelines_and_tables_that_are_there() {
    let read = Read::of(&tree_of(&files()), &["gone", "orders", "parts"]);
    let elsewhere = Read::of(&tree_of(&files()), &["gone"]);
    for (read, login, text, expected) in [
        (
            &read,
            "oona",
            "/rerun ordres",
            "there is no pipeline `ordres` on the default branch; did you mean `orders`?",
        ),
        (
            &read,
            "oona",
            "/rerun orders gone",
            "there is no pipeline `gone` on the default branch.",
        ),
        (
            &elsewhere,
            "Hugo",
            "/rerun",
            "this pull request is about no pipeline that is on the default branch; name one: `/rerun <pipeline>`.",
        ),
        (&read, "oona", "/rerun orders tables=lines", "allowed"),
        (
            &read,
            "oona",
            "/rerun orders tables=lines,tails",
            "`orders` does not copy the table `tails`: `target_tables` has `heads` and `lines`.",
        ),
        (
            &read,
            "Hugo",
            "/rerun stock tables=audit",
            "`stock` does not copy the table `audit`: it is among its `excluded_tables`.",
        ),
        (&read, "Hugo", "/rerun stock tables=any", "allowed"),
        // All of them, or nothing.
        (&read, "Hugo", "/rerun orders stock tables=lines", "allowed"),
        (
            &read,
            "oona",
            "/rerun orders stock parts",
            "`/rerun` of `parts` is for the owners of its connection's project (`@pia`) and the owners of the house (`@acme/house`), and you are none of them; 1 more of them is not yours either.",
        ),
        (
            &read,
            "oona",
            "/rerun",
            "`/rerun` of `parts` is for the owners of its connection's project (`@pia`) and the owners of the house (`@acme/house`), and you are none of them.",
        ),
    ] {
        assert_eq!(ask(read, login, text), expected, "{login} {text}");
    }
    let hugo = actors()
        .into_iter()
        .find(|actor| actor.login == "Hugo")
        .unwrap();
    let authorized = decide(&read, &hugo, "/rerun", STATES[1]).unwrap().unwrap();
    assert_eq!(
        *authorized.command(),
        Command::Rerun {
            pipelines: [name("orders"), name("parts")].into(),
            tables: BTreeSet::new(),
        }
    );
    assert_eq!(authorized.key().to_string(), "7-1");
}

#[test]
fn a_bots_command_would_be_refused_too() {
    let read = Read::of(&tree_of(&files()), &[]);
    let bot = actors().pop().unwrap();
    let written = comment(&bot, "/help", Edits::Never);
    let circumstances = Circumstances {
        comment: &written,
        pull_author: "ann",
        state: PullState::Open,
        target: Target::DefaultBranch,
        permission: Permission::Admin,
        memberships: &memberships(),
        base: read.base(),
    };
    let key = CommandKey {
        comment: 7,
        line: 1,
    };
    let refused = authorize(key, &Command::Help, &circumstances);
    assert_eq!(refused, Err(Refused::Bot));
}

#[test]
fn an_estate_with_a_mistake_gives_nobody_a_right() {
    let mut files = files();
    let estate = files.get_mut("policies/estate.yaml").unwrap();
    estate.push_str("  acme-more: {owners: []}\n");
    let read = Read::of(&tree_of(&files), &[]);
    let mended = "takes its rights from the policies on the default branch, and they have mistakes; mend those first.";
    let apply = format!("/apply {}", "a".repeat(64));
    assert_eq!(ask(&read, "Hugo", &apply), format!("`/apply` {mended}"));
    assert_eq!(
        ask(&read, "PIA", "/rerun parts"),
        format!("`/rerun` {mended}")
    );
    assert_eq!(
        ask(&read, "Hugo", "/rerun parts"),
        format!("`/rerun` {mended}")
    );
    assert_eq!(ask(&read, "oona", "/rerun orders"), "allowed");
    assert!(ask(&read, "Hugo", "/rerun orders").contains("owners of the house (nobody)"));
}

#[test]
fn only_the_teams_that_decide_are_asked_about() {
    let read = Read::of(&tree_of(&files()), &["orders"]);
    let asked = |text: &str| -> Vec<String> {
        let oona = &actors()[2];
        let line = parse(&comment(oona, text, Edits::Never)).pop().unwrap();
        let owners = asked_owners(&line.asked.unwrap(), &read.base());
        owners.iter().map(ToString::to_string).collect()
    };
    assert_eq!(asked("/plan"), [""; 0]);
    assert_eq!(asked("/rerun"), ["@acme/house", "@acme/runners"]);
    assert_eq!(
        asked("/rerun stock parts"),
        ["@acme/house", "@acme/keepers"]
    );
    assert_eq!(asked("/rerun gone"), ["@acme/house"]);
    let apply = format!("/apply {}", "a".repeat(64));
    assert_eq!(asked(&apply), ["@acme/house", "@acme/lenders"]);
}

#[test]
fn code_owners_are_the_bases_and_never_change_a_plan() {
    let base = files();
    let mut proposed = base.clone();
    let theirs = "* @rita\n".to_owned();
    proposed.insert(".github/CODEOWNERS".into(), theirs.clone());
    proposed.insert("CODEOWNERS".into(), theirs.clone());
    proposed.insert("docs/CODEOWNERS".into(), theirs);
    let snapshot = proposal_of(&base, &proposed);
    let proposal = propose(&snapshot, &house());
    assert_eq!(proposal.scope, Scope::Only(BTreeSet::new()));
    assert_eq!(proposal.findings, vec![]);

    let read = Read::of(&snapshot.base, &[]);
    assert!(ask(&read, "rita", "/rerun stock").contains("`@acme/keepers`"));
    let read = Read::of(&snapshot.proposed.unwrap(), &[]);
    assert!(ask(&read, "rita", "/rerun stock").contains("no write access"));
}
