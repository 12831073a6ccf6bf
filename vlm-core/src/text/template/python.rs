//! What templates take from Python besides Jinja itself.

use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| strftime(&format, now()));
    // Python's texts and dictionaries have a length and parts, its None cannot be walked.
    environment.add_test("sequence", |v: &Value| {
        v.is_undefined() || matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    environment.add_test("iterable", |v: &Value| !v.is_none() && v.try_iter().is_ok());
    // What is no number becomes 0.
    environment.add_filter("int", int);
    environment.add_filter("float", float);
}

fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0));
    minijinja::filters::int(state, value, Some(default), base, kwargs)
}

fn float(state: &State<'_, '_>, value: &Value, default: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = default.or(kwargs.get("default")?).unwrap_or_else(|| Value::from(0.0));
    minijinja::filters::float(state, value, Some(default), kwargs)
}

fn method(state: &mut State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (name, value.as_str()) {
        ("rsplit", Some(text)) => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            Ok(rsplit(text, separator, most))
        }
        ("partition" | "rpartition", Some(text)) => {
            let (separator,): (&str,) = from_args(args)?;
            let from_left = name == "partition";
            let found = if from_left { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if from_left => [text, "", ""],
                None => ["", "", text],
            };
            Ok(Value::from_object(Tuple::from(parts.map(Value::from))))
        }
        ("removeprefix", Some(text)) => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        ("removesuffix", Some(text)) => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        ("index", Some(text)) => {
            let (what,): (&str,) = from_args(args)?;
            let at = text.find(what).map(|at| text[..at].chars().count());
            at.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "index: there is no such part"))
        }
        ("index", None) if value.kind() == ValueKind::Seq => {
            let (what,): (&Value,) = from_args(args)?;
            let at = value.try_iter()?.position(|item| item == *what);
            at.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "index: there is no such item"))
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// Python's `str.rsplit`: splits from the right, at most so often.
fn rsplit(text: &str, separator: Option<&str>, most: Option<i64>) -> Value {
    let most = most.and_then(|m| usize::try_from(m).ok()).unwrap_or(usize::MAX);
    let (mut rest, mut parts) = (text, Vec::new());
    while parts.len() < most {
        let found = match separator {
            Some(s) => rest.rsplit_once(s),
            None => rest.trim_end().rsplit_once(char::is_whitespace).map(|(a, b)| (a.trim_end(), b)),
        };
        let Some((before, part)) = found else { break };
        parts.push(part);
        rest = before;
    }
    let rest = if separator.is_none() { rest.trim() } else { rest };
    if separator.is_some() || !rest.is_empty() {
        parts.push(rest);
    }
    parts.reverse();
    parts.into_iter().map(Value::from).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Python's `strftime` in UTC, for the codes that templates use.
fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let weekday = DAYS[((days + 4) % 7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => out += &format!("{year:04}"),
            Some('y') => out += &format!("{:02}", year % 100),
            Some('m') => out += &format!("{month:02}"),
            Some('d') => out += &format!("{day:02}"),
            Some('b') => out += &month_name[..3],
            Some('B') => out += month_name,
            Some('a') => out += &weekday[..3],
            Some('A') => out += weekday,
            Some('H') => out += &format!("{:02}", time / 3600),
            Some('M') => out += &format!("{:02}", time / 60 % 60),
            Some('S') => out += &format!("{:02}", time % 60),
            Some('%') => out.push('%'),
            other => {
                let code = other.map(String::from).unwrap_or_default();
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now: no code %{code} here")));
            }
        }
    }
    Ok(out)
}

/// Year, month and day of a number of days since 1970 (Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_pythons() {
        let at = |s| strftime("%A %d %B %Y, %a %b %H:%M:%S %y%%", s).unwrap();
        assert_eq!(at(0), "Thursday 01 January 1970, Thu Jan 00:00:00 70%");
        assert_eq!(at(951_782_400 + 3661), "Tuesday 29 February 2000, Tue Feb 01:01:01 00%");
        assert_eq!(at(1_735_689_599), "Tuesday 31 December 2024, Tue Dec 23:59:59 24%");
        assert!(strftime("%Q", 0).is_err());
    }

    #[test]
    fn rsplit_is_pythons() {
        let list = |v: Value| v.to_string();
        assert_eq!(list(rsplit("a,b,c", Some(","), Some(1))), "['a,b', 'c']");
        assert_eq!(list(rsplit(" a  b c ", None, None)), "['a', 'b', 'c']");
        assert_eq!(list(rsplit("abc", Some(","), None)), "['abc']");
    }
}
