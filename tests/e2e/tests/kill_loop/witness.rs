//! What the steps themselves say that they did, in a file that they may write to and the system never looks at.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Which build a step belongs to, in its own words.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Named {
    pub(crate) builder: String,
    pub(crate) number: u64,
}

/// One run of a step.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) named: Named,
    pub(crate) attempt: u64,
    pub(crate) revision: String,
    pub(crate) ended: bool,
}

/// The file.
#[derive(Clone)]
pub(crate) struct Witness(PathBuf);

impl Witness {
    pub(crate) fn make(place: &Path) -> anyhow::Result<Self> {
        let directory = place.join("witness");
        std::fs::create_dir(&directory)?;
        let file = directory.join("runs");
        std::fs::write(&file, "")?;
        // Steps have a user of their own.
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))?;
        Ok(Self(file))
    }

    /// What a step is granted to write.
    pub(crate) fn directory(&self) -> String {
        self.0.parent().unwrap_or(&self.0).display().to_string()
    }

    /// A script around a step's work that says when it begins and when it has ended.
    pub(crate) fn around(&self, work: &str) -> String {
        let file = self.0.display();
        format!(
            "run=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')\n\
             echo \"begin $run $BUILDER $NUMBER $ATTEMPT $REVISION\" >> {file}\n\
             {work}\n\
             echo \"end $run $BUILDER $NUMBER $ATTEMPT $REVISION\" >> {file}"
        )
    }

    /// How many runs have begun, and how many have ended.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        (count("begin "), count("end "))
    }

    /// All runs.
    ///
    /// # Errors
    /// When it is not as the script writes it.
    pub(crate) fn runs(&self) -> anyhow::Result<Vec<Run>> {
        let text = std::fs::read_to_string(&self.0)?;
        let mut runs: BTreeMap<String, Run> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [word, run, builder, number, attempt, revision] = words[..] else {
                anyhow::bail!("the witness has `{line}`");
            };
            let named = Named { builder: builder.to_owned(), number: number.parse()? };
            match word {
                "begin" => {
                    let begun = Run { named, attempt: attempt.parse()?, revision: revision.to_owned(), ended: false };
                    runs.insert(run.to_owned(), begun);
                }
                _ => runs.get_mut(run).with_context(|| format!("`{line}` never began"))?.ended = true,
            }
        }
        Ok(runs.into_values().collect())
    }
}
