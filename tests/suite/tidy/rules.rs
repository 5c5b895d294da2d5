//! One function per rule; each looks at one file.

use super::source::{Source, Token, closing, starts_with};

/// Sync, total, and free of IO, clock and environment.
const CORE: &[&str] = &[
    "name", "snapshot", "event", "command", "finding", "yaml", "estate", "pipeline", "policy",
    "object", "render", "proposal", "plan", "report", "sync", "retry",
];
const REST: &[&str] = &["clock", "edges", "shell", "cli", "sandbox", "main", "lib"];

const NOT_IN_CORE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::*",
    "tokio",
    "reqwest",
    "kube",
    "k8s_openapi",
    "octocrab",
    "git2",
    "axum",
    "tracing",
];

const SIMULATORS: &[&str] = &["github", "kubernetes", "google"];

/// The longest file, in production lines.
const FILE_LINES: usize = 400;
/// The line that everything else hangs on stays readable at a glance.
const RECONCILE_LINES: usize = 80;
const RECONCILE: &str = "src/shell/reconcile.rs";

/// Where the real time is read although the file is not the clock, how often, and why. Simulators only.
pub const REAL_TIME: &[(&str, usize, &str)] = &[
    (
        "src/sandbox/github/rest_app.rs",
        1,
        "the client library compares a token's expiry with the machine's own clock",
    ),
    (
        "src/sandbox/kubernetes/watch.rs",
        3,
        "a watch ends after the time its client asked for, which is a wall clock's",
    ),
];

/// The places that see how the process was started.
const ENVIRONMENT: &[&str] = &["src/main.rs", "src/cli.rs", "src/cli/", "src/shell/start"];

#[derive(Debug)]
pub struct Violation {
    pub line: usize,
    pub what: String,
    pub reason: &'static str,
}

pub type Rule = fn(&Source) -> Vec<Violation>;

pub const RULES: &[Rule] = &[
    core_is_pure,
    every_module_has_its_place,
    edges_stay_apart,
    simulators_share_no_types,
    one_clock,
    one_reader_of_the_environment,
    unsafe_in_one_file,
    no_panics,
    short_files,
    short_reconcile,
    names_that_say_something,
];

fn top(source: &Source) -> &str {
    source.module().first().copied().unwrap_or("lib")
}

fn is_or_is_under(parts: &[String], root: &str) -> bool {
    let mut parts = parts.iter();
    root.split("::")
        .all(|want| parts.next().is_some_and(|part| part == want))
}

fn core_is_pure(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || !CORE.contains(&top(source)) {
        return Vec::new();
    }
    let reason = "the core is sync and free of IO, clock and environment, so that the same input gives the same plan";
    let mut found = Vec::new();
    for token in &source.production {
        if matches!(token.text.as_str(), "async" | "await") {
            found.push(Violation {
                line: token.line,
                what: token.text.clone(),
                reason,
            });
        }
    }
    for name in source.names() {
        let banned = match source.inside(&name) {
            Some(inside) => inside
                .first()
                .is_some_and(|module| !CORE.contains(&module.as_str())),
            None => {
                let whole = name.parts == ["std", "time"];
                whole
                    || NOT_IN_CORE
                        .iter()
                        .any(|root| is_or_is_under(&name.parts, root))
            }
        };
        if banned {
            found.push(Violation {
                line: name.line,
                what: name.parts.join("::"),
                reason,
            });
        }
    }
    found
}

fn every_module_has_its_place(source: &Source) -> Vec<Violation> {
    let module = top(source);
    if !source.path.starts_with("src/") || CORE.contains(&module) || REST.contains(&module) {
        return Vec::new();
    }
    vec![Violation {
        line: 1,
        what: format!("the module {module}"),
        reason: "whether a module belongs to the core decides what it may use: name it in this test",
    }]
}

