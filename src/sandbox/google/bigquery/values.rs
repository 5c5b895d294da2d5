//! PostgreSQL's text of a value as BigQuery stores it, and what BigQuery can not store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// BigQuery's type of what a federated query sends, by the OIDs on its documented list.
pub(super) fn kind(oid: u32) -> Option<&'static str> {
    Some(match oid {
        16 => "BOOL",
        20 | 21 | 23 => "INT64",
        25 | 1042 | 1043 | 114 | 142 => "STRING",
        700 | 701 => "FLOAT64",
        17 | 1560 | 1562 => "BYTES",
        1082 => "DATE",
        1083 => "TIME",
        1114 => "DATETIME",
        1184 => "TIMESTAMP",
        1700 => "NUMERIC",
        _ => return None,
    })
}

/// The older name, which the API shows in schemas.
pub(super) fn shown(kind: &str) -> &str {
    match kind {
        "INT64" => "INTEGER",
        "FLOAT64" => "FLOAT",
        "BOOL" => "BOOLEAN",
        kind => kind,
    }
}

/// The value as the API shows it.
///
/// # Errors
/// If it is outside of the type's range.
pub(super) fn stored(oid: u32, text: &str) -> Result<String, String> {
    let out = |kind: &str| Err(format!("Invalid {kind} value: {text}"));
    match oid {
        16 => Ok(if text == "t" { "true" } else { "false" }.to_owned()),
        17 => {
            let digits = text.strip_prefix("\\x").unwrap_or_default();
            hex::decode(digits)
                .map(|bytes| STANDARD.encode(bytes))
                .map_err(|_| format!("Invalid BYTES value: {text}"))
        }
        1082 | 1114 | 1184 if !is_in_range(text) => out("date or time"),
        1082 => Ok(text.to_owned()),
        1083 if text.starts_with("24:") => out("TIME"),
        1114 => Ok(text.replacen(' ', "T", 1)),
        // In UTC, as the session is.
        1184 => Ok(text.trim_end_matches("+00").replacen(' ', "T", 1) + "Z"),
        1700 => decimal(text, 29, 9).map_or_else(|| out("NUMERIC"), Ok),
        _ => Ok(text.to_owned()),
    }
}

/// Years 1 to 9999, neither infinite nor before Christ.
fn is_in_range(text: &str) -> bool {
    let year = text.split('-').next().unwrap_or_default();
    year.len() == 4
        && year.bytes().all(|b| b.is_ascii_digit())
        && year != "0000"
        && !text.ends_with("BC")
}

/// The value cast to another type.
///
/// # Errors
/// If it can not be.
pub(super) fn cast(text: &str, to: &str) -> Result<String, String> {
    match to {
        "STRING" => Ok(text.to_owned()),
        "BIGNUMERIC" => {
            decimal(text, 38, 38).ok_or_else(|| format!("Invalid BIGNUMERIC value: {text}"))
        }
        "NUMERIC" => decimal(text, 29, 9).ok_or_else(|| format!("Invalid NUMERIC value: {text}")),
        other => Err(format!("this simulator does not cast to {other}")),
    }
}

/// The number without zeros at its end, if it has no more digits than these.
fn decimal(text: &str, whole: usize, fraction: usize) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let after = after.trim_end_matches('0');
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let fits = !before.is_empty()
        && number(before)
        && number(after)
        && before.trim_start_matches('0').len() <= whole
        && after.len() <= fraction;
    fits.then(|| match after {
        "" => format!("{sign}{before}"),
        after => format!("{sign}{before}.{after}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_they_are_stored_or_refused() {
        assert_eq!(stored(16, "t").unwrap(), "true");
        assert_eq!(stored(17, "\\x00ff").unwrap(), "AP8=");
        assert_eq!(
            stored(1184, "2024-01-02 03:04:05.5+00").unwrap(),
            "2024-01-02T03:04:05.5Z"
        );
        assert_eq!(
            stored(1114, "2024-01-02 03:04:05").unwrap(),
            "2024-01-02T03:04:05"
        );
        assert_eq!(stored(1700, "-12.500").unwrap(), "-12.5");
        for (oid, text) in [
            (1082, "infinity"),
            (1082, "10000-01-01"),
            (1114, "0044-03-15 00:00:00 BC"),
            (1184, "-infinity"),
            (1083, "24:00:00"),
            (1700, "NaN"),
            (1700, "0.0123456789"),
            (1700, "123456789012345678901234567890"),
        ] {
            assert!(stored(oid, text).is_err(), "{oid} {text}");
        }
        assert_eq!(kind(790), None);
    }
}
