//! Schedules as Argo's cron library takes them.
//!
//! Argo's CRD checks a pattern only; a minute 61 passes the API server and is refused in
//! the controller's log, where nobody looks. So the grammar is checked here, field by
//! field, and a schedule that never fires is refused too.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
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
        field("day", day, 1, 31, &[])?;
        field("month", month, 1, 12, &MONTHS)?;
        field("weekday", weekday, 0, 6, &DAYS)?;
        let text = fields.join(" ");
        if !fires(&text) {
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
            Ok(zone) => Ok(Self(zone.iana_name().unwrap_or(text).to_owned())),
            Err(_) => Err(format!(
                "`{text}` is not an IANA time zone such as `Europe/Oslo`"
            )),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One field: a comma list of `*`, `?`, values and ranges, each with an optional step.
fn field(what: &str, text: &str, min: u32, max: u32, names: &[&str]) -> Result<(), String> {
    for part in text.split(',') {
        let refuse = |why: String| Err(format!("{what} `{part}`: {why}"));
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if let Some(step) = step
            && !matches!(step.parse::<u32>(), Ok(1..))
        {
            return refuse("the step after `/` must be a number from 1".into());
        }
        if matches!(range, "*" | "?") {
            continue;
        }
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let mut bounds = [min; 2];
        for (bound, text) in bounds.iter_mut().zip([low, high]) {
            match value(text, min, names) {
                Some(number) if (min..=max).contains(&number) => *bound = number,
                _ => return refuse(format!("it must be between {min} and {max}")),
            }
        }
        let [low, high] = bounds;
        if low > high {
            return refuse("a range goes from the smaller to the larger".into());
        }
    }
    Ok(())
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

/// Whether there is a next time, counted from a fixed one. 2024 begins before a 29 February.
fn fires(text: &str) -> bool {
    let cron = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(text);
    let start = jiff::civil::date(2024, 1, 1).to_zoned(jiff::tz::TimeZone::UTC);
    match (cron, start) {
        (Ok(cron), Ok(start)) => cron.find_next_occurrence(&start, false).is_ok(),
        _ => false,
    }
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
        assert!(TimeZoneName::parse("Mars/Olympus").is_err());
    }
}
