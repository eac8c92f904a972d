//! Shares: which project is served next, and how many builds a project may have at once.
//!
//! A project is charged for the time of its builds; who has had the least for each of its shares goes first. The rule, and what it promises, is in
//! `docs/decisions/0016-projects-share-by-time.md`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use stampmill_model::{Build, Steady};

use crate::Engine;
use crate::config::Config;
use crate::limits::START_COSTS;
use crate::queue::Group;

/// The number of all projects together that need not be told apart: those without a limit, where nothing is shared.
pub(crate) const NO_PROJECT: usize = 0;

/// What a project has had of the workers for each of its shares, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Level {
    had: i128,
    /// Never 0 but in the level of those who don't share; theirs are all equal.
    shares: u32,
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Level {}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.had * i128::from(other.shares)).cmp(&(other.had * i128::from(self.shares)))
    }
}

impl Level {
    /// What is had at this level with so many shares; rounded up, so that nobody gets below those whom it is raised to.
    fn scaled_to(self, shares: u32) -> i128 {
        let of = i128::from(self.shares.max(1));
        (self.had * i128::from(shares) + of - 1).div_euclid(of)
    }
}

/// A project as it is now.
#[derive(Clone, Debug, Default)]
struct Project {
    name: String,
    shares: u32,
    max_builds: Option<u32>,
    /// Its open builds.
    running: u32,
    /// What it is charged for: the time of its builds that have ended and what its starts cost, less the times at which those that run have started.
    charged: i128,
    /// What it had for each share when it was served last.
    served_at: Option<Level>,
}

impl Project {
    fn level(&self, now: Steady) -> Level {
        Level { had: self.charged + i128::from(self.running) * i128::from(now.0), shares: self.shares }
    }
}

/// The projects of the configuration, and those that have builds still.
#[derive(Clone, Debug, Default)]
pub(crate) struct Projects {
    by_name: BTreeMap<String, usize>,
    /// The first stands for [`NO_PROJECT`].
    all: Vec<Project>,
    is_sharing: bool,
}

impl Projects {
    /// Takes up a configuration. What a project has had for each share goes with its name; where nothing was shared before, all begin anew.
    pub(crate) fn configure(&mut self, config: &Config, now: Steady) {
        let before = std::mem::take(self);
        let running = before.all.iter().filter(|project| project.running > 0).map(|project| &project.name);
        let named = config.builders.iter().map(|builder| &builder.project);
        let names: BTreeSet<_> =
            named.chain(config.projects.iter().map(|project| &project.name)).chain(running).collect();
        self.is_sharing = config.projects.iter().any(|project| project.shares.is_some());
        self.all.push(Project::default());
        for name in names {
            let kept = before.by_name.get(name).map(|number| before.all[*number].clone()).unwrap_or_default();
            let number = self.add(name);
            self.all[number] = Project { name: name.clone(), max_builds: None, ..kept };
        }
        let shares: BTreeMap<_, _> = config.projects.iter().map(|project| (&project.name, project)).collect();
        for project in self.all.iter_mut().skip(1) {
            let configured = shares.get(&project.name);
            project.max_builds = configured.and_then(|configured| configured.max_builds);
            let shares = configured.and_then(|configured| configured.shares).unwrap_or(1).max(1);
            let had = if before.is_sharing { project.level(now).scaled_to(shares) } else { 0 };
            project.charged = had - i128::from(project.running) * i128::from(now.0);
            project.shares = shares;
        }
    }

    fn add(&mut self, name: &str) -> usize {
        self.by_name.insert(name.to_owned(), self.all.len());
        self.all.push(Project { name: name.to_owned(), shares: 1, ..Project::default() });
        self.all.len() - 1
    }

    /// The number by which a project is told apart, if it has to be.
    pub(crate) fn number(&self, name: &str) -> usize {
        let number = self.by_name.get(name).copied();
        number.filter(|number| self.is_sharing || self.all[*number].max_builds.is_some()).unwrap_or(NO_PROJECT)
    }

