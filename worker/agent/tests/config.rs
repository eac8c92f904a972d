//! The worker's configuration: what is read, what is refused and how it is said.

use std::path::Path;

use stampmill_agent::{Allow, ConfigError, Requirement, WorkerConfig};

const LEAST: &str = "name = \"w1\"\nhost = \"https://ci.example\"\ntoken = \"t0ken\"\nstate-dir = \"state\"\n";

fn read(text: &str) -> Result<WorkerConfig, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("worker.toml");
    std::fs::write(&path, text).unwrap();
    WorkerConfig::read(&path)
}

#[test]
fn the_least_that_is_said_gets_narrow_defaults() {
    let config = read(LEAST).unwrap();
    assert_eq!((config.max_builds, config.require), (1, Requirement::Sandboxed));
    assert_eq!(config.allow, Allow::default());
    assert!(config.state_dir.is_absolute() && config.state_dir.ends_with("state"), "{:?}", config.state_dir);
    assert_eq!(config.url().unwrap(), "wss://ci.example/worker/v1/connect");
    assert_ne!(config.step_uid, 0);
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn everything_can_be_said() {
    let text = "name = \"w1\"\nhost = \"http://127.0.0.1:8010/\"\ntoken-file = \"token\"\nstate-dir = \"/var/lib/stampmill\"\nmax-builds = 4\n\
                require = \"degraded\"\nstep-uid = 5000\nstep-gid = 5000\n[allow]\ncommand = [\"git\"]\nnet = [\"*:443\"]\n\
                [limits]\nmemory-bytes = 1000000\noutput-bytes = 10\n";
    let config = read(text).unwrap();
    assert_eq!((config.max_builds, config.require), (4, Requirement::Degraded));
    assert_eq!(config.allow.command, ["git"]);
    assert_eq!(config.limits.output_bytes, 10);
    assert_eq!(config.limits.processes, WorkerConfig::new("", "", "", Path::new("")).limits.processes);
    assert_eq!(config.url().unwrap(), "ws://127.0.0.1:8010/worker/v1/connect");
    let token = config.read_token().unwrap_err().to_string();
    assert!(token.contains("token"), "{token}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    for (change, part) in [
        ("max-build = 2\n", "unknown field `max-build`"),
        ("max-builds = 0\n", "max-builds = \"0\""),
        ("max-builds = \"two\"\n", "max-builds = \"two\""),
        ("step-uid = 0\n", "steps never run as root"),
        ("step-gid = 0\n", "steps never run as root"),
        ("token-file = \"t\"\n", "keep one of the two"),
        ("require = \"none\"\n", "unknown variant `none`"),
        ("[allow]\nprogram = [\"git\"]\n", "unknown field `program`"),
        ("[limits]\nmemory = 3\n", "unknown field `memory`"),
        ("[[[", "line 5, column 3"),
    ] {
        let error = format!("{LEAST}{change}");
        let error = read(&error).unwrap_err().to_string();
        assert!(error.contains(part), "{change}: {error}");
    }
    let syntax = read(&format!("{LEAST}max-build = 2\n")).unwrap_err().to_string();
    assert!(syntax.contains("line 5, column 1"), "{syntax}");
    for (from, to, part) in [
        ("name = \"w1\"", "name = \"\"", "name"),
        ("token = \"t0ken\"\n", "", "a token or a token-file is expected"),
        ("https://ci.example", "ci.example", "a URL such as"),
        ("https://ci.example", "ftp://ci.example", "the scheme must be http or https"),
        ("https://ci.example", "https://user@ci.example", "a URL such as"),
        ("https://ci.example", "https://", "a URL such as"),
        ("state-dir = \"state\"\n", "", "missing field `state-dir`"),
    ] {
        let error = read(&LEAST.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(part), "{to}: {error}");
    }
    assert!(matches!(WorkerConfig::read(Path::new("/nowhere/worker.toml")), Err(ConfigError::Read { .. })));
}
