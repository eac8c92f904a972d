//! Buildbot as an oracle: the same random questions to Stampmill's functions and to Buildbot's, in one process of Python.
//!
//! It does not start a master, a worker or a build. The tests are skipped, with a message, where Buildbot is not installed: `.ci/run` installs
//! it below the target directory, where they look, and `STAMPMILL_BUILDBOT` names another Python that has it. What was compared, and where we
//! differ on purpose, is in `docs/reports/differential.md`.

pub mod dice;
pub mod oracle;

pub use dice::Dice;
pub use oracle::Oracle;
