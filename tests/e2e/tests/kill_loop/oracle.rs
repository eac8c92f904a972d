//! What must be true at the end. It knows what was pushed, what the steps say that they did, and what the receiver was sent; of the system it
//! sees what the API shows to everybody.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::fleet::Fleet;
use super::pushing::Pushed;
use super::receiver::Delivery;
use super::witness::{Named, Run};

/// What there is to compare.
pub(crate) struct Evidence {
    pub(crate) pushed: Vec<Pushed>,
    pub(crate) runs: Vec<Run>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) changes: Vec<Value>,
    pub(crate) requests: Vec<Value>,
    pub(crate) builds: Vec<Value>,
    pub(crate) buildsets: Vec<Value>,
}

/// Figures of a run that holds.
pub(crate) struct Figures {
    pub(crate) commits: usize,
    pub(crate) builds: usize,
    /// How many were retried, by the reason that is shown.
    pub(crate) retried: BTreeMap<String, usize>,
    pub(crate) log_bytes: usize,
    pub(crate) reports: usize,
    pub(crate) deliveries: usize,
}

/// Whether a build is one of those that were cut off and tried again.
fn is_retry(build: &Value) -> bool {
    build["result"] == "retry"
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn revision(build: &Value) -> &str {
    text(&build["source_stamps"][0], "revision")
}

impl Evidence {
    /// Everything that can be told without the logs.
    pub(crate) fn hold(&self) -> anyhow::Result<Figures> {
        self.each_commit_is_one_change()?;
        self.each_commit_is_built_once_by_each_builder()?;
        self.each_change_is_in_one_buildset_of_each_scheduler()?;
        self.attempts_are_counted_and_explained()?;
        self.steps_ran_as_the_builds_say()?;
        self.everything_is_reported_under_one_id()?;
        let mut retried = BTreeMap::new();
        for build in self.builds.iter().filter(|build| is_retry(build)) {
            *retried.entry(text(build, "summary").to_owned()).or_default() += 1;
        }
        let ids: BTreeSet<&str> = self.deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
        Ok(Figures {
            commits: self.pushed.len(),
            builds: self.builds.len(),
            retried,
            log_bytes: 0,
            reports: ids.len(),
            deliveries: self.deliveries.len(),
        })
    }

    fn each_commit_is_one_change(&self) -> anyhow::Result<()> {
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for change in &self.changes {
            *seen.entry((text(change, "revision"), text(change, "branch"))).or_default() += 1;
        }
        let expected = self.pushed.iter().map(|pushed| ((pushed.revision.as_str(), pushed.branch), 1)).collect();
        ensure!(seen == expected, "changes seen {seen:#?}, pushed {expected:#?}");
        Ok(())
    }

    fn each_commit_is_built_once_by_each_builder(&self) -> anyhow::Result<()> {
        let mut built: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for build in self.builds.iter().filter(|build| !is_retry(build)) {
            ensure!(build["state"] == "finished", "{build:#}");
            let (builder, revision) = (text(build, "builder"), revision(build));
            built.entry((builder, revision)).or_default().push(text(build, "result"));
            let property = if builder == "light" { "built" } else { "got_revision" };
            ensure!(build["properties"][property]["value"] == revision, "it built another commit: {build:#}");
        }
        let expected: BTreeMap<(&str, &str), Vec<&str>> = self
            .pushed
            .iter()
            .flat_map(|pushed| pushed.builders.iter().map(|builder| (*builder, pushed.revision.as_str())))
            .map(|what| (what, vec!["success"]))
            .collect();
        for (what, results) in &expected {
            ensure!(built.get(what) == Some(results), "{what:?} must have {results:?} and has {:?}", built.get(what));
        }
        let more: Vec<_> = built.keys().filter(|what| !expected.contains_key(*what)).collect();
        ensure!(more.is_empty(), "nobody asked for {more:?}");
        Ok(())
    }

    /// No scheduler takes a change twice, and none forgets one.
    fn each_change_is_in_one_buildset_of_each_scheduler(&self) -> anyhow::Result<()> {
        let mut sets: BTreeMap<(u64, &str), usize> = BTreeMap::new();
        for set in &self.buildsets {
            let changes = set["source_stamps"][0]["changes"].as_array().context("a stamp has changes")?;
            for change in changes.iter().filter_map(Value::as_u64) {
                *sets.entry((change, text(set, "scheduler"))).or_default() += 1;
            }
        }
        for change in &self.changes {
            let decisions = change["decisions"].as_array().context("it was decided")?;
            for important in decisions.iter().filter(|decision| decision["verdict"] == "important") {
                let of = (change["id"].as_u64().unwrap_or_default(), text(important, "scheduler"));
                ensure!(sets.get(&of) == Some(&1), "{of:?} is in {:?} buildsets", sets.get(&of));
            }
        }
        Ok(())
    }

    fn attempts_are_counted_and_explained(&self) -> anyhow::Result<()> {
        for request in &self.requests {
            let id = &request["id"];
            let builds: Vec<&Value> = self.builds.iter().filter(|build| build["request"] == *id).collect();
            let attempts: Vec<u64> = builds.iter().filter_map(|build| build["attempt"].as_u64()).collect();
            let counted: Vec<u64> = (1..).take(builds.len()).collect();
            ensure!(attempts == counted, "request {id} has the attempts {attempts:?}: {builds:#?}");
            let (last, before) = builds.split_last().with_context(|| format!("request {id} has no build"))?;
            ensure!(!is_retry(last) && before.iter().all(|build| is_retry(build)), "{builds:#?}");
            for build in before {
                let why = text(build, "summary");
                ensure!(
                    why.contains(text(build, "worker")),
                    "nobody is told why build {} was retried: {why:?}",
                    build["id"]
                );
            }
            ensure!(request["state"] == "complete" && request["result"] == last["result"], "{request:#}");
        }
        let open: Vec<_> = self.buildsets.iter().filter(|set| set["state"] != "finished").collect();
        ensure!(open.is_empty(), "buildsets are open: {open:#?}");
        Ok(())
    }

    /// A run of a step that no build tells of would be work that nobody knows of.
    fn steps_ran_as_the_builds_say(&self) -> anyhow::Result<()> {
        let mut runs: BTreeMap<&Named, Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            runs.entry(&run.named).or_default().push(run);
        }
        let name = |build: &Value| Named {
            builder: text(build, "builder").to_owned(),
            number: build["number"].as_u64().unwrap_or_default(),
        };
        let by_name: BTreeMap<Named, &Value> = self.builds.iter().map(|build| (name(build), build)).collect();
        for (named, runs) in &runs {
            let build = by_name.get(*named).with_context(|| format!("{named:?} is no build"))?;
            for run in runs {
                let same = run.revision == revision(build) && build["attempt"] == run.attempt;
                ensure!(same, "{run:?} is not what the build says: {build:#}");
            }
            ensure!(runs.len() == 1, "a build ran its step {} times: {runs:?}", runs.len());
        }
        for (named, build) in by_name {
            if build["result"] == "success" && named.builder != "light" {
                let ended = runs.get(&named).is_some_and(|runs| runs.iter().any(|run| run.ended));
                ensure!(ended, "it is a success and its step never ended: {build:#}");
            }
        }
        Ok(())
    }

    fn everything_is_reported_under_one_id(&self) -> anyhow::Result<()> {
        let mut ids: BTreeMap<(String, u64), BTreeSet<&str>> = BTreeMap::new();
        let mut taken: BTreeSet<(String, u64)> = BTreeSet::new();
        let mut subjects: BTreeMap<&str, (String, u64)> = BTreeMap::new();
        for delivery in &self.deliveries {
            let body = &delivery.body;
            let about = if body["build"].is_null() { &body["buildset"] } else { &body["build"] };
            let subject = (text(body, "event").to_owned(), about["id"].as_u64().context("a report says of what")?);
            ensure!(body["id"] == delivery.id.as_str(), "header and body differ: {delivery:?}");
            ids.entry(subject.clone()).or_default().insert(&delivery.id);
            if delivery.taken {
                taken.insert(subject.clone());
            }
            let first = subjects.entry(&delivery.id).or_insert_with(|| subject.clone());
            ensure!(*first == subject, "id {} stands for {first:?} and for {subject:?}", delivery.id);
        }
        for (subject, ids) in &ids {
            ensure!(ids.len() == 1, "{subject:?} was reported under {ids:?}");
        }
        for (event, list) in [("build-finished", &self.builds), ("buildset-finished", &self.buildsets)] {
            for id in list.iter().filter_map(|item| item["id"].as_u64()) {
                ensure!(taken.contains(&(event.to_owned(), id)), "{event} of {id} was never delivered");
            }
        }
        Ok(())
    }
}

