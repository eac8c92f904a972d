//! Rules that hold for every file of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The longest that a source file may be. Past it, a file holds more than one subject.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// Files that git knows of or would add.
fn files(suffix: &str) -> Vec<PathBuf> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).expect("our file names are UTF-8");
    let names = names.split('\0').filter(|name| name.ends_with(suffix));
    names.map(|name| root().join(name)).filter(|path| path.exists()).collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Packages by name, with the folder that each is in.
fn packages() -> BTreeMap<String, (PathBuf, toml::Table)> {
    let mut packages = BTreeMap::new();
    for path in files("Cargo.toml") {
        let table: toml::Table = text(&path).parse().unwrap_or_else(|error| panic!("{}: {error}", shown(&path)));
        if let Some(name) = table.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str())
        {
            packages.insert(name.to_owned(), (path.clone(), table.clone()));
        }
    }
    packages
}

/// What a package may use of ours, by the table in `docs/ARCHITECTURE.md`; `None` means anything.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    Some(match folder {
        "host/model" | "worker/protocol" | "worker/sandbox" | "wit/runtime" => &[],
        "worker/job" => &["stampmill-model"],
        "host/engine" => &["stampmill-model", "stampmill-job"],
        "host/store" => &["stampmill-model", "stampmill-engine"],
        "host/service" => &["stampmill-model", "stampmill-store", "stampmill-engine"],
        "web/api" | "web/ui" => &["stampmill-service", "stampmill-model"],
        "worker/agent" => {
            &["stampmill-model", "stampmill-job", "stampmill-protocol", "stampmill-sandbox", "stampmill-runtime"]
        }
        "host/server" => return None,
        "sdk/rust" | "sdk/build" => &[],
        "sdk/testing" => &["stampmill-sdk", "stampmill-runtime", "stampmill-model"],
        "plugins/bundle" => &["stampmill-guest-build"],
        folder if folder.starts_with("plugins/") => &["stampmill-sdk"],
        folder if folder.starts_with("tests/") => return None,
        other => panic!("folder `{other}` is not in the import table: add it here and in docs/ARCHITECTURE.md"),
    })
}

#[test]
fn packages_import_only_what_the_table_allows() {
    let packages = packages();
    let ours: BTreeSet<&String> = packages.keys().collect();
    for (name, (path, manifest)) in &packages {
        let folder = shown(path.parent().expect("a manifest is in a folder"));
        let Some(allowed) = allowed(&folder) else { continue };
        for section in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(|section| section.as_table()) else { continue };
            for dependency in dependencies.keys().filter(|dependency| ours.contains(dependency)) {
                let fine = allowed.contains(&dependency.as_str())
                    // Plugins that are two dialects of one thing share a library among them.
                    || (folder.starts_with("plugins/") && is_plugin_library(&packages, dependency));
                assert!(fine, "`{name}` may not use `{dependency}`: see the import table in docs/ARCHITECTURE.md");
            }
        }
    }
}

fn is_plugin_library(packages: &BTreeMap<String, (PathBuf, toml::Table)>, name: &str) -> bool {
    shown(&packages[name].0).starts_with("plugins/")
}

#[test]
fn nothing_imports_a_test_package() {
    let packages = packages();
    for (name, (path, manifest)) in &packages {
        if shown(path).starts_with("tests/") {
            continue;
        }
        for section in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(|section| section.as_table()) else { continue };
            for dependency in dependencies.keys() {
                let test = packages.get(dependency).is_some_and(|(path, _)| shown(path).starts_with("tests/"));
                assert!(!test, "`{name}` depends on the test package `{dependency}`");
            }
        }
    }
}

#[test]
fn every_dependency_is_named_in_the_workspace_table_and_every_package_takes_the_lints() {
    for (name, (_, manifest)) in &packages() {
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        // Programs on bare bindings are mostly generated code, with the `unsafe` that it needs.
        if name != "stampmill-guest-programs" {
            assert_eq!(lints, Some(true), "`{name}` does not take the workspace's lints");
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(|section| section.as_table()) else { continue };
            for (dependency, how) in dependencies {
                let workspace = how.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(workspace, "`{name}` names a version of `{dependency}` of its own");
            }
        }
    }
}

#[test]
fn no_source_file_is_longer_than_its_limit() {
    let long: Vec<String> = files(".rs")
        .iter()
        .filter(|path| !shown(path).contains("/tests/"))
        .filter_map(|path| {
            let lines = text(path).lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", shown(path)))
        })
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn files_are_named_for_what_they_hold() {
    for path in files(".rs") {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let vague = matches!(name, "mod" | "utils" | "util" | "common" | "helpers" | "misc");
        assert!(!vague, "{}: say what is in it", shown(&path));
    }
}

#[test]
fn lints_are_expected_with_a_reason_and_never_just_allowed() {
    // Generated code and macros for other crates carry their own.
    let bare = concat!("#[", "allow(");
    for path in files(".rs") {
        for (number, line) in text(&path).lines().enumerate() {
            assert!(!line.trim_start().starts_with(bare), "{}:{}: {line}", shown(&path), number + 1);
        }
    }
}

/// Every function in the repository that is a test.
fn tests_by_name() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files(".rs") {
        let text = text(&path);
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
                && is_test
            {
                is_test = false;
                names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
        }
    }
    names
}

/// Names in backticks in a cell of a table.
fn named_tests(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows(document: &str) -> Vec<Vec<String>> {
    let text = text(&root().join(document));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    text.lines().map(str::trim).filter(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn every_law_names_a_test_that_exists() {
    let tests = tests_by_name();
    let mut laws = BTreeSet::new();
    for row in rows("docs/ARCHITECTURE.md") {
        let Ok(law) = row[0].parse::<u32>() else { continue };
        laws.insert(law);
        let named = named_tests(row.get(2).map_or("", String::as_str));
        assert!(!named.is_empty(), "law {law} names no test");
        for name in named {
            assert!(tests.contains(&name), "law {law} names the test `{name}`, which is not there");
        }
    }
    assert_eq!(laws, (1..=10).collect(), "each of the ten laws has a row");
}

#[test]
fn every_checklist_row_says_its_state_and_names_tests_that_exist() {
    let tests = tests_by_name();
    let mut seen = BTreeSet::new();
    for row in rows("docs/checklist.md") {
        let is_id = row[0].len() >= 5 && row[0].starts_with('A') && row[0].contains('.');
        if !is_id {
            continue;
        }
        assert!(seen.insert(row[0].clone()), "{} stands twice", row[0]);
        let [id, state, named, ..] = &row[..] else { panic!("{}: too few cells", row[0]) };
        assert!(["works", "partly", "not yet"].contains(&state.as_str()), "{id}: `{state}` is no state");
        let named = named_tests(named);
        assert!(state != "works" || !named.is_empty(), "{id} works, but names no test");
        for name in named {
            assert!(tests.contains(&name), "{id} names the test `{name}`, which is not there");
        }
    }
    assert_eq!(seen.len(), 169, "every row of the checklist has its line");
}
