//! Schedules as Argo's cron library (robfig/cron 3) takes them.
//!
//! Argo's CRD checks a pattern at most; a minute 61 passes the API server and is refused in
//! the controller's log, where nobody looks. So the grammar is checked here, field by
//! field, and a schedule that never fires is refused too, by that library's own rule of
//! when a day matches.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

const NICKNAMES: [&str; 7] = [
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron expression of five fields, or a nickname such as `@daily`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Schedule(String);

impl Schedule {
    /// # Errors
    /// With a sentence for a person, if Argo would refuse the text or it never fires.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return if NICKNAMES.contains(&text) {
                Ok(Self(text.to_owned()))
            } else {
                Err(format!("`{text}` is none of {}", NICKNAMES.join(", ")))
            };
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "a schedule has five fields (minute hour day month weekday), this one has {}",
                fields.len()
            ));
        };
        field("minute", minute, 0, 59, &[])?;
        field("hour", hour, 0, 23, &[])?;
        let day = field("day", day, 1, 31, &[])?;
        let month = field("month", month, 1, 12, &MONTHS)?;
        let weekday = field("weekday", weekday, 0, 6, &DAYS)?;
        let text = fields.join(" ");
        if !fires(&day, &month, &weekday) {
            return Err(format!("`{text}` never fires"));
        }
        Ok(Self(text))
    }

    /// A time of day that depends on `name` alone, so that a fleet of pipelines without a
    /// schedule does not start at once. `from..until` are hours.
    pub fn spread(name: &str, from: u32, until: u32) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(name.as_bytes());
        let number = hash
            .iter()
            .take(4)
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let minutes = until.saturating_sub(from).max(1) * 60;
        let at = from * 60 + number % minutes;
        Self(format!("{} {} * * *", at % 60, at / 60))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeZoneName(String);

impl TimeZoneName {
    pub fn utc() -> Self {
        Self("Etc/UTC".to_owned())
    }

    /// Looked up in the zones that come with the program, so that every machine agrees.
    ///
    /// # Errors
    /// With a sentence for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        match jiff::tz::TimeZoneDatabase::bundled().get(text) {
            // `Etc/Unknown` stands for no zone, and nobody else knows it.
            Ok(zone) if !zone.is_unknown() => Ok(Self(zone.iana_name().unwrap_or(text).to_owned())),
            _ => Err(format!(
                "`{text}` is not an IANA time zone such as `Europe/Oslo`"
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one field selects.
#[derive(Default)]
struct Field {
    values: BTreeSet<u32>,
    /// Whether it has a `*` or `?` without a step, and so says nothing.
    is_any: bool,
}

/// One field: a comma list of `*`, `?`, values and ranges, each with an optional step. A value
/// with a step goes on to the largest.
fn field(what: &str, text: &str, min: u32, max: u32, names: &[&str]) -> Result<Field, String> {
    let mut selected = Field::default();
    for part in text.split(',') {
        let refuse = |why: String| Err(format!("{what} `{part}`: {why}"));
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let every = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(every)) if every > 0 => every,
            Some(_) => return refuse("the step after `/` must be a number from 1".into()),
        };
        let (low, high) = if matches!(range, "*" | "?") {
            selected.is_any |= every == 1;
            (min, max)
        } else {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let mut bounds = [min; 2];
            for (bound, text) in bounds.iter_mut().zip([low, high]) {
                match value(text, min, names) {
                    Some(number) if (min..=max).contains(&number) => *bound = number,
                    _ => return refuse(format!("it must be between {min} and {max}")),
                }
            }
            let [low, high] = bounds;
            let goes_on = step.is_some() && !range.contains('-');
            (low, if goes_on { max } else { high })
        };
        if low > high {
            return refuse("a range goes from the smaller to the larger".into());
        }
        let every = usize::try_from(every).unwrap_or(usize::MAX);
        selected.values.extend((low..=high).step_by(every));
    }
    Ok(selected)
}

fn value(text: &str, min: u32, names: &[&str]) -> Option<u32> {
    if let Some(index) = names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))
    {
        return u32::try_from(index).ok().map(|index| index + min);
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Whether there is such a day. Where day and weekday are both restricted, either is enough;
/// a `*` among others counts as no restriction, a `*` with a step as one.
fn fires(day: &Field, month: &Field, weekday: &Field) -> bool {
    let is_day_of = |month: &u32| {
        let last = match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day.values.iter().any(|day| *day <= last)
    };
    day.is_any || !weekday.is_any || month.values.iter().any(is_day_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_argo_takes() {
        for text in [
            "0 2 * * *",
            "*/5 * * * *",
            "0 0 29 2 *",
            "15,45 1-5 * jan-mar MON",
            "@daily",
            "0  2 * * 0",
            // Weekdays are enough for the first two, and a 30th or 31st for the others.
            "0 0 31 2 */2",
            "0 0 30 2 0-6",
            "0 0 30/1 */2 *",
            "0 0 31 2/3 *",
            "0-59/70 5/4 ? ? ?/1",
        ] {
            assert!(Schedule::parse(text).is_ok(), "{text}");
        }
        assert_eq!(Schedule::parse("0  2 * * 0").unwrap().as_str(), "0 2 * * 0");
    }

    #[test]
    fn what_argo_refuses_and_what_never_fires() {
        for text in [
            "61 * * * *",
            "0 24 * * *",
            "* * * *",
            "0 0 31 2 *",
            "0 0 30 2 mon,*",
            "0 0 30 2 ?/1",
            "0 0 31 2,4 */1",
            "@every 5m",
            "@reboot",
            "0 0 * * 7",
            "0 0 L * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "0 0 0 * *",
            "TZ=UTC 0 0 * * *",
            "",
            "-1 * * * *",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spread_stays_in_its_window_and_spreads() {
        let mut minutes = std::collections::BTreeSet::new();
        for index in 0..200 {
            let schedule = Schedule::spread(&format!("pipeline-{index}"), 1, 5);
            let mut fields = schedule.as_str().split(' ');
            let minute: u32 = fields.next().unwrap().parse().unwrap();
            let hour: u32 = fields.next().unwrap().parse().unwrap();
            assert!((1..5).contains(&hour), "{schedule}");
            minutes.insert(hour * 60 + minute);
            assert_eq!(Schedule::parse(schedule.as_str()).unwrap(), schedule);
        }
        assert!(minutes.len() > 100, "only {} distinct times", minutes.len());
    }

    #[test]
    fn zones() {
        assert!(TimeZoneName::parse("Europe/Oslo").is_ok());
        assert_eq!(
            TimeZoneName::parse("europe/oslo").unwrap().as_str(),
            "Europe/Oslo"
        );
        for text in [
            "Mars/Olympus",
            "Etc/Unknown",
            "etc/unknown",
            "Local",
            "",
            "+02:00",
        ] {
            assert!(TimeZoneName::parse(text).is_err(), "{text}");
        }
    }
}
