//! `policies/defaults.yaml`: the house's defaults and limits.

use crate::finding::{Finding, rule};
use crate::pipeline::TimeZoneName;
use crate::yaml::fields::Field;
use crate::yaml::reader::Reader;

/// Where the defaults are written. The file, and each of its keys, may be absent.
pub(super) const PATH: &str = "policies/defaults.yaml";

/// What holds where a pipeline says nothing, and how much any of them may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    pub timezone: TimeZoneName,
    /// Hours of the day, the second one exclusive, over which pipelines without a schedule are spread.
    pub schedule_hours: (u32, u32),
    /// Runs at a time against one Cloud SQL instance.
    pub runs_per_instance: u32,
    /// Distinct schedules of one pipeline.
    pub schedules_per_pipeline: u32,
    /// Objects and grants that one apply may remove.
    pub prunes_per_apply: u32,
    /// Hours after which a run is ended.
    pub run_hours: u32,
    pub drift: OnDrift,
}

/// What is done where somebody changed what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// It becomes again what it was.
    Mend,
    /// It is told, and stays until an owner says `/apply`.
    Report,
}

impl Defaults {
    /// Reads the file; `None` stands for an absent one.
    pub fn parse(bytes: Option<&[u8]>) -> (Self, Vec<Finding>) {
        let mut reader = Reader::new(PATH);
        let mut defaults = Self::built_in();
        if let Some(bytes) = bytes {
            defaults.read(&mut reader, bytes);
        }
        let (findings, _) = reader.finish();
        (defaults, findings)
    }

    fn built_in() -> Self {
        Self {
            timezone: TimeZoneName::utc(),
            schedule_hours: (0, 6),
            runs_per_instance: 2,
            schedules_per_pipeline: 5,
            prunes_per_apply: 100,
            run_hours: 6,
            drift: OnDrift::Mend,
        }
    }

    fn read(&mut self, reader: &mut Reader<'_>, bytes: &[u8]) -> Option<()> {
        let tree = reader.tree(bytes)?;
        let mut fields = reader.root(&tree)?;
        if let Some(field) = fields.take("timezone")
            && let Some(text) = reader.text(&field)
        {
            match TimeZoneName::parse(&text) {
                Ok(timezone) => self.timezone = timezone,
                Err(message) => reader.deny(rule::SCHEDULE, Some(field.span()), message),
            }
        }
        if let Some(field) = fields.take("schedule_hours") {
            self.hours(reader, &field);
        }
        if let Some(field) = fields.take("drift")
            && let Some(text) = reader.text(&field)
        {
            match text.as_str() {
                "mend" => self.drift = OnDrift::Mend,
                "report" => self.drift = OnDrift::Report,
                _ => reader.deny(
                    rule::ILLEGAL_VALUE,
                    Some(field.span()),
                    "it is `mend` or `report`",
                ),
            }
        }
        if let Some(field) = fields.take("limits")
            && let Some(mut limits) = reader.fields(&field)
        {
            for (key, value, range) in [
                ("runs_per_instance", &mut self.runs_per_instance, 1..=100),
                (
                    "schedules_per_pipeline",
                    &mut self.schedules_per_pipeline,
                    1..=50,
                ),
                ("prunes_per_apply", &mut self.prunes_per_apply, 0..=100_000),
                ("run_hours", &mut self.run_hours, 1..=72),
            ] {
                if let Some(number) = limits
                    .take(key)
                    .and_then(|field| reader.number(&field, range))
                {
                    *value = number;
                }
            }
            reader.end(limits);
        }
        reader.end(fields);
        Some(())
    }

    fn hours(&mut self, reader: &mut Reader<'_>, field: &Field<'_>) -> Option<()> {
        let mut keys = reader.fields(field)?;
        let from = keys
            .require(reader, "from")
            .and_then(|field| reader.number(&field, 0..=23));
        let until = keys
            .require(reader, "until")
            .and_then(|field| reader.number(&field, 1..=24));
        reader.end(keys);
        match (from?, until?) {
            (from, until) if from < until => self.schedule_hours = (from, until),
            _ => reader.deny(
                rule::ILLEGAL_VALUE,
                Some(field.span()),
                "`from` must come before `until`",
            ),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_means_built_in() {
        assert_eq!(Defaults::parse(None), (Defaults::built_in(), vec![]));
        assert_eq!(Defaults::parse(Some(b"")).0, Defaults::built_in());
    }

    #[test]
    fn read_and_refused() {
        let (defaults, findings) = Defaults::parse(Some(
            b"schedule_hours: {from: 2, until: 4}\nlimits: {run_hours: 3}\ndrift: report\n",
        ));
        assert_eq!(findings, vec![]);
        assert_eq!((defaults.schedule_hours, defaults.run_hours), ((2, 4), 3));
        assert_eq!(defaults.drift, OnDrift::Report);
        let (_, findings) = Defaults::parse(Some(
            b"schedule_hours: {from: 4, until: 4}\nlimits: {run_hours: 300, nope: 1}\ntimezone: X/Y\ndrift: fix\n",
        ));
        assert_eq!(findings.len(), 5, "{findings:?}");
    }
}
