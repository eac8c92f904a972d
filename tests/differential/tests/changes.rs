//! What becomes of a change, against Buildbot's `ChangeFilter`, `fileIsImportant` and `_changeCallback`.
//!
//! Ours is the whole way: the engine with a scheduler, `change-filter` and `path-filter`. Buildbot's `…_re` is tied to the beginning of a value, our
//! `regex` is found anywhere: the question to ours begins with `^`.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use stampmill_differential::{Dice, Oracle};
use stampmill_engine::config::{ChangeSource, ChangeSourceKind, CodebaseDefault, Scheduler, SchedulerKind};
use stampmill_engine::{Config, Effect, Engine, Input, Output, ReplyTo, Snapshot, Write};
use stampmill_model::{ChangeId, Now, Properties, SeenChange, Steady, Verdict, Wall};
use stampmill_plugin_change_filter::ChangeFilter;
use stampmill_plugin_path_filter::PathFilter;
use stampmill_sdk::{Change, Judgement, SchedulerFilter, serde_json as wire};

const CASES: u64 = 4_000;

const BRANCHES: [Option<&str>; 6] =
    [None, Some("main"), Some("dev"), Some("release/1.0"), Some("release/1.0-rc1"), Some("")];
const PROJECTS: [&str; 4] = ["", "app", "core", "app-docs"];
const REPOSITORIES: [&str; 3] = ["", "https://git.example/app.git", "git@git.example:core.git"];
const CATEGORIES: [Option<&str>; 4] = [None, Some("tag"), Some("push"), Some("")];
const CODEBASES: [&str; 4] = ["", "app", "core", "docs"];
const REGEXES: [&str; 9] =
    ["main", "release/", "(main|dev)", "[a-z]+-", "https?://", ".*", "app|core", "^release/[0-9.]+$", "x{3}"];
const FILES: [&str; 10] =
    ["README", "src/a.c", "src/deep/b.c", "src/a.h", "docs/a.c", "docs/index.md", "c", "a.cc", "src", "docs.c"];
const SUFFIXES: [&str; 4] = [".c", ".h", ".md", ".cc"];
const FOLDERS: [&str; 3] = ["docs/", "src/", "src/deep/"];

/// A filter of one value, for us and as arguments for Buildbot.
fn criterion(dice: &mut Dice, name: &str, values: &[Option<&str>], theirs: &mut Map<String, Value>) -> Value {
    let mut ours = Map::new();
    let texts: Vec<&str> = values.iter().copied().flatten().collect();
    let is_branch = name == "branch";
    if is_branch && dice.one_in(5) {
        // The default branch, or any but it: only a branch may be that in a filter of Buildbot.
        let missing = dice.one_in(2);
        ours.insert("missing".to_owned(), missing.into());
        theirs.insert(format!("{name}{}", if missing { "" } else { "_not_eq" }), Value::Null);
        return ours.into();
    }
    let one_or_some =
        |dice: &mut Dice| -> Value { if dice.one_in(2) { dice.pick(&texts).into() } else { dice.some(&texts).into() } };
    for (our, their) in [("equals", ""), ("not", "_not_eq")] {
        if dice.one_in(3) {
            let value = one_or_some(dice);
            ours.insert(our.to_owned(), value.clone());
            theirs.insert(format!("{name}{their}"), value);
        }
    }
    for (our, their) in [("regex", "_re"), ("not-regex", "_not_re")] {
        if dice.one_in(4) {
            let regex = dice.pick(&REGEXES);
            ours.insert(our.to_owned(), format!("^(?:{regex})").into());
            theirs.insert(format!("{name}{their}"), regex.into());
        }
    }
    ours.into()
}

struct Case {
    change: SeenChange,
    codebase: String,
    codebases: Vec<String>,
    change_filter: Value,
    path_filter: Option<Value>,
    question: Value,
}

