//! Times as GitHub writes them.

/// Milliseconds since 1970 of an RFC 3339 time such as `2023-11-14T23:13:20+01:00`; none for anything else, or before 1970.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let clock_end = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(clock_end);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && year <= 9999;
    if !in_range {
        return None;
    }
    let offset = match zone.split_at(1) {
        ("Z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':')?;
            let minutes = hours * 60 + minutes;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + (minute - offset) * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1000)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Vec<i64> =
        text.split(separator)
            .map(|part| {
                if part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
            })
            .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_zone() {
        assert_eq!(milliseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(milliseconds("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(milliseconds("2023-11-14T23:13:20+01:00"), Some(1_700_000_000_000));
        assert_eq!(milliseconds("2023-11-14T16:43:20-05:30"), Some(1_700_000_000_000));
        assert_eq!(milliseconds("2024-02-29T12:00:00.123Z"), Some(1_709_208_000_000));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "yesterday",
            "2023-11-14",
            "2023-11-14T22:13Z",
            "2023-13-14T22:13:20Z",
            "1969-01-01T00:00:00Z",
            "2023-11-14T22:13:20+é",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
