use std::io::Write as _;

use serde_json::json;

use super::*;

/// A node whose program is this script, and its folder.
fn node(script: &str) -> (Kubelet, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    // Written by another process: a file that this one has open while another test starts a
    // process can not be run.
    let mut install = Command::new("install")
        .args(["-m", "755", "/dev/stdin"])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = install.stdin.take().unwrap();
    write!(text, "#!/bin/sh\n{script}\n").unwrap();
    drop(text);
    assert!(install.wait().unwrap().success());
    let given = vec![("PLACE", "here".to_owned())];
    (Kubelet::new(program, given).unwrap(), folder)
}

fn workflow(name: &str) -> Value {
    json!({
        "kind": "Workflow",
        "metadata": {"name": name, "uid": format!("uid-of-{name}")},
        "spec": {
            "entrypoint": "sync",
            "serviceAccountName": "reader",
            "activeDeadlineSeconds": 600,
            "arguments": {"parameters": [{"name": "tables", "value": "[\"a\"]"}]},
            "templates": [{
                "name": "sync",
                "container": {
                    "command": ["pipewright"], "args": ["sync"],
                    "env": [
                        {"name": "UID_OF_RUN", "value": "{{workflow.uid}}"},
                        {"name": "TABLES", "value": "{{workflow.parameters.tables}}"},
                        {"name": "PLACE", "value": "the real one"},
                    ],
                },
                "retryStrategy": {
                    "limit": "2",
                    "expression": "asInt(lastRetry.exitCode) != 2",
                    "backoff": {"duration": "60", "factor": "2", "maxDuration": "3600"},
                },
            }],
        },
        "status": {"phase": "Running"},
    })
}

fn start() -> Timestamp {
    "2026-03-01T03:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn turn(kubelet: &mut Kubelet, runs: &[Value], now: Timestamp) -> Vec<PodNews> {
    kubelet.turn(runs, now, |account| format!("token-of-{account}"))
}

/// What happens next; a process takes its time.
fn next(kubelet: &mut Kubelet, runs: &[Value], now: Timestamp) -> PodNews {
    loop {
        if let Some(news) = turn(kubelet, runs, now).pop() {
            return news;
        }
        std::thread::yield_now();
    }
}

fn ended(news: PodNews) -> Ended {
    match news {
        PodNews::Ended(ended) => ended,
        other => panic!("{other:?}"),
    }
}

/// Whether each process that runs now is still there.
fn processes(kubelet: &Kubelet) -> impl Fn() -> Vec<bool> + use<> {
    let id = |pod: &Pod| match &pod.now {
        Now::Runs(process) => process.child.as_ref().map(Child::id),
        Now::WaitsUntil(_) => None,
    };
    let ids: Vec<u32> = kubelet.pods.values().filter_map(id).collect();
    move || {
        let there = |id: &u32| Path::new(&format!("/proc/{id}")).exists();
        ids.iter().map(there).collect()
    }
}

#[test]
fn a_process_has_its_containers_environment_and_what_the_node_gives() {
    let script = r#"echo "$1 $UID_OF_RUN $TABLES $PLACE $PIPEWRIGHT_GOOGLE_TOKEN ${HOME-none}" > "$PIPEWRIGHT_REPORT""#;
    let (mut kubelet, _folder) = node(script);
    let runs = [workflow("a")];
    let started = turn(&mut kubelet, &runs, start());
    assert_eq!(started, [PodNews::Started("a".to_owned())]);
    let ended = ended(next(&mut kubelet, &runs, start()));
    assert_eq!((ended.code, ended.why.as_str()), (0, ""));
    assert_eq!(
        ended.report.as_deref(),
        Some("sync uid-of-a [\"a\"] here token-of-reader none\n")
    );
}

