//! Commits, read from `git log` as it comes.

use crate::limits::{FILES_OF_A_CHANGE, TOKEN_BYTES};
use stampmill_sdk::git::{file_name, is_object_name};

/// Fields of a commit, each ended by NUL; git ends the whole with one more. No field can hold a NUL.
pub const FORMAT: &str = "tformat:%H%x00%an%x00%ae%x00%cn%x00%ce%x00%ct%x00%B%x00";
const FIELDS: usize = 7;

/// What one commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its whole name, hexadecimal.
    pub object: String,
    /// `Name <mail>`.
    pub author: String,
    /// `Name <mail>`.
    pub committer: String,
    /// Seconds since 1970.
    pub committed_at: u64,
    /// Without the line ends after it.
    pub message: String,
    /// Names against the first parent.
    pub files: Vec<String>,
    /// Files beyond the limit, which are left out.
    pub files_omitted: u64,
}

impl Commit {
    /// About what it weighs in an answer.
    pub fn bytes(&self) -> usize {
        let files: usize = self.files.iter().map(String::len).sum();
        self.message.len() + self.author.len() + self.committer.len() + files
    }
}

/// Output that is not what `git log` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Unexpected(pub String);

#[derive(Debug)]
enum Awaited {
    Field(Vec<String>),
    /// The NUL after the last field.
    Terminator,
    /// The facts of a file, or the next commit.
    FileOrCommit,
    FileName,
}

/// Takes output in pieces of any size, gives commits.
#[derive(Debug)]
pub struct Reader {
    token: Vec<u8>,
    awaited: Awaited,
    commit: Option<Commit>,
    complete: Vec<Commit>,
}

impl Reader {
    /// Before any output.
    #[expect(clippy::new_without_default, reason = "a reader is made for one run of git, never by default")]
    pub fn new() -> Reader {
        Reader { token: Vec::new(), awaited: Awaited::Field(Vec::new()), commit: None, complete: Vec::new() }
    }

    /// Reads a piece.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Unexpected> {
        while let Some(end) = piece.iter().position(|byte| *byte == 0) {
            self.extend(&piece[..end]);
            let token = std::mem::take(&mut self.token);
            self.take(&token)?;
            piece = &piece[end + 1..];
        }
        self.extend(piece);
        Ok(())
    }

    /// The commits that are complete so far: a later one has begun. They are handed out once.
    pub fn complete(&mut self) -> Vec<Commit> {
        std::mem::take(&mut self.complete)
    }

    /// No more output: the last commit is complete too.
    pub fn end(mut self) -> Result<Vec<Commit>, Unexpected> {
        match (&self.awaited, self.token.is_empty()) {
            (Awaited::FileOrCommit, true) => {
                self.complete.extend(self.commit);
                Ok(self.complete)
            }
            (Awaited::Field(fields), true) if fields.is_empty() => Ok(self.complete),
            (awaited, _) => Err(Unexpected(format!("the output ends where {awaited:?} was awaited"))),
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = TOKEN_BYTES - self.token.len();
        self.token.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self, token: &[u8]) -> Result<(), Unexpected> {
        self.awaited = match std::mem::replace(&mut self.awaited, Awaited::Terminator) {
            Awaited::Field(fields) => self.take_field(fields, token)?,
            Awaited::Terminator if token.is_empty() => Awaited::FileOrCommit,
            Awaited::Terminator => return Err(Unexpected("a commit has more fields than were asked for".to_owned())),
            Awaited::FileOrCommit if is_file_facts(token) => Awaited::FileName,
            Awaited::FileOrCommit => {
                self.complete.extend(self.commit.take());
                self.take_field(Vec::new(), token)?
            }
            Awaited::FileName => {
                self.take_file(token);
                Awaited::FileOrCommit
            }
        };
        Ok(())
    }

    fn take_field(&mut self, mut fields: Vec<String>, token: &[u8]) -> Result<Awaited, Unexpected> {
        fields.push(String::from_utf8_lossy(token).into_owned());
        if fields.len() < FIELDS {
            return Ok(Awaited::Field(fields));
        }
        self.commit = Some(commit(fields)?);
        Ok(Awaited::Terminator)
    }

    fn take_file(&mut self, name: &[u8]) {
        if let Some(commit) = &mut self.commit {
            match commit.files.len() < FILES_OF_A_CHANGE {
                true => commit.files.push(file_name(name)),
                false => commit.files_omitted += 1,
            }
        }
    }
}

/// `:100644 100644 <old> <new> M`; before the first of a commit git puts an empty line.
fn is_file_facts(token: &[u8]) -> bool {
    token.strip_prefix(b"\n").unwrap_or(token).starts_with(b":")
}

fn commit(fields: Vec<String>) -> Result<Commit, Unexpected> {
    let Ok([object, author, author_mail, committer, committer_mail, time, message]) =
        <[String; FIELDS]>::try_from(fields)
    else {
        return Err(Unexpected("a commit has too few fields".to_owned()));
    };
    if !is_object_name(&object) {
        return Err(Unexpected(format!("`{}` is not the name of a commit", object.escape_debug())));
    }
    Ok(Commit {
        object,
        author: person(&author, &author_mail),
        committer: person(&committer, &committer_mail),
        // A commit can claim a time before 1970.
        committed_at: time.parse().unwrap_or(0),
        message: message.trim_end_matches('\n').to_owned(),
        files: Vec::new(),
        files_omitted: 0,
    })
}

/// `Name <mail>`, as far as the commit has them.
fn person(name: &str, mail: &str) -> String {
    match (name.trim(), mail.trim()) {
        (name, "") => name.to_owned(),
        ("", mail) => format!("<{mail}>"),
        (name, mail) => format!("{name} <{mail}>"),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
