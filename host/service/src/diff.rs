//! A look at a unified diff before it is taken: that it is one, and that no path of it leads out of the checkout. The worker's git has the last
//! word; here the person who sends it hears of it at once.

use crate::limits::{PATCH_BYTES_MAX, PATCH_LEVEL_MAX};

/// What is wrong with a diff.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum DiffError {
    #[error("the patch is empty")]
    Empty,
    #[error("the patch has {0} bytes; {PATCH_BYTES_MAX} are the most")]
    TooLarge(usize),
    #[error("patch level {0} is more than {PATCH_LEVEL_MAX}")]
    Level(u32),
    #[error(
        "the patch changes no file: it has no `--- a/PATH` and `+++ b/PATH`, no rename and no binary patch; send the output of `git diff` or `diff -u`"
    )]
    NoFile,
    #[error("line {line} of the patch: the part that `@@` has announced is cut off or damaged")]
    Hunk { line: usize },
    #[error("line {line} of the patch: `{path}` leads out of the checkout, or into its `.git`")]
    Outside { line: usize, path: String },
    #[error("directory `{0}` leads out of the checkout, or into its `.git`")]
    Directory(String),
}

/// Checks a diff, how many leading parts of its paths are to go, and the directory that it is for.
pub(crate) fn check(body: &[u8], level: u32, directory: &str) -> Result<(), DiffError> {
    if body.is_empty() {
        return Err(DiffError::Empty);
    }
    if body.len() > PATCH_BYTES_MAX {
        return Err(DiffError::TooLarge(body.len()));
    }
    if level > PATCH_LEVEL_MAX {
        return Err(DiffError::Level(level));
    }
    if !directory.is_empty() && !is_inside(directory) {
        return Err(DiffError::Directory(directory.to_owned()));
    }
    let mut hunk = Hunk::default();
    let (mut files, mut line, mut in_file) = (0_usize, 0, false);
    for text in body.split_inclusive(|byte| *byte == b'\n') {
        line += 1;
        let text = String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(text));
        if hunk.is_open() {
            hunk.take(&text).ok_or(DiffError::Hunk { line })?;
        } else if in_file && text.starts_with("@@ ") {
            hunk = Hunk::announced(&text).ok_or(DiffError::Hunk { line })?;
        } else if let Some(path) = path_of(&text) {
            files += 1;
            in_file = text.starts_with("+++ ");
            if path != "/dev/null" && !is_inside(&path) {
                return Err(DiffError::Outside { line, path });
            }
        } else if let Some(names) = text.strip_prefix("diff --git ") {
            in_file = false;
            // Where one name ends and the other begins does not matter here.
            let names = unquoted(&names.replace('"', " "));
            if let Some(path) = names.split(' ').find(|part| !is_inside(part)) {
                return Err(DiffError::Outside { line, path: path.to_owned() });
            }
        } else if ["GIT binary patch", "new mode ", "new file mode ", "deleted file mode "]
            .iter()
            .any(|it| text.starts_with(it))
        {
            files += 1;
        }
    }
    match (hunk.is_open(), files) {
        (true, _) => Err(DiffError::Hunk { line }),
        (false, 0) => Err(DiffError::NoFile),
        (false, _) => Ok(()),
    }
}

/// How many lines of the old and the new file are still to come.
#[derive(Default)]
struct Hunk {
    old: u64,
    new: u64,
}

impl Hunk {
    /// Of `@@ -1,2 +3,4 @@`; a count that is missing is one.
    fn announced(text: &str) -> Option<Self> {
        let mut parts = text.split(' ').skip(1);
        let mut count = |sign: char| -> Option<u64> {
            let range = parts.next()?.strip_prefix(sign)?;
            range.split_once(',').map_or(Some(1), |(_, count)| count.parse().ok())
        };
        let hunk = Self { old: count('-')?, new: count('+')? };
        parts.next().filter(|end| end.trim_end() == "@@").map(|_| hunk)
    }

    fn is_open(&self) -> bool {
        self.old > 0 || self.new > 0
    }

    fn take(&mut self, text: &str) -> Option<()> {
        let (old, new) = match text.chars().next() {
            Some('-') => (1, 0),
            Some('+') => (0, 1),
            Some('\\') => (0, 0),
            // Mail programs take the blank off lines that are blank.
            Some(' ' | '\r') | None => (1, 1),
            Some(_) => return None,
        };
        self.old = self.old.checked_sub(old)?;
        self.new = self.new.checked_sub(new)?;
        Some(())
    }
}

/// The path that a header line names.
fn path_of(text: &str) -> Option<String> {
    let headers =
        ["--- ", "+++ ", "rename from ", "rename to ", "rename old ", "rename new ", "copy from ", "copy to "];
    let path = headers.iter().find_map(|header| text.strip_prefix(header))?;
    let path = path.trim_end_matches('\r');
    Some(match path.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        // What follows a tab is the file's time.
        None => path.split('\t').next().unwrap_or_default().to_owned(),
    })
}

