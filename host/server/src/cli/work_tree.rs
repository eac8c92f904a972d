//! A person's git work tree, found and read as text: no program is run for it.

use std::path::{Path, PathBuf};

/// A work tree, or a bare repository.
pub(super) struct WorkTree {
    /// Its top.
    pub(super) root: PathBuf,
    /// The directory with its `HEAD`.
    git: PathBuf,
}

impl WorkTree {
    /// The one that a directory belongs to.
    pub(super) fn around(directory: &Path) -> Option<Self> {
        for folder in directory.ancestors() {
            let git = folder.join(".git");
            if is_git_directory(&git) {
                return Some(Self { root: folder.to_owned(), git });
            }
            if git.is_file() {
                let text = std::fs::read_to_string(&git).ok()?;
                let linked = folder.join(text.trim().strip_prefix("gitdir:")?.trim());
                return Some(Self { root: folder.to_owned(), git: linked.canonicalize().ok()? });
            }
            if is_git_directory(folder) {
                return Some(Self { root: folder.to_owned(), git: folder.to_owned() });
            }
        }
        None
    }

    /// Where the objects are: work trees that `git worktree` made name another place in `commondir`.
    pub(super) fn common_directory(&self) -> PathBuf {
        let named = std::fs::read_to_string(self.git.join("commondir")).ok();
        let common = named.and_then(|text| self.git.join(text.trim()).canonicalize().ok());
        common.unwrap_or_else(|| self.git.clone())
    }

    /// The branch in `HEAD`; none when a commit is checked out by itself.
    pub(super) fn branch(&self) -> Option<String> {
        let head = std::fs::read_to_string(self.git.join("HEAD")).ok()?;
        Some(head.trim().strip_prefix("ref: refs/heads/")?.to_owned())
    }

    /// Whether there are no files beside the history.
    pub(super) fn is_bare(&self) -> bool {
        self.git == self.root
    }

    /// Where git keeps what is staged.
    pub(super) fn index(&self) -> PathBuf {
        self.git.join("index")
    }
}

fn is_git_directory(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir()
}
