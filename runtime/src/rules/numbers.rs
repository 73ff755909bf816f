//! Rules that count on: versions, whole numbers, days.

use serde_json::Value;

use super::{Bump, shown};

/// The next version. A version with more behind its three numbers has no next one that everybody agrees on.
pub(super) fn bump(text: &str, which: Bump) -> Result<String, String> {
    let wrong = || format!("{} is no version of three numbers", shown(&Value::from(text)));
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let numbers: Option<Vec<u64>> = bare.split('.').map(version_number).collect();
    let Some([major, minor, patch]) = numbers.and_then(|n| <[u64; 3]>::try_from(n).ok()) else { return Err(wrong()) };
    let next = |n: u64| n.checked_add(1).ok_or_else(wrong);
    let [major, minor, patch] = match which {
        Bump::Major => [next(major)?, 0, 0],
        Bump::Minor => [major, next(minor)?, 0],
        Bump::Patch => [major, minor, next(patch)?],
    };
    Ok(format!("{}{major}.{minor}.{patch}", &text[..text.len() - bare.len()]))
}

fn version_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Digits of a text that is counted on: what a 64-bit number surely holds.
const DIGITS_MAX: usize = 18;

/// A whole number and `n`; a text of digits as a text, as wide as it was.
pub(super) fn add(value: &Value, n: i64) -> Result<Value, String> {
    let wrong = || format!("{} is no whole number", shown(value));
    if let Value::String(text) = value {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let sum = text.parse::<i64>().ok().and_then(|number| number.checked_add(n)).ok_or_else(wrong)?;
        let (sign, width) = (if sum < 0 { "-" } else { "" }, digits.len());
        // "9" becomes "10", and "009" becomes "010".
        let width = if digits.starts_with('0') { width } else { 1 };
        return Ok(format!("{sign}{:0width$}", sum.unsigned_abs()).into());
    }
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)).ok_or_else(wrong)?;
    let sum = number + i128::from(n);
    let small = i64::try_from(sum).map(Value::from);
    small.or_else(|_| u64::try_from(sum).map(Value::from)).map_err(|_| format!("{sum} does not fit into 64 bits"))
}

/// Bytes of `YYYY-MM-DD`.
const DATE_BYTES: usize = 10;

/// A date and so many days; what stands behind it, after a `T` or a space, stays.
pub(super) fn days(text: &str, n: i64) -> Result<String, String> {
    let wrong = || format!("{} is no date YYYY-MM-DD", shown(&Value::from(text)));
    let (date, rest) = text.split_at_checked(DATE_BYTES).ok_or_else(wrong)?;
    if !rest.is_empty() && !rest.starts_with(['T', ' ']) {
        return Err(wrong());
    }
    let moved = day(date).ok_or_else(wrong)?.checked_add(jiff::Span::new().try_days(n).map_err(|_| beyond(n))?).map_err(|_| beyond(n))?;
    // Years before 0 have a sign, and are no dates of the form that was asked for.
    if moved.year() < 0 { Err(beyond(n)) } else { Ok(format!("{moved}{rest}")) }
}

fn beyond(n: i64) -> String {
    format!("{n} days lead out of the years 0 to 9999")
}

fn day(text: &str) -> Option<jiff::civil::Date> {
    let form = text.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !form {
        return None;
    }
    jiff::civil::Date::new(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?).ok()
}

/// The date in UTC of milliseconds since the Unix epoch.
pub(super) fn date(value: &Value) -> Result<String, String> {
    let wrong = || format!("{} is no time in milliseconds since 1970", shown(value));
    let ms = value.as_u64().and_then(|ms| i64::try_from(ms).ok()).ok_or_else(wrong)?;
    let time = jiff::Timestamp::from_millisecond(ms).map_err(|_| wrong())?;
    Ok(time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}
