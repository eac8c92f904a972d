//! Where programs are looked up.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stampmill_runtime::Fault;
use stampmill_sandbox::BUILD_DIR;

/// Where a program without a slash is looked up, and the `PATH` of programs that do not declare one: the directories that the sandbox shows
/// as they are on the machine.
pub const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The path of a program inside the sandbox. A bare name is looked up in [`SEARCH_PATH`], whatever `PATH` the plugin declares, so that what was
/// granted by its name is what runs.
pub(super) fn find(program: &str) -> Result<String, Fault> {
    if program.starts_with('/') {
        return Ok(program.to_owned());
    }
    if program.contains('/') {
        if program.split('/').any(|part| part == "..") {
            return Err(Fault::Refused(format!("program `{program}` leaves the work directory")));
        }
        let below = program.trim_start_matches("./");
        return Ok(format!("{BUILD_DIR}/{below}"));
    }
    for directory in SEARCH_PATH.split(':') {
        let path = Path::new(directory).join(program);
        let runs = |found: std::fs::Metadata| found.is_file() && found.permissions().mode() & 0o111 != 0;
        if path.metadata().is_ok_and(runs) {
            return Ok(path.to_string_lossy().into_owned());
        }
    }
    Err(Fault::Refused(format!(
        "program `{program}` is not on this machine (looked in {SEARCH_PATH}); install it, or run the step elsewhere"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_found_in_the_fixed_path_only() {
        assert!(find("sh").unwrap().ends_with("bin/sh"));
        assert_eq!(find("/opt/x/sh").unwrap(), "/opt/x/sh");
        assert_eq!(find("./configure").unwrap(), "/build/configure");
        assert_eq!(find("tools/run").unwrap(), "/build/tools/run");
        let missing = find("no-such-program").unwrap_err();
        assert!(matches!(missing, Fault::Refused(why) if why.contains("is not on this machine")));
        assert!(find("a/../../sh").is_err());
    }
}
