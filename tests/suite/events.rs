//! Events: every webhook of a story is lost, doubled, overtaken by its neighbour, or late.
//! Each is only a hint: after a last sweep the end is the undisturbed one.
//!
//! Nothing that differs is left out but what [`essence`] leaves out of every comparison.
//! What a lost hint may change is when a plan is shown, and an approval counts only for
//! what was shown before it; but people wait for a head's check before they act on it, and
//! a sweep ends their wait. So they approve the same plans, only later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use pipewright::clock::Clock;
use pipewright::event::Event;
use pipewright::sandbox::github::Delivery;
use pipewright::sandbox::stage::Stage;

use crate::stories::essence::{Essence, difference, essence};
use crate::stories::{Move, People, Story, stage, stories};

/// What happens to one delivery. They are counted from zero, over the whole story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    None,
    Dropped(usize),
    /// The same delivery twice, and once more under a new id when the bot is at rest.
    Doubled(usize),
    /// It arrives after the one that follows it.
    Swapped(usize),
    /// It arrives after whatever people do next, and a sweep.
    Delayed(usize),
}

/// The post between GitHub and the bot.
#[derive(Default)]
struct Post {
    carried: usize,
    /// To be sent before anything else.
    next: Vec<Delivery>,
    /// Waits for the one that follows it.
    overtaken: Option<Delivery>,
    late: Option<Delivery>,
    /// Whether the trouble has come.
    came: bool,
}

impl Post {
    fn carry(&mut self, deliveries: Vec<Delivery>, trouble: Trouble) -> Vec<Delivery> {
        let mut sent = std::mem::take(&mut self.next);
        for delivery in deliveries {
            let number = self.carried;
            self.carried += 1;
            let before = self.overtaken.take();
            let it_is = |n: usize| n == number;
            self.came |= match trouble {
                Trouble::Dropped(n) if it_is(n) => true,
                Trouble::Doubled(n) if it_is(n) => {
                    let mut again = delivery.clone();
                    again.guid = format!("{}-again", again.guid);
                    self.next.push(again);
                    sent.extend([delivery.clone(), delivery]);
                    true
                }
                Trouble::Swapped(n) if it_is(n) => {
                    self.overtaken = Some(delivery);
                    true
                }
                Trouble::Delayed(n) if it_is(n) => {
                    self.late = Some(delivery);
                    true
                }
                _ => {
                    sent.push(delivery);
                    false
                }
            };
            sent.extend(before);
        }
        sent
    }

    /// Nothing stays on the way for ever.
    fn release(&mut self) {
        self.next.extend(self.late.take());
        self.next.extend(self.overtaken.take());
    }
}

async fn sweep(stage: &mut Stage) {
    stage.worker.queue.add(&Event::Sweep);
    stage.settle().await.unwrap();
}

/// Plays one story, and says how it ended and how many deliveries there were.
async fn play(story: &Story, trouble: Trouble) -> (Essence, usize) {
    let mut stage = stage(Clock::stepped(Timestamp::UNIX_EPOCH)).await;
    let post = Arc::new(Mutex::new(Post::default()));
    let carrier = Arc::clone(&post);
    stage.carry_with(move |deliveries| carrier.lock().unwrap().carry(deliveries, trouble));
    sweep(&mut stage).await;
    let mut people = People::default();
    for next in &story.moves {
        let is_late = post.lock().unwrap().late.is_some();
        if people.wait(&stage, next) {
            sweep(&mut stage).await;
        }
        people.act(&stage, next);
        if matches!(next, Move::Sweep) {
            stage.worker.queue.add(&Event::Sweep);
        }
        stage.settle().await.unwrap();
        if is_late {
            sweep(&mut stage).await;
            post.lock().unwrap().release();
            stage.settle().await.unwrap();
        }
    }
    sweep(&mut stage).await;
    post.lock().unwrap().release();
    stage.settle().await.unwrap();
    let post = post.lock().unwrap();
    assert!(
        post.came || trouble == Trouble::None,
        "{trouble:?} never came"
    );
    (essence(&stage, &people), post.carried)
}

/// Plays the jobs on every core, and gives back what `play` says of each.
fn play_all(
    stories: &[Story],
    jobs: Vec<(usize, Trouble)>,
) -> Vec<((usize, Trouble), Essence, usize)> {
    let jobs = Mutex::new(VecDeque::from(jobs));
    let reports = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(job) = jobs.lock().unwrap().pop_front() else {
                return;
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (end, events) = runtime.block_on(play(&stories[job.0], job.1));
            reports.lock().unwrap().push((job, end, events));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    reports.into_inner().unwrap()
}

/// One of each kind in each story, at places that differ; `PIPEWRIGHT_EVENTS=all` troubles
/// every event in every way.
fn troubles(story: usize, events: usize) -> Vec<Trouble> {
    let all = std::env::var("PIPEWRIGHT_EVENTS").is_ok_and(|which| which == "all");
    let kinds = [
        Trouble::Dropped,
        Trouble::Doubled,
        Trouble::Swapped,
        Trouble::Delayed,
    ];
    if all {
        return (0..events)
            .flat_map(|number| kinds.map(|kind| kind(number)))
            .collect();
    }
    let kind = kinds[story % kinds.len()];
    let other = kinds[(story + 1) % kinds.len()];
    vec![kind((story * 5) % events), other((story * 3 + 2) % events)]
}

#[test]
fn whatever_happens_to_a_webhook_the_end_is_the_same() {
    let stories = stories();
    let undisturbed = play_all(
        &stories,
        (0..stories.len())
            .map(|story| (story, Trouble::None))
            .collect(),
    );
    let jobs: Vec<(usize, Trouble)> = undisturbed
        .iter()
        .flat_map(|((story, _), _, events)| {
            assert!(*events > 3, "{}: {events} events", stories[*story].name);
            let troubles = troubles(*story, *events).into_iter();
            troubles.map(|trouble| (*story, trouble))
        })
        .collect();
    let runs = jobs.len();
    let mut wrong = Vec::new();
    for ((story, trouble), end, _) in play_all(&stories, jobs) {
        let mut told = undisturbed.iter();
        let told = told.find(|((of, _), ..)| *of == story).unwrap();
        let differ = difference(&end, &told.1);
        if !differ.is_empty() {
            let name = stories[story].name;
            wrong.push(format!("{name}, {trouble:?}:\n  {}", differ.join("\n  ")));
        }
    }
    wrong.sort();
    let events: usize = undisturbed.iter().map(|(_, _, events)| events).sum();
    println!(
        "events: {} stories, {events} events, {runs} runs",
        stories.len()
    );
    assert!(
        wrong.is_empty(),
        "{} runs ended differently:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
