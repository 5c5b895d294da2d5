//! Whether the real server still answers as it was written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::answers::{difference, play, recorded, steps};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn the_real_server_answers_as_it_was_written_down() {
    let place = Place::real().await;
    let steps = steps();
    let answers = play(&place.api, &steps).await;
    if std::env::var_os("PIPEWRIGHT_RECORD").is_some() {
        let answers = steps.iter().map(|step| step.what.clone()).zip(answers);
        let answers: BTreeMap<String, Value> = answers.collect();
        assert_eq!(answers.len(), steps.len(), "two steps have one name");
        let mut lines = Vec::new();
        for (what, answer) in &answers {
            lines.push(format!("{}: {answer}", Value::from(what.as_str())));
        }
        let mut text = String::new();
        write!(text, "{{\n{}\n}}\n", lines.join(",\n")).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/answers.json");
        return std::fs::write(path, text).unwrap();
    }
    let recorded = recorded();
    let mut told = String::new();
    for (step, answer) in steps.iter().zip(&answers) {
        told += &difference(step, answer, &recorded[&step.what]);
    }
    let known = steps.iter().filter(|step| step.differs.is_some()).count();
    println!(
        "answers: {} compared, {known} of them simulated otherwise",
        steps.len()
    );
    assert!(
        told.is_empty(),
        "PIPEWRIGHT_RECORD=1 writes down what it answers now\n{told}"
    );
}
