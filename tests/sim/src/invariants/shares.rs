//! Of projects that share, the one is served that was charged the least for each of its shares: decision 16, counted from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_engine::config::Builder;
use stampmill_model::{Build, Request, Steady};

use super::{Finding, Invariant, expect};
use crate::facts::locks::wants_any;
use crate::facts::{Facts, Step};
use crate::records::{Written, is_open, is_waiting};

/// What a start costs, in milliseconds.
const START: i128 = 1_000;

#[derive(Default)]
pub(super) struct Shares {
    is_sharing: bool,
    projects: BTreeMap<String, Project>,
}

#[derive(Clone, Debug, Default)]
struct Project {
    shares: u32,
    running: u32,
    /// What it was charged, less the present time for each build that runs.
    charged: i128,
    served_at: Option<Level>,
}

/// Milliseconds for so many shares.
#[derive(Clone, Copy, Debug)]
struct Level(i128, u32);

impl Level {
    fn is_above(self, other: Self) -> bool {
        self.0 * i128::from(other.1) > other.0 * i128::from(self.1)
    }

    /// The same for other shares, rounded up.
    fn with(self, shares: u32) -> i128 {
        let (had, of) = (self.0 * i128::from(shares), i128::from(self.1));
        had.div_euclid(of) + i128::from(had.rem_euclid(of) > 0)
    }
}

impl Project {
    fn level(&self, now: Steady) -> Level {
        Level(self.charged + i128::from(self.running) * i128::from(now.0), self.shares)
    }

    fn set(&mut self, had: i128, now: Steady) {
        self.charged = had - i128::from(self.running) * i128::from(now.0);
    }

    fn begin(&mut self, now: Steady) {
        self.running += 1;
        self.charged += START - i128::from(now.0);
    }
}

impl Invariant for Shares {
    fn handled(&mut self, facts: &Facts, step: &Step<'_>) -> Finding {
        let now = facts.now.steady;
        for written in step.written {
            let Written::Build { before: Some(before), after } = written else { continue };
            // Its project may have left the configuration while it waited.
            let new = || Project { shares: 1, ..Project::default() };
            let project = self.projects.entry(after.project.clone()).or_insert_with(new);
            // A build that waits for what it has triggered is charged for nothing.
            match (is_waiting(before), is_waiting(after) || !is_open(after)) {
                (false, true) => {
                    project.running -= 1;
                    project.charged += i128::from(now.0);
                }
                (true, false) => {
                    project.running += 1;
                    project.charged -= i128::from(now.0);
                }
                (false, false) | (true, true) => {}
            }
        }
        let started: BTreeMap<_, _> = step.started().map(|build| (build.id, build)).collect();
        let started: Vec<&Arc<Build>> = started.into_values().collect();
        match step.input {
            None => self.load(facts, &started),
            Some(_) if step.is_configured() => self.configure(facts),
            Some(_) => {}
        }
        (0..started.len()).try_for_each(|index| self.serve(facts, started[index], &started[index + 1..]))
    }
}

impl Shares {
    /// What was had before a start is forgotten; the builds that run are charged from then on.
    fn load(&mut self, facts: &Facts, started: &[&Arc<Build>]) {
        *self = Self::default();
        self.configure(facts);
        for build in facts.said.open_builds() {
            if !is_waiting(build) && !started.iter().any(|new| new.id == build.id) {
                let new = || Project { shares: 1, ..Project::default() };
                self.projects.entry(build.project.clone()).or_insert_with(new).begin(facts.now.steady);
            }
        }
    }

    /// Levels go on through a reload; where nothing was shared before they begin at nothing.
    fn configure(&mut self, facts: &Facts) {
        let builders = facts.config.builders.iter().map(|builder| &builder.project);
        let names: BTreeSet<_> = builders.chain(facts.config.projects.iter().map(|project| &project.name)).collect();
        self.projects.retain(|name, project| project.running > 0 || names.contains(name));
        for name in names {
            self.projects.entry(name.clone()).or_default();
        }
        for (name, project) in &mut self.projects {
            let (now, shares) = (facts.now.steady, facts.shares(name));
            let had = if self.is_sharing && project.shares > 0 { project.level(now).with(shares) } else { 0 };
            project.set(had, now);
            project.shares = shares;
        }
        self.is_sharing = facts.is_sharing();
    }

    fn serve(&mut self, facts: &Facts, build: &Build, later: &[&Arc<Build>]) -> Finding {
        let now = facts.now.steady;
        if self.is_sharing {
            let level = self.projects[&build.project].level(now);
            let waiting = facts.said.pending().filter(|request| could_start(facts, request, build));
            for project in waiting.filter_map(|request| Some(&facts.builder(&request.builder)?.project)) {
                let other = self.projects[project].level(now);
                expect(!level.is_above(other), || {
                    format!(
                        "build {} is of project `{}` at {level:?}, and `{project}` waits at {other:?}",
                        build.id, build.project
                    )
                })?;
            }
            let later = later.iter().flat_map(|build| build.requests()).map(|id| &facts.said.requests[&id]);
            let beside = facts.said.pending().chain(later).filter_map(|request| waits_for(facts, request, build));
            let others: BTreeSet<_> =
                beside.map(|builder| &builder.project).filter(|it| **it != build.project).collect();
            let floors = others.into_iter().filter_map(|other| self.projects[other].served_at);
            let floor =
                floors.fold(None, |most: Option<Level>, it| most.filter(|most| !it.is_above(*most)).or(Some(it)));
            if let Some(project) = self.projects.get_mut(&build.project) {
                if let Some(floor) = floor.filter(|floor| floor.is_above(level)) {
                    project.set(floor.with(project.shares), now);
                }
                project.served_at = Some(project.level(now));
            }
        }
        self.projects.entry(build.project.clone()).or_default().begin(now);
        Ok(())
    }
}

/// The builder of a request for which the worker of a build would do at the moment before that build starts, whoever declined it and whatever is locked.
fn waits_for<'a>(facts: &'a Facts, request: &Request, build: &Build) -> Option<&'a Builder> {
    let builder = facts.builder(&request.builder)?;
    let before = |is_mine: &dyn Fn(&Build) -> bool| {
        facts.said.open_builds().filter(|open| open.id < build.id && !is_waiting(open) && is_mine(open)).count()
    };
    let has_room = |most: Option<u32>, running: usize| {
        most.is_none_or(|most| running < usize::try_from(most).unwrap_or(usize::MAX))
    };
    let project = facts.config.projects.iter().find(|project| project.name == builder.project);
    let most = project.and_then(|project| project.max_builds);
    let fits = facts.fits(request, builder, &build.worker)
        && has_room(builder.max_builds, before(&|open| open.builder == builder.name))
        && has_room(most, before(&|open| open.project == builder.project));
    fits.then_some(builder)
}

/// Whether a request that still waits could have started instead of a build. Of those that want locks nobody says so: the line may have moved since.
fn could_start(facts: &Facts, request: &Request, build: &Build) -> bool {
    waits_for(facts, request, build).is_some_and(|builder| !wants_any(builder))
        && !facts.is_barred(request.id, &build.worker)
}
