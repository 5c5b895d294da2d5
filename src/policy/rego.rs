//! The house's rules in Rego, in the conventions that people know from conftest.
//!
//! In every package the rules `deny`, `violation` and `warn` are sets of messages, or of
//! objects `{"msg": …, "key": …}` with `key` a JSON pointer into the pipeline's file, so
//! that the finding lands on that line. `input` is one pipeline with its objects
//! ([`Input`]), `data.pipelines` all of them by name.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::finding::{Finding, Severity, Span, rule};
use crate::render::{Desired, Rendered};
use crate::snapshot::RepoPath;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::Policies;
use super::input::{Input, LooksAt};

/// A rule that takes longer denies. That is the one thing in the core that depends on
/// the machine, and it can only make a plan stricter.
const TIME_LIMIT: Duration = Duration::from_secs(2);

const LEVELS: [(&str, Severity); 3] = [
    ("deny", Severity::Deny),
    ("violation", Severity::Deny),
    ("warn", Severity::Warn),
];

/// Asks every rule about every pipeline.
pub fn check(policies: &Policies, desired: &Desired) -> Vec<Finding> {
    if policies.rules.is_empty() || policies.are_broken() {
        // Broken policies hold everything up by themselves.
        return Vec::new();
    }
    let mut engine = match engine(&policies.rules) {
        Ok(engine) => engine,
        Err((path, error)) => return vec![policy_finding(&path, &error)],
    };
    // Thousands of them are large, so they are kept only for rules that can look at them.
    let mut all: BTreeMap<Value, Value> = BTreeMap::new();
    let looks_at = LooksAt::of(policies.rules.iter().map(|(_, text)| text.as_str()));
    if looks_at.all {
        for (name, rendered) in &desired.pipelines {
            if let Ok(value) = value(rendered, looks_at) {
                all.insert(Value::from(name.as_str()), value);
            }
        }
        let data = Value::from(BTreeMap::from([(
            Value::from("pipelines"),
            Value::from(all.clone()),
        )]));
        if let Err(error) = engine.add_data(data) {
            return vec![policy_finding("policies/", &error.to_string())];
        }
    }
    let packages = match packages(&engine) {
        Ok(packages) => packages,
        Err(error) => return vec![policy_finding("policies/", &error)],
    };
    let mut findings = Vec::new();
    for (name, rendered) in &desired.pipelines {
        let input = match all.get(&Value::from(name.as_str())) {
            Some(value) => Ok(value.clone()),
            None => value(rendered, looks_at),
        };
        let asked = input.and_then(|input| {
            engine.set_input(input);
            ask(&mut engine, &packages, rendered)
        });
        match asked {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(
                Finding::deny(
                    rule::POLICY,
                    &rendered.bound.pipeline.origin.path,
                    None,
                    format!("a rule of the house did not finish: {}", first_line(&error)),
                )
                .about(name),
            ),
        }
    }
    findings
}

fn value(rendered: &Rendered, looks_at: LooksAt) -> Result<Value, String> {
    let input = Input::of(rendered, looks_at);
    let text = serde_json::to_string(&input).map_err(|error| error.to_string())?;
    Value::from_json_str(&text).map_err(|error| error.to_string())
}

/// What is wrong with the modules themselves.
pub(super) fn compile_findings(rules: &[(RepoPath, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut legal = Vec::new();
    for module in rules {
        match engine(std::slice::from_ref(module)) {
            Ok(_) => legal.push(module.clone()),
            Err((path, error)) => findings.push(policy_finding(&path, &error)),
        }
    }
    if findings.is_empty()
        && let Err((path, error)) = engine(&legal)
    {
        findings.push(policy_finding(&path, &error));
    }
    findings
}

fn engine(rules: &[(RepoPath, String)]) -> Result<Engine, (String, String)> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: TIME_LIMIT,
        check_interval: NonZeroU32::MIN.saturating_add(999),
    });
    for (path, text) in rules {
        engine
            .add_policy(path.clone(), text.clone())
            .map_err(|error| (path.clone(), error.to_string()))?;
    }
    Ok(engine)
}

fn packages(engine: &Engine) -> Result<Vec<String>, String> {
    let mut packages = engine.get_packages().map_err(|error| error.to_string())?;
    packages.sort();
    packages.dedup();
    Ok(packages)
}

fn ask(
    engine: &mut Engine,
    packages: &[String],
    rendered: &Rendered,
) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for package in packages {
        for (level, severity) in LEVELS {
            let value = match engine.eval_rule(format!("{package}.{level}")) {
                Ok(value) => value,
                // How the library says that a package has no such rule.
                Err(error) if error.to_string().contains("not a valid rule path") => continue,
                Err(error) => return Err(format!("{package}.{level}: {error}")),
            };
            let items = match value {
                Value::Set(items) => items.iter().cloned().collect(),
                Value::Array(items) => items.to_vec(),
                Value::Undefined => continue,
                _ => return Err(format!("{package}.{level} must be a set of messages")),
            };
            for item in items {
                findings.push(finding(package, severity, &item, rendered)?);
            }
        }
    }
    Ok(findings)
}

fn finding(
    package: &str,
    severity: Severity,
    item: &Value,
    rendered: &Rendered,
) -> Result<Finding, String> {
    let item = item.to_json_str().map_err(|error| error.to_string())?;
    let item: serde_json::Value = serde_json::from_str(&item).map_err(|error| error.to_string())?;
    let message = item
        .as_str()
        .or_else(|| item.get("msg").and_then(serde_json::Value::as_str))
        .ok_or_else(|| format!("{package}: a message is a text, or an object with `msg`"))?;
    let key = item
        .get("key")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let pipeline = &rendered.bound.pipeline;
    Ok(Finding {
        path: pipeline.origin.path.clone(),
        span: pipeline.origin.span(key),
        severity,
        rule: format!("policy/{}", package.trim_start_matches("data.")),
        message: message.chars().take(1000).collect(),
        help: None,
        pipeline: Some(pipeline.name.clone()),
    })
}

/// A deny about a module, on its line if the library names one.
fn policy_finding(path: &str, error: &str) -> Finding {
    let span = position(path, error).map(|(line, column)| Span {
        line,
        column,
        end_line: line,
        end_column: column + 1,
    });
    Finding::deny(rule::POLICY, path, span, message(error))
}

/// The library draws its errors as `--> path:line:column` above the source.
fn position(path: &str, error: &str) -> Option<(usize, usize)> {
    let (_, rest) = error.split_once(&format!("{path}:"))?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn message(error: &str) -> String {
    let said = error
        .lines()
        .find_map(|line| line.trim().strip_prefix("error:"));
    said.map_or_else(|| first_line(error), |said| said.trim().to_owned())
}

fn first_line(text: &str) -> String {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .chars()
        .take(300)
        .collect()
}
