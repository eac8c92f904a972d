//! The scheduler filter `change-filter`: lets changes through by their branch, project, repository, category and codebase.
//!
//! A change that fits is important; one that does not is nothing for the scheduler. It does not look at files: `path-filter` does.

mod config;

use config::{Config, Criterion, Rules, Texts};
use regex_lite::Regex;
use stampmill_sdk::{Change, Fault, Judgement, Plugin, SchedulerFilter, register};

/// The filter.
#[derive(Debug)]
pub struct ChangeFilter(Vec<Check>);

/// What one value of a change has to be.
#[derive(Debug)]
struct Check {
    field: Field,
    equals: Option<Vec<String>>,
    not: Vec<String>,
    regex: Option<Regex>,
    not_regex: Option<Regex>,
    missing: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Branch,
    Project,
    Repository,
    Category,
    Codebase,
}

impl Plugin for ChangeFilter {
    type Config = Config;

    fn new(config: Config) -> Result<ChangeFilter, Fault> {
        let criteria = [
            (Field::Branch, config.branch),
            (Field::Project, config.project),
            (Field::Repository, config.repository),
            (Field::Category, config.category),
            (Field::Codebase, config.codebase),
        ];
        let checks = criteria.into_iter().filter_map(|(field, criterion)| Some(Check::new(field, criterion?)));
        Ok(ChangeFilter(checks.collect::<Result<_, _>>()?))
    }
}

impl SchedulerFilter for ChangeFilter {
    fn judge(&self, change: &Change) -> Result<Judgement, Fault> {
        let misfit = self.0.iter().find_map(|check| check.misfit(check.field.of(change)));
        Ok(match (misfit, self.0.as_slice()) {
            (Some(reason), _) => Judgement::ignore(reason),
            (None, []) => Judgement::important("no criterion is given"),
            (None, checks) => {
                let fits: Vec<_> = checks
                    .iter()
                    .map(|check| format!("{} {}", check.field.word(), shown(check.field.of(change))))
                    .collect();
                Judgement::important(format!("{} fits", fits.join(", ")))
            }
        })
    }
}

impl Field {
    fn word(self) -> &'static str {
        match self {
            Field::Branch => "branch",
            Field::Project => "project",
            Field::Repository => "repository",
            Field::Category => "category",
            Field::Codebase => "codebase",
        }
    }

    fn of(self, change: &Change) -> Option<&str> {
        match self {
            Field::Branch => change.seen.branch.as_deref(),
            Field::Project => Some(&change.seen.project),
            Field::Repository => Some(&change.seen.repository),
            Field::Category => change.seen.category.as_deref(),
            Field::Codebase => Some(&change.codebase),
        }
    }
}

impl Check {
    fn new(field: Field, criterion: Criterion) -> Result<Check, Fault> {
        let rules = match criterion {
            Criterion::Equals(text) => Rules { equals: Some(Texts::One(text)), ..Rules::default() },
            Criterion::OneOf(texts) => Rules { equals: Some(Texts::Several(texts)), ..Rules::default() },
            Criterion::Rules(rules) => rules,
        };
        let compile = |key: &str, text: Option<String>| {
            let compiled = text.map(|text| Regex::new(&text).map_err(|error| (text, error))).transpose();
            compiled.map_err(|(text, error)| Fault::refused(format!("{}: `{key}`: `{text}`: {error}", field.word())))
        };
        Ok(Check {
            field,
            equals: rules.equals.map(list),
            not: rules.not.map(list).unwrap_or_default(),
            regex: compile("regex", rules.regex)?,
            not_regex: compile("not-regex", rules.not_regex)?,
            missing: rules.missing,
        })
    }

    /// Why the value does not fit, if it does not.
    fn misfit(&self, value: Option<&str>) -> Option<String> {
        let is = |wanted: &String| Some(wanted.as_str()) == value;
        let found = |regex: &Regex| value.is_some_and(|value| regex.is_match(value));
        let why = if self.missing.is_some_and(|wanted| wanted != value.is_none()) {
            if value.is_none() { "is missing".to_owned() } else { "is not missing".to_owned() }
        } else if let Some(wanted) = self.equals.as_ref().filter(|wanted| !wanted.iter().any(is)) {
            format!("is not {}", quoted(wanted))
        } else if self.not.iter().any(is) {
            "is excluded by `not`".to_owned()
        } else if let Some(regex) = self.regex.as_ref().filter(|regex| !found(regex)) {
            format!("does not match `{regex}`")
        } else if let Some(regex) = self.not_regex.as_ref().filter(|regex| found(regex)) {
            format!("matches `{regex}`, which `not-regex` excludes")
        } else {
            return None;
        };
        Some(format!("{} {} {why}", self.field.word(), shown(value)))
    }
}

