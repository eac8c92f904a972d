//! The first-party plugins, driven through the runtime with real programs.
//!
//! Nothing here is for others: the tests are in `tests/`. They start git and shells plainly, without the sandbox, in temporary directories;
//! that the sandbox holds is shown elsewhere.