/// What git means by a path in quotes: octal bytes and escaped letters. Other escapes than octal ones can't make a path lead out.
fn unquoted(quoted: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = quoted.bytes().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => {
                let mut octal = None;
                for _ in 0..3 {
                    let Some(digit) = rest.next_if(|byte| (b'0'..=b'7').contains(byte)) else { break };
                    octal = Some(octal.unwrap_or(0_u8).wrapping_mul(8).wrapping_add(digit - b'0'));
                }
                bytes.extend(octal.or_else(|| rest.next()));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a path is relative and stays below where it is taken from, whatever is stripped from its front.
fn is_inside(path: &str) -> bool {
    let is_plain = |part: &str| part != ".." && !part.eq_ignore_ascii_case(".git");
    !path.starts_with('/') && !path.chars().any(char::is_control) && path.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n a\n-b\n";

    fn checked(body: &str) -> Result<(), DiffError> {
        check(body.as_bytes(), 1, "")
    }

    #[test]
    fn diffs_of_git_and_of_diff_are_taken() {
        let renamed = "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n";
        let binary =
            "diff --git a/x b/x\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZPo\n\nliteral 0\nHcmV?d00001\n";
        let timed = "--- x.orig\t2026-11-22 10:00:00\n+++ x\t2026-11-22 10:00:01\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n";
        let emptied = "diff --git a/x b/x\nnew file mode 100644\nindex 0..e\n";
        let removed = "diff --git a/an x b/an x\ndeleted file mode 100644\nindex e..0\n";
        let mailed = "@@ -a letter before it\n--- a/x\n+++ b/x\n@@ -1 +1 @@ fn main()\n-a\n+b\n";
        let made = "--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+a\n+\n";
        let quoted = "--- \"a/\\303\\244\"\n+++ \"b/\\303\\244\"\n@@ -1 +1 @@\n-a\n+b\n";
        for diff in [PLAIN, renamed, binary, timed, emptied, removed, mailed, made, quoted] {
            assert_eq!(checked(diff), Ok(()), "{diff}");
        }
    }

    #[test]
    fn lines_that_look_like_headers_within_a_part_are_none() {
        assert_eq!(checked("--- a/x\n+++ b/x\n@@ -1 +1 @@\n--- ../../etc/passwd\n+++ /etc/passwd\n"), Ok(()));
    }

    #[test]
    fn a_path_that_leads_out_is_named_with_its_line() {
        let outside = |path: &str| DiffError::Outside { line: 1, path: path.to_owned() };
        for path in ["../../x", "a/../../x", "/etc/passwd", "a/.git/hooks/post-checkout", "b/.GIT/config"] {
            assert_eq!(checked(&format!("--- {path}\n{PLAIN}")), Err(outside(path)));
            assert_eq!(checked(&format!("rename to {path}\n")), Err(outside(path)));
        }
        assert_eq!(checked("+++ \"b/\\056\\056/x\"\n"), Err(outside("b/../x")));
        assert_eq!(checked("diff --git a/x b/../../x\nnew file mode 100644\n"), Err(outside("b/../../x")));
        assert_eq!(checked("diff --git \"a/\\056\\056/x\" b/x\nGIT binary patch\n"), Err(outside("a/../x")));
        assert_eq!(checked("rename new a/.git/hooks/x\n"), Err(outside("a/.git/hooks/x")));
        let text = checked("--- a/x\n+++ ../x\n").expect_err("refused").to_string();
        assert_eq!(text, "line 2 of the patch: `../x` leads out of the checkout, or into its `.git`");
    }

    #[test]
    fn what_is_no_diff_is_refused_with_what_is_wanted() {
        assert_eq!(checked(""), Err(DiffError::Empty));
        assert_eq!(checked("hello\n"), Err(DiffError::NoFile));
        assert_eq!(checked(&PLAIN[..PLAIN.len() - 3]), Err(DiffError::Hunk { line: 5 }));
        assert_eq!(checked("--- a/x\n+++ b/x\n@@ -1 +1 @@\nx\n"), Err(DiffError::Hunk { line: 4 }));
        assert_eq!(checked("--- a/x\n+++ b/x\n@@ what @@\n"), Err(DiffError::Hunk { line: 3 }));
        assert_eq!(checked("--- a/x\n+++ b/x\n@@ -1 +1 x\n"), Err(DiffError::Hunk { line: 3 }));
        assert_eq!(check(PLAIN.as_bytes(), 99, ""), Err(DiffError::Level(99)));
        let large = vec![b'x'; PATCH_BYTES_MAX + 1];
        assert_eq!(check(&large, 1, ""), Err(DiffError::TooLarge(PATCH_BYTES_MAX + 1)));
        for directory in ["..", "/tmp", "a/../..", "a/.git"] {
            assert_eq!(check(PLAIN.as_bytes(), 1, directory), Err(DiffError::Directory(directory.to_owned())));
        }
        assert_eq!(check(PLAIN.as_bytes(), 0, "sub/dir"), Ok(()));
    }
}