fn list(texts: Texts) -> Vec<String> {
    match texts {
        Texts::One(text) => vec![text],
        Texts::Several(texts) => texts,
    }
}

fn quoted(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| format!("`{text}`")).collect();
    if quoted.is_empty() { "one of an empty list".to_owned() } else { quoted.join(" or ") }
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| format!("`{value}`"))
}

register!(scheduler-filter: ChangeFilter);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::from_str;
    use stampmill_sdk::{SeenChange, Verdict};

    fn change(branch: Option<&str>) -> Change {
        let seen = SeenChange {
            branch: branch.map(str::to_owned),
            project: "app".to_owned(),
            repository: "https://git.example/app.git".to_owned(),
            ..SeenChange::default()
        };
        Change { id: 1, codebase: "core".to_owned(), arrived_at: 0, seen }
    }

    fn judge(config: &str, branch: Option<&str>) -> (bool, String) {
        let filter = ChangeFilter::new(from_str(config).expect("a configuration")).expect("a filter");
        let judgement = filter.judge(&change(branch)).expect("a judgement");
        (judgement.verdict == Verdict::Important, judgement.reason)
    }

    fn passes(config: &str, branch: Option<&str>) -> bool {
        judge(config, branch).0
    }

    #[test]
    fn a2_24_a_branch_that_is_not_listed_is_nothing_for_the_scheduler() {
        assert_eq!(judge(r#"{"branch": "main"}"#, Some("main")), (true, "branch `main` fits".to_owned()));
        assert_eq!(judge(r#"{"branch": "main"}"#, Some("dev")), (false, "branch `dev` is not `main`".to_owned()));
        assert!(passes(r#"{"branch": ["main", "dev"]}"#, Some("dev")));
        assert!(!passes(r#"{"branch": []}"#, Some("dev")));
    }

    #[test]
    fn a5_05_every_value_of_a_change_can_be_a_criterion() {
        for (fits, misses) in [
            (r#"{"project": "app"}"#, r#"{"project": "lib"}"#),
            (r#"{"repository": {"regex": "app[.]git$"}}"#, r#"{"repository": {"regex": "^app"}}"#),
            (r#"{"codebase": {"not": "lib"}}"#, r#"{"codebase": {"not": ["lib", "core"]}}"#),
            (r#"{"category": {"missing": true}}"#, r#"{"category": "tag"}"#),
        ] {
            assert!(passes(fits, None), "{fits}");
            assert!(!passes(misses, None), "{misses}");
        }
    }

    #[test]
    fn all_criteria_have_to_hold() {
        assert!(passes(r#"{"branch": "main", "project": "app"}"#, Some("main")));
        assert!(!passes(r#"{"branch": "main", "project": "lib"}"#, Some("main")));
        let rules = r#"{"branch": {"regex": "^release/", "not": "release/0", "not-regex": "-rc"}}"#;
        assert!(passes(rules, Some("release/1")));
        for out in ["main", "release/0", "release/1-rc2"] {
            assert!(!passes(rules, Some(out)), "{out}");
        }
    }

    #[test]
    fn a_missing_branch_equals_nothing_and_matches_nothing() {
        assert!(!passes(r#"{"branch": ""}"#, None));
        assert!(!passes(r#"{"branch": {"regex": ".*"}}"#, None));
        assert!(passes(r#"{"branch": {"not": "main"}}"#, None));
        assert!(passes(r#"{"branch": {"not-regex": ".*"}}"#, None));
        assert!(passes(r#"{"branch": {"missing": true}}"#, None));
        assert!(!passes(r#"{"branch": {"missing": false}}"#, None));
        assert_eq!(judge(r#"{"branch": "main"}"#, None).1, "branch (none) is not `main`");
    }

    #[test]
    fn a_wrong_regular_expression_is_refused_when_the_configuration_is_read() {
        let config = from_str(r#"{"branch": {"not-regex": "release/("}}"#).expect("a configuration");
        match ChangeFilter::new(config) {
            Err(Fault::Refused(reason)) => assert!(reason.starts_with("branch: `not-regex`: `release/(`"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