#[test]
fn the_exit_code_decides_whether_there_is_another_attempt() {
    // The second attempt leaves nothing: what the first one left is not its report.
    let script =
        r#"test -e ../once && exit 2; touch ../once; echo first > "$PIPEWRIGHT_REPORT"; exit 75"#;
    let (mut kubelet, _folder) = node(&format!(
        "cd \"$(dirname \"$PIPEWRIGHT_REPORT\")\"; {script}"
    ));
    let runs = [workflow("a")];
    turn(&mut kubelet, &runs, start());
    let again = next(&mut kubelet, &runs, start());
    assert_eq!(again, PodNews::Again("a".to_owned(), 75, after(60)));
    assert_eq!(turn(&mut kubelet, &runs, after(59)), []);
    let ended = ended(next(&mut kubelet, &runs, after(60)));
    let why = "retryStrategy.expression evaluated to false";
    assert_eq!((ended.code, ended.why.as_str()), (2, why));
    assert_eq!(ended.report, None);
}

#[test]
fn attempts_and_their_time_are_limited() {
    let (mut kubelet, _folder) = node("exit 75");
    let runs = [workflow("a")];
    turn(&mut kubelet, &runs, start());
    let mut now = start();
    for wait in [60, 120] {
        let due = now + SignedDuration::from_secs(wait);
        let again = next(&mut kubelet, &runs, now);
        assert_eq!(again, PodNews::Again("a".to_owned(), 75, due));
        now = due;
    }
    let last = ended(next(&mut kubelet, &runs, now));
    assert_eq!((last.code, last.why.as_str()), (75, "No more retries left"));

    // Within the deadline of its Workflow, or not at all.
    let mut late = workflow("b");
    late["spec"]["activeDeadlineSeconds"] = json!(100);
    let runs = [late];
    turn(&mut kubelet, &runs, start());
    next(&mut kubelet, &runs, start());
    let late = ended(next(&mut kubelet, &runs, after(60)));
    assert_eq!(late.why, "Max duration limit exceeded");
}

#[test]
fn a_process_ends_with_its_time_its_workflow_and_its_node() {
    let (mut kubelet, _folder) = node("exec tail -f /dev/null");
    let runs = [workflow("a"), workflow("b")];
    turn(&mut kubelet, &runs, start());
    let there = processes(&kubelet);
    assert_eq!(there(), [true, true]);
    // One has ended without its process, the other one goes on until its deadline.
    let killed = turn(&mut kubelet, &runs[1..], after(599));
    assert_eq!(killed, [PodNews::Killed("a".to_owned())]);
    assert_eq!(there(), [false, true]);
    let late = ended(next(&mut kubelet, &runs[1..], after(600)));
    assert_eq!(
        (late.code, late.why.as_str()),
        (KILLED, "Step exceeded its deadline")
    );
    assert_eq!(there(), [false, false]);

    turn(&mut kubelet, &runs[..1], start());
    let there = processes(&kubelet);
    assert_eq!(there(), [true]);
    drop(kubelet);
    assert_eq!(there(), [false]);
}

#[test]
fn only_so_many_run_at_a_time() {
    let (mut kubelet, _folder) = node("exec tail -f /dev/null");
    let runs: Vec<Value> = ["a", "b", "c", "d", "e"].map(workflow).into();
    assert_eq!(turn(&mut kubelet, &runs, start()).len(), MOST);
    let news = turn(&mut kubelet, &runs[1..], start());
    let expected = ["a", "e"].map(str::to_owned);
    let [killed, begun] = expected;
    assert_eq!(news, [PodNews::Killed(killed), PodNews::Started(begun)]);
}

#[test]
fn what_can_not_be_started_is_an_attempt_that_failed() {
    let (mut kubelet, _folder) = node("exit 0");
    kubelet.program = "/nowhere/pipewright".into();
    let runs = [workflow("a")];
    turn(&mut kubelet, &runs, start());
    let again = next(&mut kubelet, &runs, start());
    assert_eq!(
        again,
        PodNews::Again("a".to_owned(), NOT_STARTED, after(60))
    );
}