fn edges_stay_apart(source: &Source) -> Vec<Violation> {
    let module = source.module();
    let ["edges", edge, ..] = module.as_slice() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for name in source.names() {
        let Some(inside) = source.inside(&name) else {
            continue;
        };
        let allowed = match inside
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            [] => true,
            ["edges", other, ..] => other == edge,
            [first, ..] => *first == "clock" || CORE.contains(first),
        };
        if !allowed {
            found.push(Violation {
                line: name.line,
                what: name.parts.join("::"),
                reason: "an edge owns one outside system and knows of the core and the clock only",
            });
        }
    }
    found
}

fn simulators_share_no_types(source: &Source) -> Vec<Violation> {
    let module = source.module();
    let simulator = match module.as_slice() {
        ["sandbox", "server"] => true,
        ["sandbox", name, ..] => SIMULATORS.contains(name),
        _ => false,
    };
    if !simulator {
        return Vec::new();
    }
    // In its tests as well: what proves a simulator must not come from what it is to prove.
    let mut found = Vec::new();
    for name in source.all_names() {
        let inside = source.inside(&name);
        let ours = name
            .parts
            .first()
            .is_some_and(|first| first == "pipewright");
        // The time is nothing that an outside system and the bot could mistake alike.
        let shared = |root: &String| root == "sandbox" || root == "clock";
        if ours || inside.is_some_and(|parts| parts.first().is_some_and(|it| !shared(it))) {
            found.push(Violation {
                line: name.line,
                what: name.parts.join("::"),
                reason: "a simulator that shares our types shares our errors",
            });
        }
    }
    found
}

/// Every use of real time, wherever it stands.
pub fn real_time(source: &Source) -> Vec<Violation> {
    let calls = [
        ["tokio", "time"],
        ["Instant", "now"],
        ["SystemTime", "now"],
        ["Timestamp", "now"],
        ["Zoned", "now"],
    ];
    let reads = |parts: &[String]| {
        parts
            .windows(2)
            .any(|pair| calls.iter().any(|call| pair == call))
    };
    let names = source.names().into_iter();
    names
        .filter(|name| reads(&name.parts))
        .map(|name| Violation {
            line: name.line,
            what: name.parts.join("::"),
            reason: "time comes from the clock, so that a test of an hour takes no time",
        })
        .collect()
}

fn one_clock(source: &Source) -> Vec<Violation> {
    let excepted = REAL_TIME.iter().any(|(path, ..)| *path == source.path);
    if source.path == "src/clock.rs" || excepted || !source.path.starts_with("src/") {
        return Vec::new();
    }
    real_time(source)
}

fn one_reader_of_the_environment(source: &Source) -> Vec<Violation> {
    let start = ENVIRONMENT.iter().any(|path| source.path.starts_with(path));
    if start || !source.path.starts_with("src/") {
        return Vec::new();
    }
    let names = source.names().into_iter();
    names
        .filter(|name| {
            is_or_is_under(&name.parts, "std::env") || is_or_is_under(&name.parts, "env")
        })
        .map(|name| Violation {
            line: name.line,
            what: name.parts.join("::"),
            reason: "settings are read once, at the start, and come in as values",
        })
        .collect()
}

fn unsafe_in_one_file(source: &Source) -> Vec<Violation> {
    if source.path == "src/edges/git/transport.rs" {
        return Vec::new();
    }
    let tokens = source.tokens.iter().filter(|token| token.text == "unsafe");
    tokens
        .map(|token| Violation {
            line: token.line,
            what: "unsafe".to_owned(),
            reason: "only git2's registration of a transport asks for it",
        })
        .collect()
}

fn no_panics(source: &Source) -> Vec<Violation> {
    let patterns: &[&[&str]] = &[
        &[".", "unwrap", "(", ")"],
        &[".", "expect", "("],
        &["panic", "!"],
        &["unreachable", "!"],
        &["todo", "!"],
        &["unimplemented", "!"],
        &["dbg", "!"],
    ];
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for at in 0..source.production.len() {
        let rest = &source.production[at..];
        if let Some(pattern) = patterns.iter().find(|pattern| starts_with(rest, pattern)) {
            found.push(Violation {
                line: rest[0].line,
                what: pattern.concat(),
                reason: "one bad input must not stop the work on the others",
            });
        }
    }
    found
}

