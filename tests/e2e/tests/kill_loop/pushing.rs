//! Commits that are pushed without end, and what each must lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stampmill_e2e::{Random, Repository};
use tokio_util::sync::CancellationToken;

/// Files of a commit whose bytes a step prints, one after the other.
const PARTS: usize = 8;

/// A commit and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) revision: String,
    pub(crate) branch: &'static str,
    /// Builders that must build it.
    pub(crate) builders: &'static [&'static str],
    /// What [`crate::PRINT_ALL`] prints of it.
    pub(crate) all: Vec<u8>,
    /// What [`crate::PRINT_ONE`] prints of it.
    pub(crate) one: Vec<u8>,
}

/// Pushes until it is told to stop; never more than a few commits before what was built.
pub(crate) struct Pusher {
    repository: Repository,
    random: Random,
    pushed: Vec<Pushed>,
    count: Arc<AtomicUsize>,
}

impl Pusher {
    pub(crate) fn new(repository: Repository, random: Random) -> Self {
        Self { repository, random, pushed: Vec::new(), count: Arc::default() }
    }

    /// How many were pushed so far.
    pub(crate) fn count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.count)
    }

    /// Makes the branches: what comes later on them is built.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        for branch in ["dev", "main"] {
            self.push(branch, false)?;
        }
        self.pushed.clear();
        Ok(())
    }

    /// `may` says whether there is room for one more important commit on `main`.
    pub(crate) async fn run(
        mut self,
        stop: CancellationToken,
        may: impl Fn(usize) -> bool,
    ) -> anyhow::Result<Vec<Pushed>> {
        while !stop.is_cancelled() {
            let important = self.pushed.iter().filter(|pushed| pushed.builders.len() > 1).count();
            if may(important) {
                let kind = self.random.below(10);
                self = tokio::task::spawn_blocking(move || {
                    match kind {
                        0..6 => self.push("main", false),
                        6..8 => self.push("dev", false),
                        _ => self.push("main", true),
                    }
                    .map(|()| self)
                })
                .await??;
            }
            let pause = Duration::from_millis(200 + self.random.below(1_500));
            // Whichever comes first.
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
        Ok(self.pushed)
    }

    fn push(&mut self, branch: &'static str, only_docs: bool) -> anyhow::Result<()> {
        let number = self.count.load(Ordering::SeqCst);
        let one = format!("commit {number} on {branch}, {:016x}\n", self.random.draw()).into_bytes();
        let parts: Vec<Vec<u8>> = (0..PARTS).map(|_| self.bytes()).collect();
        let names: Vec<String> = (0..PARTS).map(|part| format!("parts/{part}")).collect();
        let mut files = vec![(if only_docs { "docs/words.md" } else { "one" }, one.as_slice())];
        if !only_docs {
            files.extend(names.iter().zip(&parts).map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        }
        let comment = format!("Commit {number}");
        let revision = self.repository.commit_on(branch, &comment, &files, "Ann <ann@example.org>")?;
        let builders: &[&str] = match (branch, only_docs) {
            ("main", false) => &["chatty", "short", "light"],
            ("main", true) => &["light"],
            _ => &["side"],
        };
        self.pushed.push(Pushed { revision, branch, builders, all: parts.concat(), one });
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What programs print: short lines and long ones, colours, bytes that are no text, and ends without a newline.
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.random.below(120) {
            match self.random.below(12) {
                0 => bytes.extend(std::iter::repeat_n(b'x', 4_000)),
                1 => bytes.extend([0xff, 0xfe, 0x00, 0x80]),
                2 => bytes.extend("\u{1b}[31mrot\u{1b}[0m ü\r".as_bytes()),
                _ => bytes.extend(format!("line {:x}", self.random.draw()).as_bytes()),
            }
            bytes.push(b'\n');
        }
        if self.random.percent(50) {
            bytes.extend(b"no newline ");
        }
        bytes
    }
}