/// Compares the log of each build that counts with what its step wrote; answers how many bytes there are.
pub(crate) async fn logs_are_what_steps_wrote(fleet: &Fleet, evidence: &Evidence) -> anyhow::Result<usize> {
    let pushed: BTreeMap<&str, &Pushed> =
        evidence.pushed.iter().map(|pushed| (pushed.revision.as_str(), pushed)).collect();
    let mut bytes = 0;
    for build in &evidence.builds {
        let wrote = match (text(build, "builder"), pushed.get(revision(build))) {
            ("chatty", Some(pushed)) => &pushed.all,
            ("short" | "side", Some(pushed)) => &pushed.one,
            _ => continue,
        };
        let path = format!("/api/v1/builds/{}/steps/1/logs/stdio", build["id"]);
        if is_retry(build) {
            // What was heard of it before it was cut off, if anything was.
            if build["steps"][1]["logs"].as_array().is_some_and(|logs| logs.iter().any(|log| log == "stdio")) {
                let log = fleet.bytes(&path).await?;
                ensure!(wrote.starts_with(&log), "build {} has what its step did not write", build["id"]);
            }
            continue;
        }
        let log = fleet.bytes(&path).await.with_context(|| format!("the log of build {}", build["id"]))?;
        ensure!(
            log == *wrote,
            "build {}: {} bytes were written, {} are in the log",
            build["id"],
            wrote.len(),
            log.len()
        );
        bytes += log.len();
    }
    Ok(bytes)
}