fn short_files(source: &Source) -> Vec<Violation> {
    if source.production_lines <= FILE_LINES || !source.path.starts_with("src/") {
        return Vec::new();
    }
    vec![Violation {
        line: FILE_LINES + 1,
        what: format!(
            "{} production lines, at most {FILE_LINES}",
            source.production_lines
        ),
        reason: "a file is one subject that fits in the head",
    }]
}

fn short_reconcile(source: &Source) -> Vec<Violation> {
    if source.path != RECONCILE {
        return Vec::new();
    }
    let reason = "the whole product is one line that is read at a glance";
    let tokens = &source.production;
    let head = ["pub", "async", "fn", "reconcile"];
    let Some(start) = (0..tokens.len()).find(|at| starts_with(&tokens[*at..], &head)) else {
        let what = "no `pub async fn reconcile`".to_owned();
        return vec![Violation {
            line: 1,
            what,
            reason,
        }];
    };
    let is_open = |token: &Token| token.text == "{";
    let open = tokens
        .iter()
        .skip(start)
        .position(is_open)
        .map_or(tokens.len(), |at| start + at);
    let end = tokens
        .get(closing(tokens, open, "{", "}"))
        .or(tokens.last());
    let first = tokens[start].line;
    let lines = end.map_or(0, |token| token.line + 1 - first);
    if lines < RECONCILE_LINES {
        return Vec::new();
    }
    let what = format!("reconcile has {lines} lines, fewer than {RECONCILE_LINES} are allowed");
    vec![Violation {
        line: first,
        what,
        reason,
    }]
}

