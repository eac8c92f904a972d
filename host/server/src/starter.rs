//! Configurations to begin with: the one of the tour, and the one that `init` writes.

use std::path::Path;

const DEMO: &str = include_str!("starter/demo.toml");
const PROJECT: &str = include_str!("starter/project.toml");

/// What `init` knows of a repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Project {
    /// Short name: of the change source, the codebase and the project.
    pub(crate) name: String,
    /// Absolute path or address.
    pub(crate) repository: String,
    /// The branch to build.
    pub(crate) branch: String,
    /// What git has to be granted, beside being run: `read = ["/srv/git/app.git"]` or `net = ["git.example:443"]`.
    pub(crate) access: String,
    /// What builds it.
    pub(crate) toolchain: Toolchain,
}

/// How a project is built and tested, told from its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Toolchain {
    /// `Cargo.toml`.
    Cargo,
    /// `go.mod`.
    Go,
    /// `package.json`.
    Npm,
    /// `pyproject.toml` or `setup.py`.
    Python,
    /// `Makefile`.
    Make,
    /// Nothing that is known.
    Unknown,
}

/// The configuration of the tour: every kind of plugin, on a repository of this machine.
pub(crate) fn demo(repository: &Path, report_url: &str) -> String {
    let repository = repository.display().to_string();
    let report = report_url.trim_end_matches('/');
    fill(DEMO, &[("REPOSITORY", &repository), ("REPORT_ORIGIN", report)])
}

/// A configuration that builds a project.
pub(crate) fn project(project: &Project) -> String {
    let step = project.toolchain.step();
    let text = PROJECT.replace("# STEPS\n", step);
    fill(
        // The grant is TOML already; everything else becomes text in quotes.
        &text.replace("ACCESS", &project.access),
        &[("NAME", &project.name), ("REPOSITORY", &project.repository), ("BRANCH", &project.branch)],
    )
}

/// Puts values in the place of `"@KEY@"` and of `@KEY@` inside a longer text, escaped as TOML wants it.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (key, value) in values {
        let quoted = toml::Value::String((*value).to_owned()).to_string();
        text = text.replace(&format!("\"@{key}@\""), &quoted);
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        text = text.replace(&format!("@{key}@"), &escaped);
    }
    text
}

impl Toolchain {
    /// What a directory's files tell.
    pub(crate) fn of(directory: &Path) -> Self {
        let marks = [
            ("Cargo.toml", Self::Cargo),
            ("go.mod", Self::Go),
            ("package.json", Self::Npm),
            ("pyproject.toml", Self::Python),
            ("setup.py", Self::Python),
            ("Makefile", Self::Make),
            ("makefile", Self::Make),
            ("GNUmakefile", Self::Make),
        ];
        marks.into_iter().find(|(file, _)| directory.join(file).is_file()).map_or(Self::Unknown, |(_, found)| found)
    }

    /// What `init` says of it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Cargo => "a Cargo package",
            Self::Go => "a Go module",
            Self::Npm => "a Node.js package",
            Self::Python => "a Python project",
            Self::Make => "a Makefile",
            Self::Unknown => "no build system that is known here",
        }
    }

    const fn step(self) -> &'static str {
        match self {
            Self::Cargo => include_str!("starter/cargo.toml"),
            Self::Go => include_str!("starter/go.toml"),
            Self::Npm => include_str!("starter/npm.toml"),
            Self::Python => include_str!("starter/python.toml"),
            Self::Make => include_str!("starter/make.toml"),
            Self::Unknown => include_str!("starter/unknown.toml"),
        }
    }
}
