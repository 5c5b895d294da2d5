//! Comments stay whole and fit, whatever they hold and however much.

use proptest::prelude::*;
use serde_json::Value;

use super::super::testing::*;
use super::super::*;
use crate::finding::{Finding, rule};
use crate::object::{Kind, Object, ObjectKey};
use crate::plan::access::Violation;
use crate::plan::compare::FieldChange;
use crate::plan::outcome::{Outcome, Outcomes};
use crate::plan::{Action, Change, Plan};

/// Panics unless the text is Markdown that fits, whose fences, sections and tables are whole
/// and which has no HTML, link or mention outside of code.
pub(super) fn assert_whole(text: &str) {
    assert!(text.len() <= 65_536 - 50, "{} bytes", text.len());
    let (mut depth, mut fence, mut columns) = (0, None::<usize>, 0);
    for line in text.lines() {
        let hidden = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!line.contains(hidden) && !line.starts_with('/'), "{line:?}");
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if ticks >= open && ticks == line.len() => fence = None,
            Some(_) => {}
            None if ticks >= 3 && !line.trim_start_matches('`').contains('`') => {
                fence = Some(ticks);
            }
            None if line == "<details>" => depth += 1,
            None if line == "</details>" => {
                depth -= 1;
                assert!(depth >= 0, "{text}");
            }
            None if line.starts_with("<summary>") => {
                let inner = line.replace("<code>", "").replace("</code>", "");
                let inner = inner.strip_prefix("<summary>").unwrap();
                let inner = inner.strip_suffix("</summary>").unwrap();
                assert!(!inner.contains(['<', '>']), "{line}");
            }
            None => {
                let outside = outside_code(line);
                for active in ["<", ">", "@", "[", "]", "://", "www.", "\\"] {
                    let outside = outside.replace("\\|", "");
                    assert!(!outside.contains(active), "{active} in {line}");
                }
            }
        }
        if fence.is_none() && line.starts_with('|') {
            let cells = line.replace("\\|", "").matches('|').count();
            assert!(columns == 0 || columns == cells, "{line}");
            columns = cells;
        } else {
            columns = 0;
        }
    }
    assert_eq!((depth, fence), (0, None), "{text}");
}

/// The line without its code spans; panics if one is not closed.
fn outside_code(line: &str) -> String {
    let (mut rest, mut out) = (line, String::new());
    while let Some(start) = rest.find('`') {
        out.push_str(&rest[..start]);
        let from = &rest[start..];
        let body = from.trim_start_matches('`');
        let run = from.len() - body.len();
        let mut end = 0;
        loop {
            let open = end
                + body[end..]
                    .find('`')
                    .unwrap_or_else(|| panic!("open: {line}"));
            let after = body[open..].trim_start_matches('`');
            end = body.len() - after.len();
            if end - open == run {
                rest = after;
                break;
            }
        }
    }
    out + rest
}

/// Texts that want out of where they are put.
pub(super) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "`",
            "```",
            "````\n",
            "|",
            "\\",
            "\\|",
            "<!--",
            "-->",
            "</details>",
            "<details>",
            "<img src=x onerror=y>",
            "@everyone",
            "@acme/orders",
            "[x](http://evil.example)",
            "https://evil.example/a",
            "www.evil.example",
            "\n",
            "\r\n",
            "\n/apply x",
            "\u{202e}",
            "\u{200b}",
            "\0",
            "{{ workflow.name }}",
            "#12",
            "acme/x#1",
            "deadbeef1234",
            "* ",
            "~~~",
            "&lt;",
            " ",
            "word",
            "{\"a\":1}",
            "---\n",
        ])
        .prop_map(ToOwned::to_owned),
        2 => any::<String>(),
        1 => (1_usize..2_000).prop_map(|n| "`é".repeat(n)),
    ];
    prop::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

