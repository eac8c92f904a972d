//! Lengths of time and sizes as people write them.

use stampmill_model::Milliseconds;

use super::limits;

/// `30s`, `1h30m`, `500ms`; `None` for anything else, for zero units, and for more than a year.
pub(crate) fn parse_duration(text: &str) -> Option<Milliseconds> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = split_unit(rest)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(milliseconds)?)?;
        rest = after.trim_start();
    }
    Some(Milliseconds(total)).filter(|length| *length <= limits::DURATION_MAX)
}

/// `10MiB`, `64KiB`, `1GiB`, `500kB`, `12B`.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit, after) = split_unit(text.trim())?;
    let bytes = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    if after.is_empty() { number.checked_mul(bytes) } else { None }
}

/// The number at the beginning, the letters after it, and what is left.
fn split_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    Some((number.parse().ok()?, unit, after))
}

/// The largest unit that shows it without a fraction.
pub(crate) fn show_duration(length: Milliseconds) -> String {
    match length.0 {
        0 => "0s".to_owned(),
        ms if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// The largest binary unit that shows it without a fraction.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(size, _)| bytes != 0 && bytes.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("30s"), Some(Milliseconds(30_000)));
        assert_eq!(parse_duration("1h30m"), Some(Milliseconds(5_400_000)));
        assert_eq!(parse_duration("2 min"), Some(Milliseconds(120_000)));
        assert_eq!(parse_duration("500ms"), Some(Milliseconds(500)));
        assert_eq!(parse_duration("1d 1s"), Some(Milliseconds(86_401_000)));
        for wrong in ["", "30", "s", "30 parsecs", "-1s", "1.5h", "99999999999999999999s", "9999d", "1sé"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        assert_eq!(parse_bytes("10MiB"), Some(10 << 20));
        assert_eq!(parse_bytes("1 kB"), Some(1000));
        for wrong in ["", "10", "10 mib", "MiB", "1MiB2", "99999999999GiB"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_shown_size_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 64 << 20, 1 << 30, 3 << 30, u64::MAX] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        assert_eq!(show_bytes(64 << 20), "64MiB");
    }

    #[test]
    fn a_shown_duration_reads_back() {
        for ms in [0, 1, 999, 1000, 60_000, 90_000, 3_600_000, 172_800_000] {
            assert_eq!(parse_duration(&show_duration(Milliseconds(ms))), Some(Milliseconds(ms)));
        }
    }
}
