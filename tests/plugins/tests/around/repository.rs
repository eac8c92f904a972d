//! A real repository: a bare one that is served, and a clone to commit in.

use super::Place;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

pub(crate) struct Repository {
    bare: PathBuf,
    clone: PathBuf,
}

impl Repository {
    /// An empty repository of this name, with `main` as its default branch.
    pub(crate) fn new(place: &Place, name: &str) -> Repository {
        let (bare, clone) = (place.path().join(format!("{name}.git")), place.path().join(format!("{name}-clone")));
        run(Path::new("/"), &["init", "--quiet", "--bare", "--initial-branch=main", text(&bare)]);
        run(Path::new("/"), &["init", "--quiet", "--initial-branch=main", text(&clone)]);
        let repository = Repository { bare, clone };
        repository.git(&["remote", "add", "origin", text(&repository.bare)]);
        repository
    }

    /// The address of the bare repository.
    pub(crate) fn address(&self) -> &str {
        text(&self.bare)
    }

    pub(crate) fn bare(&self) -> &Path {
        &self.bare
    }

    /// Git in the clone; answers its output.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run(&self.clone, arguments)
    }

    /// A commit that writes these files; answers its name.
    pub(crate) fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            self.write(name.as_bytes(), content);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message", message]);
        self.head()
    }

    /// Writes a file in the clone; its name may be any bytes.
    pub(crate) fn write(&self, name: &[u8], content: &str) {
        let path = self.clone.join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().expect("it is below the clone")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes everything as it is, forgetting what is gone here. The served repository belongs to another user afterwards, where that can be done.
    pub(crate) fn push(&self) {
        self.git(&[
            "push",
            "--quiet",
            "--force",
            "--prune",
            "origin",
            "refs/heads/*:refs/heads/*",
            "refs/tags/*:refs/tags/*",
        ]);
        self.give_away();
    }

    /// A worker's repositories rarely belong to the uid of a step.
    pub(crate) fn give_away(&self) {
        const SOMEBODY: u32 = 54_321;
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&self.bare, Some(SOMEBODY), Some(SOMEBODY)).expect("root may give away");
        }
    }

    /// Commits by `git fast-import`: so many on top of `main`, pushed.
    pub(crate) fn import(&self, commits: usize) {
        let mut stream = String::new();
        for number in 1..=commits {
            let message = format!("commit {number}");
            stream += "commit refs/heads/main\n";
            stream += &format!("committer Ann <ann@example> {} +0000\n", 1_700_000_000 + number);
            stream += &format!("data {}\n{message}\n", message.len());
            if number == 1 {
                stream += "from refs/heads/main^0\n";
            }
            let content = number.to_string();
            stream += &format!("M 100644 inline file-{}\ndata {}\n{content}\n\n", number % 50, content.len());
        }
        let mut child = git_command(&self.clone)
            .args(["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("git starts");
        child.stdin.take().expect("it is piped").write_all(stream.as_bytes()).expect("git reads");
        assert!(child.wait().expect("git ends").success());
        self.git(&["reset", "--quiet", "--hard", "main"]);
        self.push();
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// The configuration of the tests' own git. Pushing starts a program at the other end, which takes no `-c`.
fn global_config() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gitconfig-{}", std::process::id()));
        let text = "[safe]\n\tdirectory = *\n[protocol \"file\"]\n\tallow = always\n[core]\n\tquotePath = false\n";
        std::fs::write(&path, text).expect("a file of the test's own");
        path
    })
}

fn git_command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C.UTF-8")])
        .envs([
            ("GIT_AUTHOR_NAME", "Ann"),
            ("GIT_AUTHOR_EMAIL", "ann@example"),
            ("GIT_COMMITTER_NAME", "Bob"),
            ("GIT_COMMITTER_EMAIL", "bob@example"),
        ])
        .env("GIT_COMMITTER_DATE", "1700000000 +0000")
        .env("GIT_CONFIG_GLOBAL", global_config());
    command
}

/// Git in a directory; answers its output without the last line end.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = git_command(directory).args(arguments).output().expect("git starts");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}