/// Puts the text wherever a plan holds one.
pub(super) fn poison(plan: &mut Plan, text: &str) {
    let name = plan.pipelines.keys().next().unwrap().clone();
    for finding in [
        Finding::deny(rule::POLICY, text, None, text).about(&name),
        Finding::warn(rule::POLICY, "policies/x", None, text),
    ] {
        plan.findings.push(finding.help(text));
    }
    plan.findings[0].rule = text.to_owned();
    plan.access.isolation.violations.push(Violation {
        text: text.to_owned(),
        accounts: Default::default(),
    });
    let value = || Some(Value::String(text.to_owned()));
    let field = FieldChange {
        field: text.to_owned(),
        live: value(),
        desired: Some(Value::Array(vec![value().unwrap()])),
    };
    let change = |action| Change {
        action,
        pipelines: [name.clone()].into(),
        object: Some(Object::Kubernetes(serde_json::json!({ text: text }).into())),
    };
    let configure = Action::Configure {
        fields: vec![field],
        resource_version: None,
    };
    for (kind, action) in [
        (Kind::Role, Action::Create),
        (Kind::ConfigMap, configure),
        (Kind::CronWorkflow, Action::Prune),
        (Kind::RoleBinding, Action::Unchanged),
    ] {
        let key = ObjectKey::Kubernetes {
            kind,
            name: text.to_owned(),
        };
        plan.changes.insert(key, change(action));
    }
    plan.pipelines.get_mut(&name).unwrap().path = text.to_owned();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn comments_stay_whole_whatever_they_hold(text in hostile()) {
        let (base, proposed) = two();
        let mut plan = reviewed(&base, &proposed);
        poison(&mut plan, &text);
        assert_whole(&comment(&plan));
        assert_whole(&check_summary(&plan).summary);
        assert_whole(&conflict_comment(&commit('b'), &vec![text.clone(); 300]));

        let mut plan = merged(&base, &proposed);
        let approved = approve_as(&plan, &plan.clone(), "olga").unwrap();
        poison(&mut plan, &text);
        let steps = approved.steps().iter().enumerate();
        let outcomes = Outcomes {
            steps: steps
                .map(|(index, step)| {
                    let outcome = match index % 3 {
                        0 => Outcome::Failed(text.clone()),
                        1 => Outcome::Waiting(text.clone()),
                        _ => Outcome::NotAttempted,
                    };
                    (step.clone(), outcome)
                })
                .collect(),
        };
        assert_whole(&applied_comment(&Applied {
            pull: 12,
            commit: &commit('c'),
            plan: &plan,
            approved: Ok(&approved),
            outcomes: &outcomes,
            pipelines: &names(&["orders", "stock"]),
        }));
    }
}

#[test]
fn whole_markdown_is_told_from_broken() {
    for broken in [
        "`a",
        "```\nx",
        "<details>",
        "| a |\n| a | b |",
        "x @y",
        "a\n/apply",
    ] {
        assert!(
            std::panic::catch_unwind(|| assert_whole(broken)).is_err(),
            "{broken}"
        );
    }
}

pub(super) fn many(count: usize) -> Plan {
    let files: Vec<(String, String)> = (0..count)
        .map(|n| (format!("p{n:04}"), file("stock", &format!("d{n}"), "")))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    reviewed(&tree::<&str>(&[]), &tree(&files))
}

#[test]
fn detail_is_given_up_as_pipelines_become_more() {
    for (count, told, given_up) in [
        (8, "5 manifests", "too long"),
        (30, "<code>p0029</code>", "manifest</summary>"),
        (300, "| `p0299` | create |", "<code>p0299</code>"),
        (
            3_000,
            "### Plan for 3000 pipelines: 3000 to create",
            "`p2999`",
        ),
    ] {
        let plan = many(count);
        let comment = comment(&plan);
        assert_whole(&comment);
        assert!(comment.contains(told), "{count}: {comment}");
        assert!(!comment.contains(given_up), "{count}: {comment}");
        assert_whole(&check_summary(&plan).summary);
    }
}

#[test]
fn thousands_of_findings_and_files_fit() {
    let mut plan = many(1);
    let name = plan.pipelines.keys().next().unwrap().clone();
    let finding = Finding::deny(rule::POLICY, "pipelines/p.yaml", None, "no ".repeat(300));
    plan.findings = vec![finding.about(&name); 3_000];
    let comment = comment(&plan);
    assert_whole(&comment);
    assert!(comment.contains("more: see the annotations"), "{comment}");
}
