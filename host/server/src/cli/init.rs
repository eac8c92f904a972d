//! `init`: a starter configuration for a git repository. No program is run for it: a repository's own files are read as text.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::arguments::InitArgs;
use super::failure::Failure;
use super::output::{clean, say};
use super::work_tree::WorkTree;
use crate::starter::{self, Project, Toolchain};

/// Writes a starter configuration, and says how to go on.
pub(crate) fn run(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let project = project(&args.repository, args.branch.as_deref())?;
    write_new(&args.config, &starter::project(&project))?;
    let config = args.config.display();
    say(format!("wrote {config}: builds branch {} of {}", clean(&project.branch), clean(&project.repository)))?;
    say(format!("found {}: see the steps in it, and change what they run\n", project.toolchain.word()))?;
    let named = if args.config == Path::new("stampmill.toml") { String::new() } else { format!(" --config {config}") };
    say("next:")?;
    for (command, what) in [
        (format!("stampmill check{named}"), "is it right, and what may each plugin do"),
        ("stampmill user add NAME --role admin".to_owned(), "who may log in on the web pages"),
        (format!("stampmill up{named}"), "host, web pages and one worker"),
        ("stampmill force linux --wait".to_owned(), "the first build"),
    ] {
        say(format!("  {command:<38}{what}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that is there is never touched, not even one that appears at this moment.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    match std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::refused(format!(
            "{shown} is there already and is not touched; move it away, or name another file with --config"
        ))),
        Err(error) => Err(Failure::unavailable(format!("{shown} can't be written: {error}"))),
    }
}

/// What is to be built, told from a directory or an address.
pub(super) fn project(repository: &str, branch: Option<&str>) -> anyhow::Result<Project> {
    let project = match remote_access(repository) {
        Some(access) => remote(repository, branch, access),
        None => local(Path::new(repository), branch)?,
    };
    if project.repository.chars().chain(project.branch.chars()).any(char::is_control) {
        return Err(Failure::refused("the repository or branch has a control character in its name"));
    }
    Ok(project)
}

fn remote(address: &str, branch: Option<&str>, access: String) -> Project {
    Project {
        name: short_name(address),
        repository: address.to_owned(),
        branch: branch.unwrap_or("main").to_owned(),
        access,
        toolchain: Toolchain::Unknown,
    }
}

/// The grant for an address; `None` for a path of this machine.
fn remote_access(address: &str) -> Option<String> {
    let (default_port, rest) = match address.split_once("://") {
        Some(("https", rest)) => (443, rest),
        Some(("http", rest)) => (80, rest),
        Some(("ssh", rest)) => (22, rest),
        Some(("git", rest)) => (9418, rest),
        Some(_) => return None,
        // user@host:path, unless it is a path that is there.
        None => {
            let (before, _) = address.split_once(':').filter(|_| !Path::new(address).exists())?;
            if before.contains('/') {
                return None;
            }
            (22, before)
        }
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port { host.to_owned() } else { format!("{host}:{default_port}") };
    Some(format!("net = [{}]", toml::Value::String(target)))
}

fn local(directory: &Path, branch: Option<&str>) -> anyhow::Result<Project> {
    let shown = directory.display();
    let path = directory.to_str().and_then(|text| text.strip_prefix("file://")).map_or(directory, Path::new);
    let path = path.canonicalize().map_err(|error| {
        Failure::refused(format!("{shown} can't be found: {error}; name a directory or the address of a repository"))
    })?;
    let tree = WorkTree::around(&path).ok_or_else(|| {
        Failure::refused(format!(
            "{shown} is in no git repository: `git init` makes one, or name another directory or an address"
        ))
    })?;
    let branch = branch.map(ToOwned::to_owned).or_else(|| tree.branch()).unwrap_or_else(|| "main".to_owned());
    let root = &tree.root;
    let repository = root
        .to_str()
        .ok_or_else(|| {
            Failure::refused(format!("the path {} is not UTF-8, as a configuration has to be", root.display()))
        })?
        .to_owned();
    // A linked work tree keeps its objects elsewhere.
    let mut paths = vec![repository.clone()];
    let common = tree.common_directory();
    paths.extend(common.to_str().filter(|_| !common.starts_with(root)).map(ToOwned::to_owned));
    let quoted: Vec<String> = paths.into_iter().map(|path| toml::Value::String(path).to_string()).collect();
    let toolchain = Toolchain::of(root);
    Ok(Project {
        name: short_name(&repository),
        repository,
        branch,
        access: format!("read = [{}]", quoted.join(", ")),
        toolchain,
    })
}

/// The last part of a path or address, as far as it makes a name.
fn short_name(repository: &str) -> String {
    let last = repository.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last);
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "app".to_owned() } else { name }
}
