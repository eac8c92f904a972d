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
    /// Whether minute and hour are numbers, lists and ranges of them: times of the day, not something that goes on all day.
    is_of_times: bool,
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
        let is_of_times = !pattern.split_whitespace().take(2).any(|field| field.contains(['*', '/']));
        let calendar = Self { pattern: Arc::new(parsed), zone: known, is_of_times };
        match calendar.next_after(Wall(0)) {
            Some(_) => Ok(calendar),
            None => Err(CalendarError::Never(pattern.to_owned())),
        }
    }

    /// The first time after this one.
    #[must_use]
    pub fn next_after(&self, at: Wall) -> Option<Wall> {
        let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let mut next: Zoned = self.pattern.find_next_occurrence(&at.to_zoned(self.zone.clone()), false).ok()?;
        // Of times of the day croner sees to single ones: with a list they would come in both of the doubled hours and not in the gap.
        if self.is_of_times {
            while self.zone.to_ambiguous_zoned(next.datetime()).earlier().ok()?.timestamp() != next.timestamp() {
                next = self.pattern.find_next_occurrence(&next, false).ok()?;
            }
            if let Some(end) = self.first_gap_with_a_time(at, next.timestamp()) {
                return u64::try_from(end.as_millisecond()).ok().map(Wall);
            }
        }
        u64::try_from(next.timestamp().as_millisecond()).ok().map(Wall)
    }

    /// The end of the first gap between two times in which the crontab has a time that does not come.
    fn first_gap_with_a_time(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let changes = self.zone.following(after).map(|change| change.timestamp());
        changes.take_while(|change| *change <= until).find(|change| {
            let seconds = |at: Timestamp| i64::from(self.zone.to_offset(at).seconds());
            let before = seconds(Timestamp::from_second(change.as_second() - 1).unwrap_or(*change));
            let missing = (change.as_second() + before..change.as_second() + seconds(*change)).step_by(60);
            // What the clock on the wall would have shown is read as UTC, which has no gaps.
            let mut missing = missing.filter_map(|wall| Timestamp::from_second(wall).ok());
            missing.any(|wall| self.pattern.is_time_matching(&wall.to_zoned(TimeZone::UTC)).unwrap_or(false))
        })
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
        let twice_a_day = berlin("30 2,14 * * *");
        assert_eq!(next(&twice_a_day, "2027-03-27T20:00:00Z", 2), [forward[1], "Sun 2027-03-28 14:30 +0200"]);
        assert_eq!(next(&twice_a_day, "2027-10-30T20:00:00Z", 2), [back[1], "Sun 2027-10-31 14:30 +0100"]);
        let half_an_hour = Calendar::new("15,45 2 * * *", "Australia/Lord_Howe").expect("a calendar");
        assert_eq!(
            next(&half_an_hour, "2027-10-02T12:00:00Z", 2),
            ["Sun 2027-10-03 02:30 +1100", "Sun 2027-10-03 02:45 +1100"]
        );
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
