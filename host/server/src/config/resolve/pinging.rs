//! Which projects depend on which, and the schedulers that tell them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::finding::{Problem, Sink};
use crate::config::nearest::{did_you_mean, quoted};
use crate::config::raw::{File, Project, Scheduler, SchedulerKind};
use crate::config::reader::At;

/// The project of each scheduler that pings or is pinged, by the scheduler's name. What is wrong with projects and these is reported.
pub(super) fn owners(file: &File, sink: &Sink) -> BTreeMap<String, String> {
    dependencies(file, sink);
    cycles(&file.projects, sink);
    let of_builder: BTreeMap<&str, &str> =
        file.builders.iter().map(|builder| (builder.name.value.as_str(), builder.project.as_str())).collect();
    let mut owners = BTreeMap::new();
    let mut pinged: BTreeMap<&str, &Scheduler> = BTreeMap::new();
    for scheduler in &file.schedulers {
        let is_pinged = scheduler.kind.value == SchedulerKind::Pinged;
        let Some(place) = is_pinged.then_some(&scheduler.kind.span).or(scheduler.pings.as_ref()) else { continue };
        let what = format!("scheduler `{}`", scheduler.name.value);
        let builders = scheduler.builders.iter().filter_map(|builder| of_builder.get(builder.value.as_str()).copied());
        let projects: BTreeSet<&str> = builders.collect();
        let project = match projects.into_iter().collect::<Vec<_>>().as_slice() {
            // Its builders are unknown, and reported as that.
            [] => continue,
            [one] if !one.is_empty() => *one,
            [_] => {
                let problem = Problem::error(place.clone(), format!("the builders of {what} have no project"));
                sink.report(problem.label("of which project?").mend("add `project = \"…\"` to its builders"));
                continue;
            }
            several => {
                let problem = Problem::error(place.clone(), format!("the builders of {what} are of several projects"));
                let told = format!("of which of {}?", quoted(several));
                sink.report(problem.label(told).mend("make one scheduler for each project"));
                continue;
            }
        };
        if is_pinged {
            if let Some(first) = pinged.insert(project, scheduler) {
                let message = format!("project `{project}` has two schedulers of kind `pinged`");
                let problem = Problem::error(place.clone(), message).also(first.kind.span.clone(), "the first");
                sink.report(problem.label("the second").mend("name all its builders in one of them"));
            }
        } else if follows_ping(file, scheduler) {
            let message = format!("`pings` of {what} means nothing: what it follows began with a ping");
            let problem = Problem::error(place.clone(), message).label("without effect");
            sink.report(problem.mend("remove it: the wave goes on from the `pinged` scheduler itself"));
        }
        owners.insert(scheduler.name.value.clone(), project.to_owned());
    }
    idle(file, &owners, &pinged, sink);
    owners
}

/// A wave that another one could begin would never end.
fn follows_ping(file: &File, scheduler: &Scheduler) -> bool {
    let named = |name: &str| file.schedulers.iter().find(|it| it.name.value == name);
    let mut seen = BTreeSet::new();
    let mut next = Some(scheduler);
    while let Some(scheduler) = next.filter(|it| seen.insert(it.name.value.as_str())) {
        if scheduler.kind.value == SchedulerKind::Pinged {
            return true;
        }
        next = scheduler.upstream.as_ref().and_then(|upstream| named(&upstream.value));
    }
    false
}

fn dependencies(file: &File, sink: &Sink) {
    let named = file.projects.iter().map(|project| project.name.value.as_str());
    let known: BTreeSet<&str> = named.chain(file.builders.iter().map(|builder| builder.project.as_str())).collect();
    for project in &file.projects {
        let name = &project.name.value;
        let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
        for needed in &project.depends_on {
            let place = needed.span.clone();
            if !known.contains(needed.value.as_str()) || needed.value.is_empty() {
                let problem = Problem::error(place, format!("project `{name}` depends on `{}`", needed.value));
                let known = known.iter().copied().filter(|known| !known.is_empty() && known != name);
                sink.report(problem.label("no such project").mend(did_you_mean(&needed.value, "projects", known)));
            } else if let Some(first) = seen.insert(&needed.value, needed) {
                let problem = Problem::error(place, format!("project `{name}` depends on `{}` twice", needed.value));
                let problem = problem.label("the second").also(first.span.clone(), "the first");
                sink.report(problem.mend("leave one of them out"));
            }
        }
    }
}

/// Each project is gone through once; one that is met again on the way to itself closes a cycle.
fn cycles(projects: &[Project], sink: &Sink) {
    let all: BTreeMap<&str, &Project> = projects.iter().map(|it| (it.name.value.as_str(), it)).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for project in projects {
        let mut path: Vec<(&Project, usize)> = vec![(project, 0)];
        while let Some((at, next)) = path.last_mut() {
            let at: &Project = at;
            let needed = at.depends_on.get(*next);
            *next += 1;
            let Some(needed) = needed.filter(|_| !done.contains(at.name.value.as_str())) else {
                done.insert(&at.name.value);
                path.pop();
                continue;
            };
            let back = path.iter().position(|(it, _)| it.name.value == needed.value);
            match (back, all.get(needed.value.as_str())) {
                (Some(back), _) => {
                    let names =
                        path[back..].iter().map(|(it, _)| it.name.value.as_str()).chain([needed.value.as_str()]);
                    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                    let message = format!("projects depend on each other: {}", names.join(" on "));
                    let problem = Problem::error(needed.span.clone(), message).label("closes the cycle");
                    sink.report(
                        problem.mend("no order would build each after what it depends on: remove one of these"),
                    );
                }
                (None, Some(next)) => path.push((next, 0)),
                (None, None) => {}
            }
        }
    }
}

/// Dependencies that nothing follows from, and pings that reach nobody.
fn idle(file: &File, owners: &BTreeMap<String, String>, pinged: &BTreeMap<&str, &Scheduler>, sink: &Sink) {
    for project in file.projects.iter().filter(|project| !project.depends_on.is_empty()) {
        let name = &project.name;
        if !pinged.contains_key(name.value.as_str()) {
            let message = format!("project `{}` depends on others, and no scheduler is pinged for it", name.value);
            let problem = Problem::warning(name.span.clone(), message).label("not built after them");
            sink.report(problem.mend("add a scheduler with `kind = \"pinged\"` and builders of the project"));
        }
    }
    for scheduler in &file.schedulers {
        let (Some(place), Some(project)) = (&scheduler.pings, owners.get(&scheduler.name.value)) else { continue };
        let needs = |other: &Project| other.depends_on.iter().any(|needed| needed.value == *project);
        if !file.projects.iter().any(needs) {
            let message = format!("scheduler `{}` pings nobody", scheduler.name.value);
            let problem = Problem::warning(place.clone(), message).label(format!("no project depends on `{project}`"));
            sink.report(problem.mend(format!("add `depends-on = [{project:?}]` to a `[[project]]`")));
        }
    }
}
