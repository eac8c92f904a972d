//! Precedence of properties: which value wins when several places set the same name.

use std::collections::btree_map::Entry;

use serde_json::{Value, json};
use stampmill_model::{Build, Properties, Property, PropertySource};

/// Sets a property unless a place of higher precedence has set it already; among equals the later one wins. Answers whether it was set.
///
/// The precedence is the order of [`PropertySource`]: global, worker, builder, change, scheduler, force, trigger, job, build, step.
/// Steps are all equal among each other.
pub fn set(properties: &mut Properties, name: &str, property: Property) -> bool {
    match properties.entry(name.to_owned()) {
        Entry::Vacant(place) => {
            place.insert(property);
            true
        }
        Entry::Occupied(mut place) => {
            let wins = rank(&property.source) >= rank(&place.get().source);
            if wins {
                place.insert(property);
            }
            wins
        }
    }
}

/// Combines the properties of several places by precedence.
#[must_use]
pub fn combine(places: impl IntoIterator<Item = Properties>) -> Properties {
    let mut combined = Properties::new();
    for (name, property) in places.into_iter().flatten() {
        set(&mut combined, &name, property);
    }
    combined
}

/// What every build knows of itself, with Buildbot's names: `buildername`, `buildnumber`, `workername`, `project`, and for a build of one
/// codebase `branch`, `revision`, `repository` and `codebase`.
#[must_use]
pub fn of_build(build: &Build) -> Properties {
    let mut values = vec![
        ("buildername", json!(build.builder.as_str())),
        ("buildnumber", json!(build.number)),
        ("workername", json!(build.worker.as_str())),
        ("project", json!(build.project)),
    ];
    if let [only] = build.stamps.as_slice() {
        values.extend([
            ("branch", json!(only.branch)),
            ("revision", json!(only.revision)),
            ("repository", json!(only.repository)),
            ("codebase", json!(only.codebase)),
        ]);
    }
    let from_build = |(name, value): (&str, Value)| {
        let source = PropertySource::Build;
        (name.to_owned(), Property { value, source })
    };
    values.into_iter().map(from_build).collect()
}

const fn rank(source: &PropertySource) -> u8 {
    match source {
        PropertySource::Global => 0,
        PropertySource::Worker => 1,
        PropertySource::Builder => 2,
        PropertySource::Change => 3,
        PropertySource::Scheduler => 4,
        PropertySource::Force => 5,
        PropertySource::Trigger => 6,
        PropertySource::Job => 7,
        PropertySource::Build => 8,
        PropertySource::Step(_) => 9,
    }
}
