//! The scheduler filter `path-filter`: judges a change by the names of its files.
//!
//! It knows names alone, not what changed in a file. A change without any file (an empty commit) has no important one.

mod config;

use config::{Config, Otherwise};
use fast_glob::glob_match;
use stampmill_sdk::{Change, Fault, Judgement, Plugin, SchedulerFilter, register};

/// The filter.
#[derive(Debug)]
pub struct PathFilter(Config);

impl Plugin for PathFilter {
    type Config = Config;

    fn new(config: Config) -> Result<PathFilter, Fault> {
        for pattern in config.include.iter().chain(&config.exclude) {
            check(pattern)?;
        }
        Ok(PathFilter(config))
    }
}

impl SchedulerFilter for PathFilter {
    fn judge(&self, change: &Change) -> Result<Judgement, Fault> {
        let files = &change.seen.files;
        let important = files.iter().find_map(|file| self.wanted_by(file).map(|why| (file, why)));
        Ok(match important {
            Some((file, why)) => Judgement::important(format!("`{file}` {why}")),
            None => self.otherwise(files),
        })
    }
}

impl PathFilter {
    /// Why this file makes a change important, if it does.
    fn wanted_by(&self, file: &str) -> Option<String> {
        if self.0.exclude.iter().any(|pattern| matches(pattern, file)) {
            return None;
        }
        if self.0.include.is_empty() {
            return Some("is not excluded".to_owned());
        }
        self.0.include.iter().find(|pattern| matches(pattern, file)).map(|pattern| format!("matches `{pattern}`"))
    }

    fn otherwise(&self, files: &[String]) -> Judgement {
        let reason = match files {
            [] => "the change names no file".to_owned(),
            [one] => format!("`{one}` {}", self.unwanted_by(one)),
            [first, rest @ ..] => {
                format!("none of the {} files matters; `{first}` {}", rest.len() + 1, self.unwanted_by(first))
            }
        };
        match self.0.otherwise {
            Otherwise::Unimportant => Judgement::unimportant(reason),
            Otherwise::Ignore => Judgement::ignore(reason),
        }
    }

    fn unwanted_by(&self, file: &str) -> String {
        match self.0.exclude.iter().find(|pattern| matches(pattern, file)) {
            Some(pattern) => format!("is excluded by `{pattern}`"),
            None => "matches nothing in `include`".to_owned(),
        }
    }
}

/// A pattern without `/` is for the last part of the path.
fn matches(pattern: &str, file: &str) -> bool {
    let subject = match pattern.contains('/') {
        true => file,
        false => file.rsplit('/').next().unwrap_or(file),
    };
    glob_match(pattern.strip_prefix('/').unwrap_or(pattern), subject)
}

/// A pattern whose brackets don't close matches nothing, silently: say it when the configuration is read.
fn check(pattern: &str) -> Result<(), Fault> {
    let refuse = |why: &str| Err(Fault::refused(format!("pattern `{pattern}`: {why}")));
    let (mut braces, mut bracket, mut escaped) = (0usize, false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => bracket = false,
            _ if bracket => {}
            '[' => bracket = true,
            '{' => braces += 1,
            '}' if braces == 0 => return refuse("`}` without `{`"),
            '}' => braces -= 1,
            _ => {}
        }
    }
    match (pattern.is_empty(), braces, bracket, escaped) {
        (true, ..) => refuse("is empty"),
        (_, 1.., ..) => refuse("a `{` is not closed"),
        (_, _, true, _) => refuse("a `[` is not closed"),
        (.., true) => refuse("ends with a backslash"),
        _ => Ok(()),
    }
}

register!(scheduler-filter: PathFilter);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::{SeenChange, Verdict};

    fn judge(config: &str, files: &[&str]) -> (Verdict, String) {
        let filter =
            PathFilter::new(stampmill_sdk::serde_json::from_str(config).expect("a configuration")).expect("a filter");
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        let seen = SeenChange { files, ..SeenChange::default() };
        let judgement =
            filter.judge(&Change { id: 1, codebase: String::new(), arrived_at: 0, seen }).expect("a judgement");
        (judgement.verdict, judgement.reason)
    }

    #[test]
    fn a2_11_a_change_with_a_c_file_is_important_and_one_of_the_readme_is_not() {
        let config = r#"{"include": ["*.c"]}"#;
        assert_eq!(
            judge(config, &["README", "src/deep/a.c"]),
            (Verdict::Important, "`src/deep/a.c` matches `*.c`".to_owned())
        );
        assert_eq!(
            judge(config, &["README"]),
            (Verdict::Unimportant, "`README` matches nothing in `include`".to_owned())
        );
        assert_eq!(judge(config, &["a.cc", "c", ".c.swp"]).0, Verdict::Unimportant);
    }

    #[test]
    fn excluded_files_do_not_count_even_where_they_are_included() {
        let config = r#"{"include": ["src/**"], "exclude": ["src/docs/**", "*.md"], "otherwise": "ignore"}"#;
        assert_eq!(judge(config, &["src/docs/x.c", "src/a.md"]).0, Verdict::Ignore);
        assert_eq!(judge(config, &["src/a.md", "src/a.c"]).0, Verdict::Important);
        assert_eq!(judge(config, &["lib/a.c"]).0, Verdict::Ignore);
        let (_, reason) = judge(config, &["src/docs/x.c", "src/a.md"]);
        assert_eq!(reason, "none of the 2 files matters; `src/docs/x.c` is excluded by `src/docs/**`");
    }

    #[test]
    fn without_include_every_file_counts() {
        assert_eq!(
            judge(r#"{"exclude": ["docs/**"]}"#, &["docs/a", "b"]),
            (Verdict::Important, "`b` is not excluded".to_owned())
        );
        assert_eq!(judge("{}", &[]), (Verdict::Unimportant, "the change names no file".to_owned()));
    }

    #[test]
    fn patterns_with_a_slash_look_at_the_whole_path() {
        assert_eq!(judge(r#"{"include": ["src/*.c"]}"#, &["src/a.c"]).0, Verdict::Important);
        assert_eq!(judge(r#"{"include": ["src/*.c"]}"#, &["src/deep/a.c"]).0, Verdict::Unimportant);
        assert_eq!(judge(r#"{"include": ["/a.c"]}"#, &["src/a.c"]).0, Verdict::Unimportant);
        assert_eq!(judge(r#"{"include": ["/a.c"]}"#, &["a.c"]).0, Verdict::Important);
        assert_eq!(judge(r#"{"include": ["**/*.{c,h}"]}"#, &["x/y/a.h"]).0, Verdict::Important);
        assert_eq!(judge(r#"{"include": ["new\nline"]}"#, &["d/new\nline"]).0, Verdict::Important);
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        for pattern in ["", "a[b", "a{b", "a}b", "a\\"] {
            assert!(matches!(check(pattern), Err(Fault::Refused(_))), "{pattern}");
        }
        for pattern in ["a[b]", "a{b,c}", "[{]", "\\{", "{a,{b,c}}"] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }
}
