//! Calendars: the times of a clock on a wall at which something is to happen, as a crontab says them, in a time zone.

use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use stampmill_model::Wall;

/// A crontab in a time zone. Where clocks are put forward, a time that does not come is the first after the gap; where they are put back, a
/// time that comes twice is the first. Wildcards and steps in the hour or minute pass over the gap, and come in both of the doubled hours.
#[derive(Clone, PartialEq, Debug)]
pub struct Calendar {
    pattern: Arc<Cron>,
    zone: TimeZone,
}

/// Why a text is no calendar.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CalendarError {
    /// The time zone is unknown.
    #[error("`{0}` is no time zone of the IANA database")]
    Zone(String),
    /// The crontab can't be read.
    #[error("`{pattern}` is no crontab: {reason}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such day.
    #[error("`{0}` never comes")]
    Never(String),
}

impl Calendar {
    /// Reads the five fields of a crontab: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
    ///
    /// # Errors
    ///
    /// When the crontab or the time zone can't be read, or when the crontab never comes.
    pub fn new(pattern: &str, zone: &str) -> Result<Self, CalendarError> {
        let known = TimeZoneDatabase::bundled().get(zone).map_err(|_| CalendarError::Zone(zone.to_owned()))?;
        let refused = |reason: String| CalendarError::Pattern { pattern: pattern.to_owned(), reason };
        let fields = pattern.split_whitespace().count();
        if fields != 5 {
            return Err(refused(format!(
                "it has {fields} fields, not five: minute, hour, day of the month, month, day of the week"
            )));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let parsed =
            parser.parse(pattern).map_err(|error| refused(error.to_string().trim_end_matches('.').to_owned()))?;
        let calendar = Self { pattern: Arc::new(parsed), zone: known };
        match calendar.next_after(Wall(0)) {
            Some(_) => Ok(calendar),
            None => Err(CalendarError::Never(pattern.to_owned())),
        }
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, at: Wall) -> Option<Wall> {
        let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let next: Zoned = self.pattern.find_next_occurrence(&at.to_zoned(self.zone.clone()), false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok().map(Wall)
    }
}

/// For people, as in `At 03:00. (Europe/Berlin)`.
impl std::fmt::Display for Calendar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({})", self.pattern.describe(), self.zone.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> Wall {
        let at: Timestamp = text.parse().expect("a timestamp");
        Wall(u64::try_from(at.as_millisecond()).expect("after 1970"))
    }

    fn next(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
        let mut at = wall(after);
        let times = std::iter::from_fn(|| {
            at = calendar.next_after(at)?;
            Some(Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?.to_zoned(calendar.zone.clone()))
        });
        times.take(count).map(|time| time.strftime("%a %F %R %z").to_string()).collect()
    }

    fn berlin(pattern: &str) -> Calendar {
        Calendar::new(pattern, "Europe/Berlin").expect("a calendar")
    }

    #[test]
    fn a_night_is_a_night_in_its_zone_all_year() {
        let nightly = berlin("0 3 * * *");
        assert_eq!(
            next(&nightly, "2026-07-01T00:59:59Z", 2),
            ["Wed 2026-07-01 03:00 +0200", "Thu 2026-07-02 03:00 +0200"]
        );
        assert_eq!(next(&nightly, "2026-12-01T01:59:59Z", 1), ["Tue 2026-12-01 03:00 +0100"]);
        assert_eq!(next(&nightly, "2026-12-01T02:00:00Z", 1), ["Wed 2026-12-02 03:00 +0100"], "not twice");
        let weekly = Calendar::new("30 4 * * 1-5", "UTC").expect("a calendar");
        assert_eq!(next(&weekly, "2026-11-20T04:30:00Z", 1), ["Mon 2026-11-23 04:30 +0000"]);
    }

    #[test]
    fn an_hour_that_is_skipped_or_doubled_has_one_night_all_the_same() {
        let nightly = berlin("30 2 * * *");
        let forward = ["Sat 2027-03-27 02:30 +0100", "Sun 2027-03-28 03:00 +0200", "Mon 2027-03-29 02:30 +0200"];
        assert_eq!(next(&nightly, "2027-03-26T12:00:00Z", 3), forward);
        let back = ["Sat 2027-10-30 02:30 +0200", "Sun 2027-10-31 02:30 +0200", "Mon 2027-11-01 02:30 +0100"];
        assert_eq!(next(&nightly, "2027-10-29T12:00:00Z", 3), back);
        let hourly = berlin("0 * * * *");
        let doubled = ["Sun 2027-10-31 02:00 +0200", "Sun 2027-10-31 02:00 +0100", "Sun 2027-10-31 03:00 +0100"];
        assert_eq!(next(&hourly, "2027-10-30T23:30:00Z", 3), doubled);
    }

    #[test]
    fn days_that_are_rare_come_and_days_that_do_not_exist_are_refused() {
        let leap = berlin("0 0 29 2 *");
        assert_eq!(
            next(&leap, "2026-11-22T00:00:00Z", 2),
            ["Tue 2028-02-29 00:00 +0100", "Sun 2032-02-29 00:00 +0100"]
        );
        assert_eq!(Calendar::new("0 0 30 2 *", "UTC"), Err(CalendarError::Never("0 0 30 2 *".to_owned())));
    }

    #[test]
    fn what_is_no_crontab_or_no_zone_is_refused_with_the_reason() {
        let refusal = |pattern: &str, zone: &str| Calendar::new(pattern, zone).expect_err("refused").to_string();
        assert_eq!(refusal("0 3 * * *", "Mars/Olympus"), "`Mars/Olympus` is no time zone of the IANA database");
        for pattern in
            ["", "61 3 * * *", "0 24 * * *", "0 3 * * MON-", "every night", "0 3 * * * *", "0 3 32 * *", "*/0 * * * *"]
        {
            let text = refusal(pattern, "UTC");
            assert!(text.starts_with(&format!("`{pattern}` is no crontab: ")), "{text}");
        }
    }

    #[test]
    fn a_calendar_is_told_in_words() {
        assert_eq!(berlin("0 3 * * *").to_string(), "At 03:00. (Europe/Berlin)");
    }
}