fn names_that_say_something(source: &Source) -> Vec<Violation> {
    let banned = [
        "Manager", "Handler", "Helper", "Helpers", "Util", "Utils", "Service",
    ];
    let declares = ["struct", "enum", "trait", "type", "union"];
    let pairs = source.tokens.iter().zip(source.tokens.iter().skip(1));
    pairs
        .filter(|(word, name)| {
            declares.contains(&word.text.as_str())
                && banned.iter().any(|suffix| name.text.ends_with(suffix))
        })
        .map(|(_, name)| Violation {
            line: name.line,
            what: format!("the type {}", name.text),
            reason: "a suffix that fits every type says nothing about this one",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that `rule` finds in `text`, were it the file `path`.
    fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
        let found = rule(&Source::parse(path, text));
        found.into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn the_core_is_held_to_be_pure() {
        let bad = "use std::{collections::BTreeMap, fs};\nuse crate::plan::Plan;\nuse crate::{edges, clock::Clock};\nasync fn f() {\n tracing::info!(\"x\");\n}\nuse std::time::Duration;\nuse std::time::Instant;\n";
        let found = lines(core_is_pure, "src/policy/rego.rs", bad);
        assert_eq!(found, [4, 1, 3, 3, 5, 8]);
        assert_eq!(lines(core_is_pure, "src/edges/git/mod.rs", bad), [0; 0]);
        let test = format!("#[cfg(test)]\nmod tests {{\n{bad}}}\n");
        assert_eq!(lines(core_is_pure, "src/plan/mod.rs", &test), [0; 0]);
    }

    #[test]
    fn an_unknown_module_is_found() {
        assert_eq!(
            lines(every_module_has_its_place, "src/misc/mod.rs", ""),
            [1]
        );
        assert_eq!(lines(every_module_has_its_place, "src/main.rs", ""), [0; 0]);
    }

    #[test]
    fn edges_are_held_apart() {
        let bad = "use crate::edges::git::Mirror;\nuse crate::edges::forge::wire;\nuse crate::name::Name;\nuse super::super::git;\nfn f() { crate::shell::run() }\n#[cfg(test)]\nmod tests {\n use crate::sandbox::server::Server;\n}\n";
        assert_eq!(
            lines(edges_stay_apart, "src/edges/forge/pull.rs", bad),
            [1, 4, 5]
        );
        assert_eq!(lines(edges_stay_apart, "src/shell/mod.rs", bad), [0; 0]);
    }

    #[test]
    fn simulators_are_held_to_their_own_types() {
        let bad = "use crate::sandbox::server::Server;\nuse crate::name::Name;\n#[cfg(test)]\nmod tests {\n use super::super::super::edges;\n use super::*;\n use crate::clock::Clock;\n}\n";
        let rule = simulators_share_no_types;
        assert_eq!(lines(rule, "src/sandbox/google/mod.rs", bad), [2, 5]);
        let nested = "use super::super::super::edges;\n";
        assert_eq!(lines(rule, "src/sandbox/google/world.rs", nested), [1]);
        assert_eq!(lines(rule, "src/sandbox/server.rs", bad), [2, 5]);
        assert_eq!(lines(rule, "src/sandbox/story.rs", bad), [0; 0]);
    }

    #[test]
    fn a_second_clock_is_found() {
        let bad = "use tokio::time::sleep;\nlet a = std::time::Instant::now();\nlet b = Timestamp::now();\nlet c = clock.now();\n";
        assert_eq!(lines(one_clock, "src/edges/git/mod.rs", bad), [1, 2, 3]);
        assert_eq!(lines(one_clock, "src/clock.rs", bad), [0; 0]);
    }

    #[test]
    fn a_second_reader_of_the_environment_is_found() {
        let bad = "use std::env;\nlet a = env::var(\"A\");\nlet b = env!(\"B\");\n";
        let rule = one_reader_of_the_environment;
        assert_eq!(lines(rule, "src/edges/git/mod.rs", bad), [1, 2]);
        assert_eq!(lines(rule, "src/cli/serve.rs", bad), [0; 0]);
    }

    #[test]
    fn unsafe_is_found() {
        let bad = "// unsafe\n#[expect(unsafe_code)]\nunsafe { f() }\n";
        assert_eq!(lines(unsafe_in_one_file, "src/name.rs", bad), [3]);
        assert_eq!(
            lines(unsafe_in_one_file, "src/edges/git/transport.rs", bad),
            [0; 0]
        );
    }

    #[test]
    fn panics_are_found() {
        let bad = "a.unwrap();\na.unwrap_or(0);\nb.expect(\"c\");\n#[expect(dead_code)]\npanic!();\nunreachable!();\ntodo!();\ndbg!(1);\n#[cfg(test)]\nmod tests {\n a.unwrap();\n}\n";
        assert_eq!(lines(no_panics, "src/name.rs", bad), [1, 3, 5, 6, 7, 8]);
    }

    #[test]
    fn long_files_are_found() {
        let tests = "#[cfg(test)]\nmod tests {\n\n}\n";
        let fits = format!("{}{tests}", "\n".repeat(400));
        assert_eq!(lines(short_files, "src/name.rs", &fits), [0; 0]);
        let long = format!("{}{tests}", "\n".repeat(401));
        assert_eq!(lines(short_files, "src/name.rs", &long), [401]);
    }

    #[test]
    fn a_long_reconcile_is_found() {
        let text =
            |lines: usize| format!("\npub async fn reconcile() {{{}}}\n", "\n".repeat(lines));
        assert_eq!(lines(short_reconcile, RECONCILE, &text(78)), [0; 0]);
        assert_eq!(lines(short_reconcile, RECONCILE, &text(79)), [2]);
        assert_eq!(lines(short_reconcile, RECONCILE, "fn other() {}"), [1]);
    }

    #[test]
    fn empty_names_are_found() {
        let bad = "struct LaneManager;\nenum ServiceAccount {}\npub trait Service {}\ntype PathUtils = u8;\nstruct Managers;\n";
        assert_eq!(
            lines(names_that_say_something, "src/name.rs", bad),
            [1, 3, 4]
        );
    }
}
