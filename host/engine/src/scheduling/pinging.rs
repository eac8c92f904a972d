//! Waves: when a project has news, those that depend on it are built anew, each after all that it depends on.
//!
//! A buildset of a scheduler that pings begins a wave when it passes. The projects that depend on its project, and those that depend on them,
//! are in the wave if a `pinged` scheduler builds them, until they have passed or are left out. Each waits for as long as one that it depends
//! on is in the wave too. A wave is kept with the states of the schedulers, and goes on after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stampmill_model::{Buildset, BuildsetId, Outcome, Parent, SchedulerName};

use crate::Engine;
use crate::buildset::NewBuildset;
use crate::config::{Config, Scheduler, SchedulerKind};
use crate::outbox::Key;
use crate::output::{LeftOut, Ping, PingState, SchedulerState};

/// What has brought a wave to a project.
struct Passed<'a> {
    /// The buildset that began the wave.
    wave: BuildsetId,
    /// The last that passed.
    set: BuildsetId,
    depth: u32,
    authors: &'a [String],
}

/// Which projects depend on which, as far as it is of use for waves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Projects {
    /// The schedulers that build projects for others.
    pinged: BTreeMap<String, SchedulerName>,
    /// What each of these projects depends on.
    needs: BTreeMap<String, Vec<String>>,
    /// Which of these depend on a project, in the order of the file.
    users: BTreeMap<String, Vec<String>>,
}

impl Projects {
    /// Reads a configuration.
    pub(crate) fn new(config: &Config) -> Self {
        let mut projects = Self::default();
        for scheduler in &config.schedulers {
            if let SchedulerKind::Pinged { project } = &scheduler.kind {
                projects.pinged.insert(project.clone(), scheduler.name.clone());
            }
        }
        for project in config.projects.iter().filter(|project| projects.pinged.contains_key(&project.name)) {
            projects.needs.insert(project.name.clone(), project.depends_on.clone());
            for needed in &project.depends_on {
                projects.users.entry(needed.clone()).or_default().push(project.name.clone());
            }
        }
        projects
    }

    fn needs(&self, project: &str) -> &[String] {
        self.needs.get(project).map_or(&[], Vec::as_slice)
    }

    fn users(&self, project: &str) -> &[String] {
        self.users.get(project).map_or(&[], Vec::as_slice)
    }

    /// All that depend on a project, however many are between, without itself.
    fn members(&self, root: &str) -> BTreeSet<String> {
        let mut members = BTreeSet::new();
        let mut open = vec![root];
        while let Some(project) = open.pop() {
            let users = self.users(project).iter();
            open.extend(users.filter(|user| *user != root && members.insert((*user).clone())).map(String::as_str));
        }
        members
    }
}

impl Engine {
    /// A buildset is complete: it begins a wave, or a wave comes further or stops with it.
    pub(crate) fn pass_on(&mut self, set: &Buildset, outcome: Outcome) {
        let Some(name) = &set.scheduler else { return };
        let has_passed = matches!(outcome, Outcome::Success | Outcome::Warnings);
        let passed = |wave| Passed { wave, set: set.id, depth: set.depth, authors: &set.blamelist };
        if let Some(wave) = self.end_ping(name, set.id) {
            let Some(project) = self.project_of(name) else { return };
            if has_passed {
                self.ping_users(&project, &passed(wave));
            } else {
                self.leave_out(&project, wave, &format!("buildset {} ended with {outcome}", set.id));
            }
        } else if has_passed && !set.superseded {
            let scheduler = self.lookup.scheduler(name).map(|position| &self.config.schedulers[position]);
            if let Some(project) = scheduler.and_then(|scheduler| scheduler.pings.clone()) {
                self.begin_wave(&project, set.id);
                self.ping_users(&project, &passed(set.id));
            }
        }
    }

    /// What still waits in an older wave of the same project waits in this one instead: it would be built with less.
    fn begin_wave(&mut self, root: &str, wave: BuildsetId) {
        for project in self.lookup.projects().members(root) {
            let Some(name) = self.lookup.projects().pinged.get(&project).cloned() else { continue };
            let state = self.schedulers.entry(name.clone()).or_default();
            state.pings.retain(|ping| ping.from != root || ping.state != PingState::Waiting);
            state.pings.push(Ping { wave, from: root.to_owned(), state: PingState::Waiting });
            self.outbox.mark(Key::Scheduler(name));
        }
    }

    /// A project has passed in a wave: of those that depend on it, who waits for nobody else is built.
    fn ping_users(&mut self, project: &str, passed: &Passed<'_>) {
        for user in self.waiting_users(project, passed.wave) {
            if self.needs_in(&user, passed.wave).next().is_none() {
                self.ping(&user, passed);
            }
        }
    }

    /// All that a project has waited for has passed: its scheduler makes a buildset of its own sources.
    fn ping(&mut self, project: &str, passed: &Passed<'_>) {
        let config = Arc::clone(&self.config);
        let Some(name) = self.lookup.projects().pinged.get(project).cloned() else { return };
        let Some(scheduler) = self.lookup.scheduler(&name).map(|position| &config.schedulers[position]) else { return };
        let disabled = self.disabled_in_words(&name).map(|says| format!("scheduler `{name}` is {says}"));
        let made = match disabled {
            Some(why) => Err(why),
            None => self
                .build_pinged(scheduler, passed)
                .ok_or_else(|| format!("no worker fits the builders of scheduler `{name}`")),
        };
        let Some(state) = self.schedulers.get_mut(&name) else { return };
        self.outbox.mark(Key::Scheduler(name));
        match made {
            Ok(set) => {
                for ping in state.pings.iter_mut().filter(|ping| ping.wave == passed.wave) {
                    ping.state = PingState::Building(set);
                }
                state.left_out = None;
            }
            Err(why) => {
                state.leave_out(project, passed.wave, &why);
                self.leave_out(project, passed.wave, &why);
            }
        }
    }

