//! The codebase generator `repository-map`: names the codebase of a change by its repository.
//!
//! Its configuration is the map. Addresses are compared as they stand: no ending is cut off, nothing is resolved. A repository that is not
//! in the map gets no codebase, which the host reports on the change.

mod config;

use config::Config;
use stampmill_sdk::{CodebaseGenerator, Fault, Plugin, SeenChange, register};

/// The codebase generator.
#[derive(Debug)]
pub struct RepositoryMap(Config);

impl Plugin for RepositoryMap {
    type Config = Config;

    fn new(config: Config) -> Result<RepositoryMap, Fault> {
        Ok(RepositoryMap(config))
    }
}

impl CodebaseGenerator for RepositoryMap {
    fn codebase_of(&self, change: &SeenChange) -> Result<Option<String>, Fault> {
        Ok(self.0.0.get(&change.repository).cloned())
    }
}

register!(codebase-generator: RepositoryMap);

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Buildbot's manual, three codebases in six repositories.
    const MAILSUITE: [(&str, &str); 6] = [
        ("https://hg/hg/mailsuite/mailclient", "mailexe"),
        ("https://hg/hg/mailsuite/mapilib", "mapilib"),
        ("https://hg/hg/mailsuite/imaplib", "imaplib"),
        ("https://github.com/mailinc/mailsuite/mailclient", "mailexe"),
        ("https://github.com/mailinc/mailsuite/mapilib", "mapilib"),
        ("https://github.com/mailinc/mailsuite/imaplib", "imaplib"),
    ];

    fn codebase(repository: &str) -> Option<String> {
        let map = MAILSUITE.iter().map(|(url, codebase)| ((*url).to_owned(), (*codebase).to_owned())).collect();
        let plugin = RepositoryMap::new(Config(map)).expect("a plugin");
        plugin
            .codebase_of(&SeenChange { repository: repository.to_owned(), ..SeenChange::default() })
            .expect("an answer")
    }

    #[test]
    fn a2_18_each_of_the_six_repositories_has_its_codebase() {
        for (url, expected) in MAILSUITE {
            assert_eq!(codebase(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn a2_18_an_unknown_repository_has_none() {
        for url in
            ["", "https://hg/hg/mailsuite/mailclient/", "https://hg/hg/mailsuite", "HTTPS://hg/hg/mailsuite/imaplib"]
        {
            assert_eq!(codebase(url), None, "{url}");
        }
    }
}
