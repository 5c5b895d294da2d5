//! The schedules that stand in the cluster, on the day that it is.

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::Serialize;
use serde_json::Value;

/// More marks than this on one line can not be told apart.
const MOST_TIMES: usize = 288;

/// A day's line for each schedule.
#[derive(Debug, Serialize)]
pub(super) struct Day {
    pub zone: String,
    /// Minutes since midnight.
    pub now: i32,
    pub rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub name: String,
    /// As they stand in the object.
    pub schedules: Vec<String>,
    pub zone: String,
    pub suspended: bool,
    /// Minutes since midnight, in the day's zone.
    pub times: Vec<i32>,
    /// `HH:MM`, in the day's zone.
    pub next: Option<String>,
}

impl Day {
    /// Of the CronWorkflows among `objects`, at `now`.
    pub(super) fn of(objects: &[Value], now: Timestamp) -> Self {
        let crons: Vec<&Value> = objects
            .iter()
            .filter(|object| text(object, "/kind") == "CronWorkflow")
            .collect();
        let zone = crons.first().map_or("Etc/UTC", |cron| zone_of(cron));
        let here = now.to_zoned(time_zone(zone));
        let rows = crons.iter().map(|cron| row(cron, &here)).collect();
        Self {
            zone: zone.to_owned(),
            now: minute(&here),
            rows,
        }
    }
}

fn row(cron: &Value, here: &Zoned) -> Row {
    let schedules = cron.pointer("/spec/schedules").and_then(Value::as_array);
    let schedules: Vec<String> = schedules
        .into_iter()
        .flatten()
        .filter_map(|schedule| schedule.as_str().map(str::to_owned))
        .collect();
    let suspended = cron.pointer("/spec/suspend") == Some(&Value::Bool(true));
    let own = time_zone(zone_of(cron));
    let mut times = Vec::new();
    let mut next: Option<Zoned> = None;
    for schedule in &schedules {
        times.extend(of_the_day(schedule, &own, here));
        let after = next_time(schedule, &here.with_time_zone(own.clone()));
        next = match (next, after) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    times.sort_unstable();
    times.dedup();
    let next = next.filter(|_| !suspended);
    Row {
        name: text(cron, "/metadata/name").to_owned(),
        schedules,
        zone: zone_of(cron).to_owned(),
        suspended,
        times,
        next: next.map(|at| {
            let at = at.with_time_zone(here.time_zone().clone());
            format!("{:02}:{:02}", at.hour(), at.minute())
        }),
    }
}

/// When it fires on the day of `here`, in minutes of that day.
fn of_the_day(schedule: &str, own: &TimeZone, here: &Zoned) -> Vec<i32> {
    let day = here.start_of_day();
    let end = day
        .as_ref()
        .ok()
        .and_then(|day| day.checked_add(1.day()).ok());
    let (Ok(day), Some(end)) = (day, end) else {
        return Vec::new();
    };
    let mut times = Vec::new();
    // A minute earlier, because what is searched comes after what it is searched from.
    let mut at = day
        .checked_sub(1.minute())
        .unwrap_or(day)
        .with_time_zone(own.clone());
    while times.len() < MOST_TIMES
        && let Some(next) = next_time(schedule, &at)
        && next < end
    {
        times.push(minute(&next.with_time_zone(here.time_zone().clone())));
        at = next;
    }
    times
}

fn next_time(schedule: &str, after: &Zoned) -> Option<Zoned> {
    let pattern = match schedule {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        pattern => pattern,
    };
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
        .ok()?;
    cron.find_next_occurrence(after, false).ok()
}

fn minute(at: &Zoned) -> i32 {
    i32::from(at.hour()) * 60 + i32::from(at.minute())
}

fn zone_of(cron: &Value) -> &str {
    match text(cron, "/spec/timezone") {
        "" => "Etc/UTC",
        zone => zone,
    }
}

/// A zone that nobody knows is shown as UTC: the bot tells of it, not the picture.
fn time_zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled()
        .get(name)
        .unwrap_or(TimeZone::UTC)
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_day_in_tokyo() {
        let cron = |name: &str, zone: &str, schedules: &[&str]| {
            json!({"kind": "CronWorkflow", "metadata": {"name": name},
                "spec": {"timezone": zone, "schedules": schedules}})
        };
        let objects = [
            cron("a", "Asia/Tokyo", &["30 3 * * *", "@hourly"]),
            cron("b", "Etc/UTC", &["0 0 * * *"]),
            cron("c", "Asia/Tokyo", &["0 0 29 2 *"]),
        ];
        // Half past nine in Tokyo.
        let now: Timestamp = "2026-06-01T00:30:00Z".parse().unwrap();
        let day = Day::of(&objects, now);
        assert_eq!((day.zone.as_str(), day.now), ("Asia/Tokyo", 570));
        let row = |at: usize| day.rows.get(at).unwrap();
        assert_eq!(row(0).times.len(), 25);
        assert_eq!(row(0).next.as_deref(), Some("10:00"));
        assert_eq!(row(1).times, [540]);
        assert_eq!(row(1).next.as_deref(), Some("09:00"));
        assert!(row(2).times.is_empty());
    }
}