    fn build_pinged(&mut self, scheduler: &Scheduler, passed: &Passed<'_>) -> Option<BuildsetId> {
        let stamps = scheduler.codebases.iter().map(|default| self.untouched(scheduler, default)).collect();
        let new = NewBuildset {
            stamps,
            parent: Some(Parent::Pinged(passed.set)),
            authors: passed.authors.to_vec(),
            depth: passed.depth,
            ..NewBuildset::default()
        };
        self.submit_for(scheduler, new)
    }

    /// A project has not passed in a wave: nothing that waits for it is built.
    fn leave_out(&mut self, project: &str, wave: BuildsetId, why: &str) {
        let mut left = Vec::new();
        let mut open = vec![project.to_owned()];
        while let Some(next) = open.pop() {
            for user in self.waiting_users(&next, wave) {
                let Some(name) = self.lookup.projects().pinged.get(&user).cloned() else { continue };
                let Some(state) = self.schedulers.get_mut(&name) else { continue };
                state.leave_out(project, wave, why);
                self.outbox.mark(Key::Scheduler(name));
                left.push(format!("`{user}`"));
                open.push(user);
            }
        }
        if !left.is_empty() {
            let left = left.join(", ");
            let message = format!("project `{project}` has not passed after buildset {wave}: {why}; not built: {left}");
            self.outbox.warn(message);
        }
    }

    /// Those that depend on a project and wait in a wave, in the order of the file.
    fn waiting_users(&self, project: &str, wave: BuildsetId) -> Vec<String> {
        let waits =
            |user: &&String| self.pings_of(user).iter().any(|it| it.wave == wave && it.state == PingState::Waiting);
        self.lookup.projects().users(project).iter().filter(waits).cloned().collect()
    }

    /// Those that a project depends on and that are in a wave still.
    fn needs_in(&self, project: &str, wave: BuildsetId) -> impl Iterator<Item = &String> {
        let needs = self.lookup.projects().needs(project).iter();
        needs.filter(move |needed| self.pings_of(needed).iter().any(|ping| ping.wave == wave))
    }

    fn pings_of(&self, project: &str) -> &[Ping] {
        let name = self.lookup.projects().pinged.get(project);
        name.and_then(|name| self.schedulers.get(name)).map_or(&[], |state| state.pings.as_slice())
    }

    /// The projects for which a scheduler waits, each once.
    pub(crate) fn waits_for(&self, name: &SchedulerName) -> Vec<String> {
        let Some(project) = self.project_of(name) else { return Vec::new() };
        let waiting = self.pings_of(&project).iter().filter(|ping| ping.state == PingState::Waiting);
        let needs: BTreeSet<_> = waiting.flat_map(|ping| self.needs_in(&project, ping.wave)).cloned().collect();
        needs.into_iter().collect()
    }

    /// The wave that a buildset was made in; its scheduler leaves it.
    fn end_ping(&mut self, name: &SchedulerName, set: BuildsetId) -> Option<BuildsetId> {
        let state = self.schedulers.get_mut(name)?;
        let position = state.pings.iter().position(|ping| ping.state == PingState::Building(set))?;
        self.outbox.mark(Key::Scheduler(name.clone()));
        Some(state.pings.remove(position).wave)
    }

    /// The project that a scheduler builds for others.
    fn project_of(&self, name: &SchedulerName) -> Option<String> {
        match &self.config.schedulers[self.lookup.scheduler(name)?].kind {
            SchedulerKind::Pinged { project } => Some(project.clone()),
            _ => None,
        }
    }

    /// The configuration may be another: who is pinged no more leaves all waves, and who waits for nobody else now is built.
    pub(crate) fn sync_pings(&mut self) {
        let (lookup, outbox) = (&self.lookup, &mut self.outbox);
        for (name, state) in self.schedulers.iter_mut().filter(|(_, state)| !state.pings.is_empty()) {
            if !lookup.projects().pinged.values().any(|pinged| pinged == name) {
                state.pings.clear();
                outbox.mark(Key::Scheduler(name.clone()));
            }
        }
        let projects: Vec<String> = self.lookup.projects().pinged.keys().cloned().collect();
        for project in projects {
            let waiting = self.pings_of(&project).iter().filter(|ping| ping.state == PingState::Waiting);
            let waves: Vec<_> = waiting.map(|ping| ping.wave).collect();
            for wave in waves {
                let still_waits =
                    self.pings_of(&project).iter().any(|it| it.wave == wave && it.state == PingState::Waiting);
                if still_waits && self.needs_in(&project, wave).next().is_none() {
                    self.ping(&project, &Passed { wave, set: wave, depth: 0, authors: &[] });
                }
            }
        }
    }
}

impl SchedulerState {
    fn leave_out(&mut self, project: &str, wave: BuildsetId, why: &str) {
        self.pings.retain(|ping| ping.wave != wave);
        self.left_out = Some(LeftOut { wave, project: project.to_owned(), why: why.to_owned() });
    }
}
