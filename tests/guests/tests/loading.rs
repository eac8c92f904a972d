//! What is loaded, what is refused, and with which words.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use stampmill_runtime::{
    Digest, Kind, LoadError, Permission, Refusal, Runtime, RuntimeError, RuntimeOptions, Use, inspect, limits,
};

use crate::fakes::{STEP_PERMISSIONS, load, manifest, runtime, step, with_section};

async fn refused(bytes: &[u8]) -> LoadError {
    let inspected = inspect(bytes).unwrap_err();
    let loaded = runtime().load(bytes).await.unwrap_err();
    assert_eq!(inspected.to_string(), loaded.to_string(), "the cheap look says the same");
    loaded
}

/// A component as text that exports what a kind needs, with nothing behind it.
fn hollow(imports: &str, export: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {imports}
            (component $none) (instance $i (instantiate $none))
            (export "stampmill:plugin/configurable@0.1.0" (instance $i)) (export "{export}" (instance $i)))"#
    );
    wat::parse_str(text).unwrap()
}

fn hollow_step(import: &str) -> Vec<u8> {
    hollow(&format!(r#"(import "{import}" (instance))"#), "stampmill:step/step@0.1.0")
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_what_it_is() {
    assert!(matches!(refused(&wat::parse_str("(module)").unwrap()).await, LoadError::CoreModule));
    for (bytes, why) in [
        (b"#!/bin/sh\nexit\n".as_slice(), "does not begin with"),
        (b"", "empty"),
        (b"\x7fELF\x02\x01\x01", "machine code"),
        (b"\0asm", "unexpected end"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff\xff\xff", "malformed"),
        (&stampmill_guests::STEP[..5_000], "unexpected"),
    ] {
        let error = refused(bytes).await;
        assert!(matches!(error, LoadError::NotAComponent { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let large = vec![0; limits::COMPONENT_BYTES_MAX + 1];
    assert!(matches!(refused(&large).await, LoadError::TooLarge { .. }));
}

#[tokio::test]
async fn a_component_that_is_damaged_inside_does_not_compile() {
    let mut bytes = with_section(stampmill_guests::GENERATOR, &manifest("codebase-generator", &[]));
    // Operators of the first core module's code become the opcode that doesn't exist.
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    let error = runtime().load(&bytes).await.unwrap_err();
    assert!(matches!(error, LoadError::Invalid { .. } | LoadError::NotAComponent { .. }), "{error}");
}

#[tokio::test]
async fn a_component_without_a_readable_manifest_is_refused() {
    let guest = stampmill_guests::GENERATOR;
    assert!(matches!(refused(guest).await, LoadError::NoManifest));
    assert!(matches!(refused(&with_section(guest, "{")).await, LoadError::BadManifest(_)));
    assert!(matches!(refused(&with_section(guest, &manifest("codebase-maker", &[]))).await, LoadError::UnknownKind(_)));
    assert!(matches!(refused(&with_section(guest, &manifest("step", &["root"]))).await, LoadError::BadManifest(_)));
    let later = manifest("codebase-generator", &[]).replace("\"manifest\":1", "\"manifest\":2");
    assert!(refused(&with_section(guest, &later)).await.to_string().contains("format 2"));
    let long = manifest("codebase-generator", &[]).replace("a test", &"x".repeat(limits::MANIFEST_BYTES_MAX));
    assert!(matches!(refused(&with_section(guest, &long)).await, LoadError::BadManifest(_)));
}

#[tokio::test]
async fn two_manifests_are_refused_when_they_differ() {
    let one = with_section(stampmill_guests::GENERATOR, &manifest("codebase-generator", &[]));
    let same = with_section(&one, &manifest("codebase-generator", &[]));
    assert!(inspect(&same).is_ok());
    // The one in the core module can't be overruled by another at the end of the file.
    let other = with_section(stampmill_guests::FILTER, &manifest("scheduler-filter", &[]));
    assert!(matches!(refused(&other).await, LoadError::ManyManifests { count: 2 }));
}

#[tokio::test]
async fn a_kind_may_not_ask_for_what_its_kind_never_gets() {
    for (guest, kind, permission) in [
        (stampmill_guests::FILTER, "scheduler-filter", "secret"),
        (stampmill_guests::GENERATOR, "codebase-generator", "http"),
        (stampmill_guests::GENERATOR, "merge", "state"),
        (stampmill_guests::HOOK, "change-hook", "command"),
        (stampmill_guests::POLLER, "change-poller", "properties"),
        (stampmill_guests::REPORTER, "reporter", "command"),
        (stampmill_guests::STEP, "step", "state"),
    ] {
        // The filter has a manifest of its own, and there is no guest that merges.
        let bytes = match kind {
            "scheduler-filter" => hollow("", "stampmill:filter/filter@0.1.0"),
            "merge" => hollow("", "stampmill:merge/merge@0.1.0"),
            _ => guest.to_vec(),
        };
        let error = refused(&with_section(&bytes, &manifest(kind, &[permission]))).await;
        assert!(matches!(error, LoadError::ForbiddenPermission { .. }), "{kind}: {error}");
        assert!(error.to_string().contains(permission));
    }
}

#[tokio::test]
async fn a_component_of_another_kind_than_it_says_is_refused() {
    let error = refused(&with_section(stampmill_guests::STEP, &manifest("reporter", &["http"]))).await;
    assert!(matches!(
        error,
        LoadError::MissingExport { kind: Kind::Reporter, missing: "stampmill:reporter/reporter", .. }
    ));
    assert!(error.to_string().contains("those of step"), "{error}");
}

#[tokio::test]
async fn an_import_that_the_manifest_does_not_list_is_refused_for_each_capability() {
    for left_out in STEP_PERMISSIONS {
        let rest: Vec<&str> = STEP_PERMISSIONS.into_iter().filter(|name| *name != left_out).collect();
        let error = refused(&with_section(stampmill_guests::STEP, &manifest("step", &rest))).await;
        assert!(
            matches!(error, LoadError::UndeclaredImport { permission, .. } if permission.as_str() == left_out),
            "{error}"
        );
    }
    let error = refused(&with_section(stampmill_guests::REPORTER, &manifest("reporter", &[]))).await;
    assert!(matches!(error, LoadError::UndeclaredImport { permission: Permission::State, .. }), "{error}");
}

#[tokio::test]
async fn an_import_of_another_world_is_refused_with_what_to_do() {
    for (import, says) in [
        ("wasi:cli/environment@0.2.6", "wasm32-unknown-unknown"),
        ("wasi:sockets/tcp@0.2.6", "a plugin gets no WASI"),
        ("evil:host/everything@0.1.0", "`stampmill:host` only"),
    ] {
        let error = refused(&with_section(&hollow_step(import), &manifest("step", &STEP_PERMISSIONS))).await;
        assert!(matches!(error, LoadError::UnknownImport { .. }), "{error}");
        assert!(error.to_string().contains(import) && error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn another_version_of_the_contract_is_a_skew_that_names_interface_and_version() {
    let skewed = [hollow_step("stampmill:host/command@0.2.0"), hollow("", "stampmill:step/step@0.2.0")];
    for bytes in skewed {
        let error = refused(&with_section(&bytes, &manifest("step", &["command"]))).await;
        assert!(matches!(&error, LoadError::VersionSkew { needed, .. } if needed == "0.2.0"), "{error}");
        assert!(error.to_string().contains("test-step"), "{error}");
    }
    let error = refused(&with_section(&hollow_step("stampmill:host/artifacts@0.1.0"), &manifest("step", &[]))).await;
    assert!(matches!(error, LoadError::LaterImport { .. }), "{error}");
}

#[tokio::test]
async fn the_right_names_with_nothing_behind_them_do_not_fit() {
    let bytes = with_section(&hollow("", "stampmill:step/step@0.1.0"), &manifest("step", &[]));
    assert!(inspect(&bytes).is_ok());
    let error = runtime().load(&bytes).await.unwrap_err();
    assert!(matches!(error, LoadError::Mismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_schema_that_runs_in_circles_is_refused_before_it_is_used() {
    let circle =
        manifest("codebase-generator", &[]).replace("\"summary\"", r##""config-schema":{"$ref":"#"},"summary""##);
    let error = refused(&with_section(stampmill_guests::GENERATOR, &circle)).await;
    assert!(matches!(error, LoadError::BadSchema { .. }), "{error}");
}

#[tokio::test]
async fn the_import_list_is_the_permission_list() {
    let plugin = load(stampmill_guests::POLLER, "change-poller", &["http", "command"]).await;
    assert_eq!(plugin.imports(), ["stampmill:host/log@0.1.0", "stampmill:types/types@0.1.0"]);
    let imports = step().await.imports().join(" ");
    for permission in STEP_PERMISSIONS {
        assert!(imports.contains(&format!("stampmill:host/{permission}@0.1.0")));
    }
}

#[tokio::test]
async fn the_same_bytes_are_one_plugin_and_its_digest_is_theirs() {
    let bytes = with_section(stampmill_guests::GENERATOR, &manifest("codebase-generator", &[]));
    let (one, other) = tokio::join!(runtime().load(&bytes), runtime().load(&bytes));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(*one.digest(), Digest::of(&bytes));
}

#[tokio::test]
async fn a_configuration_is_held_against_the_plugins_schema() {
    let plugin = runtime().load(stampmill_guests::FILTER).await.unwrap();
    assert_eq!(plugin.check(&Use::new("c", json!("short"))), Ok(()));
    let refusal = plugin.check(&Use::new("c", json!(["main"]))).unwrap_err();
    let Refusal::Config { problems, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!((problems[0].pointer.as_str(), problems[0].value.as_str()), ("", "[\"main\"]"));
    assert!(refusal.to_string().contains("plugin `c-files`"), "{refusal}");
    assert!(plugin.start(Use::new("c", json!(7))).await.is_err(), "and starting looks again");
}

fn compiled(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    files
}

async fn codebase(runtime: &Runtime, bytes: &[u8]) -> Option<String> {
    let plugin = runtime.load(bytes).await.unwrap();
    let mut generator = plugin.start(Use::new("map", json!(null))).await.unwrap();
    let change = stampmill_runtime::SeenChange { repository: "x/app.git".to_owned(), ..Default::default() };
    generator.codebase_of(&change).await.unwrap()
}

#[tokio::test]
async fn a_compiled_component_is_kept_and_a_damaged_one_is_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("a/cache");
    let start = || Runtime::new(RuntimeOptions { cache: Some(cache.clone()) }).unwrap();
    let bytes = with_section(stampmill_guests::GENERATOR, &manifest("codebase-generator", &[]));

    assert_eq!(codebase(&start(), &bytes).await.as_deref(), Some("app"));
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let [file] = compiled(&cache).try_into().unwrap();
    assert!(file.file_name().unwrap().to_string_lossy().starts_with(&Digest::of(&bytes).to_string()));
    let written = fs::metadata(&file).unwrap().modified().unwrap();

    assert_eq!(codebase(&start(), &bytes).await.as_deref(), Some("app"));
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written, "it was mapped");

    let whole = fs::read(&file).unwrap();
    let mut turned = whole.clone();
    turned[whole.len() / 2] ^= 0xff;
    for damaged in [turned, whole[..whole.len() / 2].to_vec(), Vec::new(), b"not machine code".to_vec()] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(codebase(&start(), &bytes).await.as_deref(), Some("app"));
        assert_eq!(fs::read(&file).unwrap(), whole, "it was compiled and written again");
    }
}

#[tokio::test]
async fn a_cache_that_is_open_to_others_is_closed_and_one_that_is_no_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    Runtime::new(RuntimeOptions { cache: Some(open.clone()) }).unwrap();
    assert_eq!(fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o700);

    let elsewhere = directory.path().join("link");
    std::os::unix::fs::symlink(&open, &elsewhere).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [elsewhere, file] {
        let error = Runtime::new(RuntimeOptions { cache: Some(path) }).err().unwrap();
        assert!(matches!(error, RuntimeError::Cache { .. }), "{error}");
    }
}