fn case(dice: &mut Dice) -> Case {
    let change = SeenChange {
        branch: dice.pick(&BRANCHES).map(str::to_owned),
        project: dice.pick(&PROJECTS).to_owned(),
        repository: dice.pick(&REPOSITORIES).to_owned(),
        category: dice.pick(&CATEGORIES).map(str::to_owned),
        files: dice.some(&FILES).into_iter().map(str::to_owned).collect(),
        ..SeenChange::default()
    };
    let codebase = dice.pick(&CODEBASES).to_owned();
    let mut codebases: Vec<String> = dice.some(&CODEBASES).into_iter().map(str::to_owned).collect();
    if codebases.is_empty() || dice.one_in(2) {
        codebases = CODEBASES.map(str::to_owned).to_vec();
    }
    let (mut ours, mut theirs) = (Map::new(), Map::new());
    let required = |values: &[&'static str]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
    for (name, values) in [
        ("branch", BRANCHES.to_vec()),
        ("project", required(&PROJECTS)),
        ("repository", required(&REPOSITORIES)),
        ("category", CATEGORIES.to_vec()),
        ("codebase", required(&CODEBASES)),
    ] {
        if dice.one_in(5) {
            let value = criterion(dice, name, &values, &mut theirs);
            ours.insert(name.to_owned(), value);
        }
    }
    let only_important = dice.one_in(2);
    let (suffixes, folders) = (dice.some(&SUFFIXES), dice.some(&FOLDERS));
    let files = (!dice.one_in(3)).then(|| json!({ "suffixes": suffixes, "folders": folders }));
    let path_filter = files.is_some().then(|| {
        let include: Vec<_> = suffixes.iter().map(|suffix| format!("*{suffix}")).collect();
        let exclude: Vec<_> = folders.iter().map(|folder| format!("{folder}**")).collect();
        let otherwise = if only_important { "ignore" } else { "unimportant" };
        json!({ "include": include, "exclude": exclude, "otherwise": otherwise })
    });
    let question = json!({
        "change": {
            "branch": change.branch, "project": change.project, "repository": change.repository,
            "category": change.category, "codebase": codebase, "files": change.files,
        },
        "codebases": codebases, "filter": theirs, "files": files, "onlyImportant": only_important,
    });
    Case { change, codebase, codebases, change_filter: ours.into(), path_filter, question }
}

fn filter<P: SchedulerFilter>(config: &Value) -> P {
    let config = wire::from_str(&config.to_string()).expect("a configuration");
    P::new(config).unwrap_or_else(|fault| panic!("{fault:?}"))
}

fn judgement(judgement: Judgement) -> (Verdict, String) {
    let verdict = match judgement.verdict {
        stampmill_sdk::Verdict::Important => Verdict::Important,
        stampmill_sdk::Verdict::Unimportant => Verdict::Unimportant,
        stampmill_sdk::Verdict::Ignore => Verdict::Ignored,
    };
    (verdict, judgement.reason)
}

impl Case {
    fn judgements(&self) -> Vec<(Verdict, String)> {
        let change = self.change.clone();
        let seen = stampmill_sdk::SeenChange {
            files: change.files,
            repository: change.repository,
            project: change.project,
            branch: change.branch,
            category: change.category,
            ..stampmill_sdk::SeenChange::default()
        };
        let change = Change { id: 1, codebase: self.codebase.clone(), arrived_at: 0, seen };
        let by_value = filter::<ChangeFilter>(&self.change_filter).judge(&change);
        let by_path = self.path_filter.as_ref().map(|config| filter::<PathFilter>(config).judge(&change));
        [Some(by_value), by_path].into_iter().flatten().map(|judged| judgement(judged.expect("a judgement"))).collect()
    }

    fn config(&self) -> Config {
        let default = |codebase: &String| CodebaseDefault { codebase: codebase.clone(), ..CodebaseDefault::default() };
        let scheduler = Scheduler {
            name: "quick".into(),
            kind: SchedulerKind::AnyBranch { branches: None, stable_for: None },
            codebases: self.codebases.iter().map(default).collect(),
            absolute_stamps: false,
            filters: 1 + usize::from(self.path_filter.is_some()),
            builders: Vec::new(),
            on_every_worker: false,
            priority: 0,
            properties: Properties::new(),
            cancel_superseded: false,
            cancel_on_failure: false,
            approve_untrusted: false,
            pings: None,
            reason: String::new(),
        };
        let forge =
            ChangeSource { name: "forge".into(), kind: ChangeSourceKind::Hook, trusted: true, project: String::new() };
        Config {
            change_sources: vec![forge],
            codebase_generator: true,
            schedulers: vec![scheduler],
            ..Config::default()
        }
    }

    /// The engine's decision.
    fn answer(&self) -> Value {
        let now = Now { steady: Steady(0), wall: Wall(0) };
        let (mut engine, _) = Engine::new(Arc::new(self.config()), Snapshot::default(), now);
        let changes = vec![self.change.clone()];
        engine.handle(now, Input::Received { source: "forge".into(), delivery: None, changes, reply: ReplyTo(0) });
        let found = Input::CodebaseFound { change: ChangeId(1), result: Ok(Some(self.codebase.clone())) };
        let mut outputs = engine.handle(now, found);
        if outputs.iter().any(|output| matches!(output, Output::Effect(Effect::AskFilters { .. }))) {
            let result = Ok(self.judgements());
            outputs = engine.handle(now, Input::Judged { scheduler: "quick".into(), change: ChangeId(1), result });
        }
        let decided = outputs.iter().rev().find_map(|output| match output {
            Output::Write(Write::Change(change)) => change.decisions.first().map(|decision| decision.verdict),
            _ => None,
        });
        json!({ "verdict": decided.expect("a decision").as_str() })
    }
}

#[test]
fn a2_11_a5_05_a_change_matters_to_a_scheduler_as_it_does_in_buildbot() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut dice = Dice::new(3);
    let cases: Vec<_> = (0..CASES).map(|_| case(&mut dice)).collect();
    let questions: Vec<_> = cases.iter().map(|case| case.question.clone()).collect();
    let mut verdicts = std::collections::BTreeMap::<String, u32>::new();
    for (case, theirs) in cases.iter().zip(oracle.ask("change", &questions)) {
        assert_eq!(case.answer(), theirs, "{:#}", case.question);
        *verdicts.entry(theirs["verdict"].to_string()).or_default() += 1;
    }
    assert!(verdicts.len() == 3 && verdicts.values().all(|count| *count > 100), "each verdict is common: {verdicts:?}");
}