    /// How many builds each project has that has any.
    pub(crate) fn all_running(&self) -> BTreeMap<&str, u32> {
        let running = self.all.iter().filter(|project| project.running > 0);
        running.map(|project| (project.name.as_str(), project.running)).collect()
    }

    /// Whether a project has as many builds as it may.
    pub(crate) fn is_full(&self, number: usize) -> bool {
        self.all.get(number).is_some_and(|project| project.max_builds.is_some_and(|most| project.running >= most))
    }

    /// How many builds a project has.
    pub(crate) fn running(&self, name: &str) -> u32 {
        self.by_name.get(name).map_or(0, |number| self.all[*number].running)
    }

    /// What a project has had; the same for all where nothing is shared.
    pub(crate) fn level(&self, number: usize, now: Steady) -> Level {
        if self.is_sharing { self.all[number].level(now) } else { Level::default() }
    }

    /// A build of a project has been there since this time.
    pub(crate) fn begin(&mut self, name: &str, now: Steady) {
        let number = self.by_name.get(name).copied().unwrap_or_else(|| self.add(name));
        let project = &mut self.all[number];
        project.running += 1;
        project.charged += i128::from(START_COSTS.0) - i128::from(now.0);
    }

    /// A build of a project goes on that has waited for what it had triggered; its start was paid for.
    pub(crate) fn resume(&mut self, name: &str, now: Steady) {
        self.begin(name, now);
        if let Some(number) = self.by_name.get(name) {
            self.all[*number].charged -= i128::from(START_COSTS.0);
        }
    }

    /// A build of a project has ended.
    fn end(&mut self, name: &str, now: Steady) {
        if let Some(number) = self.by_name.get(name) {
            let project = &mut self.all[*number];
            project.running -= 1;
            project.charged += i128::from(now.0);
        }
    }

    /// A project is served before these others. What it has not had while it asked for nothing is not made up for: it is at least where any
    /// of the others was when that one was served last.
    fn serve(&mut self, number: usize, others: &BTreeSet<usize>, now: Steady) {
        let others = others.iter().filter(|other| **other != number);
        let floor = others.filter_map(|other| self.all[*other].served_at).max();
        let project = &mut self.all[number];
        let level = project.level(now);
        if let Some(floor) = floor.filter(|floor| *floor > level) {
            project.charged += floor.scaled_to(project.shares) - level.had;
        }
        project.served_at = Some(project.level(now));
    }
}

impl Engine {
    /// The project of a group is served on a worker, for which others wait as well.
    pub(crate) fn serve_project(&mut self, group: Group, worker: usize) {
        if self.projects.is_sharing {
            let others = self.groups_on(worker).map(|group| group.project).collect();
            self.projects.serve(group.project, &others, self.now.steady);
        }
    }

    /// A build has ended: its project may have room again.
    pub(crate) fn release_project(&mut self, build: &Build) {
        let number = self.projects.number(&build.project);
        let was_full = self.projects.is_full(number);
        self.projects.end(&build.project, self.now.steady);
        if was_full && !self.projects.is_full(number) {
            self.wake_project(number);
        }
    }

    /// How a request stands by the shares of its project, in words; empty where nothing is shared.
    pub(crate) fn explain_share(&self, group: Group) -> String {
        let projects = &self.projects;
        if !projects.is_sharing {
            return String::new();
        }
        let waiting: BTreeSet<_> =
            self.queue.groups().filter(|other| other.who == group.who).map(|other| other.project).collect();
        let level = |number: &usize| (projects.level(*number, self.now.steady), *number);
        let all: u64 = waiting.iter().map(|number| u64::from(projects.all[*number].shares)).sum();
        let mine = &projects.all[group.project];
        let first = waiting.iter().min_by_key(|number| level(number)).filter(|first| **first != group.project);
        let standing = match first.map(|first| &projects.all[*first].name) {
            Some(first) => format!("comes after project `{first}`, which has had less for each of its own"),
            None => "is next".to_owned(),
        };
        format!("; project `{}` has {} of the {all} shares that wait and {standing}", mine.name, mine.shares)
    }
}
