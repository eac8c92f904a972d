//! The lock file as a configuration meets it.

use serde_json::json;

use super::{Folder, component, in_binary};
use crate::config::{ConfigError, Loaded};

const TEXT: &str = "[plugin.lint]\nfile = \"lint.wasm\"\n[[job]]\nname = \"j\"\n[[job.step]]\nplugin = \"lint\"\ngrant = { command = [\"lint\"] }\n";

fn lint(permissions: &[&str], summary: &str) -> Vec<u8> {
    component("lint", "step", permissions, &json!({ "title": summary }))
}

fn pinned(bytes: &[u8]) -> Folder {
    let folder = Folder::with(TEXT);
    std::fs::write(folder.path().join("lint.wasm"), bytes).unwrap();
    let loaded = folder.load(&[]).unwrap();
    assert_eq!(loaded.pins.len(), 1);
    assert!(!folder.path().join("stampmill.lock").exists(), "loading writes nothing");
    loaded.write_lock().unwrap();
    folder
}

fn refused(result: Result<Loaded, ConfigError>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(loaded) => panic!("it loads with {:?}", loaded.pins),
    }
}

#[test]
fn a_new_plugin_is_pinned_once_and_holds_afterwards() {
    let folder = pinned(&lint(&["command"], "one"));
    let text = std::fs::read_to_string(folder.path().join("stampmill.lock")).unwrap();
    assert!(text.contains("[plugin.lint]") && text.contains("permissions = [\"command\"]"), "{text}");
    assert!(folder.load(&[]).unwrap().pins.is_empty());
}

#[test]
fn other_bytes_under_a_pinned_name_are_refused_with_both_digests() {
    let folder = pinned(&lint(&["command"], "one"));
    let first = folder.load(&[]).unwrap().plugins["lint"].digest.0.to_string();
    let other = lint(&["command"], "two");
    std::fs::write(folder.path().join("lint.wasm"), &other).unwrap();
    let error = refused(folder.load(&[]));
    let second = stampmill_runtime::Digest::of(&other).to_string();
    assert!(error.contains("stampmill.toml:2:8"), "{error}");
    assert!(error.contains(&first) && error.contains(&second), "{error}");
    assert!(error.contains("remove [plugin.lint] from"), "{error}");
}

#[test]
fn a_bundled_plugin_of_another_release_is_taken_unless_it_asks_for_more() {
    let folder =
        Folder::with("[[job]]\nname = \"j\"\n[[job.step]]\nplugin = \"lint\"\ngrant = { command = [\"lint\"] }\n");
    let first = folder.load(&[in_binary("lint", lint(&["command", "logs"], "one"))]).unwrap();
    first.write_lock().unwrap();

    let second = folder.load(&[in_binary("lint", lint(&["command"], "two"))]).unwrap();
    assert!(second.pins[0].replaces);
    assert!(second.pins[0].to_string().contains("pinned anew"), "{}", second.pins[0]);

    let error = refused(folder.load(&[in_binary("lint", lint(&["command", "http"], "three"))]));
    assert!(error.contains("stampmill.toml:4:10"), "{error}");
    assert!(error.contains("asks for `http` as well") && error.contains("remove [plugin.lint]"), "{error}");
}

#[test]
fn a_lock_file_that_can_not_be_read_is_an_error_and_no_empty_one() {
    let folder = pinned(&lint(&["command"], "one"));
    std::fs::write(folder.path().join("stampmill.lock"), "version = 9\n").unwrap();
    let error = refused(folder.load(&[]));
    assert!(error.contains("version 9"), "{error}");
}
