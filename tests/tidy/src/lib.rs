//! The rules of the repository, as tests: see `tests/`. This crate has no code of its own.
