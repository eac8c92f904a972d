//! What a component may import and must export: the border between the plugin's world and ours, by name and version.

use crate::inspect::LoadError;
use crate::manifest::{Kind, Manifest, Permission};

/// Version of the packages that this host has. Within 0.1 a plugin may need this or an earlier patch.
pub(crate) const VERSION: Version = Version { major: 0, minor: 1, patch: 0 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        // One spelling only: an interface is linked by its name, in which `+0` and `00` are another one.
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| number.to_string() == text);
        let mut numbers = text.split('.').map(number);
        let version = Version { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? };
        numbers.next().is_none().then_some(version)
    }

    /// Whether a host that has `self` serves a plugin that needs `needed`. Below 1.0 the minor number is what breaks.
    fn serves(self, needed: Version) -> bool {
        self.major == needed.major
            && if self.major == 0 {
                self.minor == needed.minor && self.patch >= needed.patch
            } else {
                (self.minor, self.patch) >= (needed.minor, needed.patch)
            }
    }
}

/// Who may import an interface of `stampmill:host`.
enum Who {
    Everyone,
    Kinds(&'static [Kind]),
    Permitted(Permission),
    /// Named in the contract, served by a later release.
    Later,
}

fn who(interface: &str) -> Option<Who> {
    Some(match interface {
        "log" => Who::Everyone,
        "facts" => Who::Kinds(&[Kind::Step, Kind::Reporter]),
        "running-build" => Who::Kinds(&[Kind::Step]),
        "artifacts" | "more-steps" => Who::Later,
        name => Who::Permitted(name.parse().ok()?),
    })
}

/// The name of a package's interface, split: `stampmill:host/log@0.1.0`.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Name<'a>> {
        let (path, version) = text.split_once('@').unwrap_or((text, ""));
        let (package, interface) = path.split_once('/')?;
        Some(Name { package, interface, version })
    }
}

/// Checks one import against the manifest.
pub(crate) fn check_import(manifest: &Manifest, import: &str) -> Result<(), LoadError> {
    let unknown =
        || LoadError::UnknownImport { plugin: manifest.id.clone(), import: import.to_owned(), mend: mend_for(import) };
    let name = Name::parse(import).ok_or_else(unknown)?;
    let who = match (name.package, name.interface) {
        ("stampmill:types", "types") => Some(Who::Everyone),
        ("stampmill:host", interface) => who(interface),
        _ => return Err(unknown()),
    };
    check_version(manifest, import, name.version)?;
    match who.ok_or_else(unknown)? {
        Who::Everyone => Ok(()),
        Who::Kinds(kinds) if kinds.contains(&manifest.kind) => Ok(()),
        Who::Kinds(_) => Err(LoadError::ForbiddenImport {
            plugin: manifest.id.clone(),
            kind: manifest.kind,
            import: import.to_owned(),
        }),
        Who::Permitted(permission) if manifest.asks(permission) => Ok(()),
        Who::Permitted(permission) => {
            Err(LoadError::UndeclaredImport { plugin: manifest.id.clone(), import: import.to_owned(), permission })
        }
        Who::Later => Err(LoadError::LaterImport { plugin: manifest.id.clone(), import: import.to_owned() }),
    }
}

fn mend_for(import: &str) -> &'static str {
    if import.starts_with("wasi:") {
        "a plugin gets no WASI: build Rust for wasm32-unknown-unknown, Python and JavaScript with their tool's option to stub WASI"
    } else {
        "a plugin may import interfaces of `stampmill:host` only"
    }
}

fn check_version(manifest: &Manifest, interface: &str, version: &str) -> Result<(), LoadError> {
    match Version::parse(version) {
        Some(needed) if VERSION.serves(needed) => Ok(()),
        _ => Err(LoadError::VersionSkew {
            plugin: manifest.id.clone(),
            interface: interface.to_owned(),
            needed: version.to_owned(),
            have: format!("{}.{}.{}", VERSION.major, VERSION.minor, VERSION.patch),
        }),
    }
}

/// The interface that a plugin of this kind exports, without its version.
pub(crate) fn export_of(kind: Kind) -> &'static str {
    match kind {
        Kind::ChangePoller => "stampmill:change-source/poller",
        Kind::ChangeHook => "stampmill:change-source/hook",
        Kind::CodebaseGenerator => "stampmill:codebase/generator",
        Kind::SchedulerFilter => "stampmill:filter/filter",
        Kind::Merge => "stampmill:merge/merge",
        Kind::Step => "stampmill:step/step",
        Kind::Reporter => "stampmill:reporter/reporter",
    }
}

const CONFIGURABLE: &str = "stampmill:plugin/configurable";

/// Checks that what the kind needs is exported. More may be: some toolchains add exports of their own.
pub(crate) fn check_exports(manifest: &Manifest, exports: &[String]) -> Result<(), LoadError> {
    for needed in [export_of(manifest.kind), CONFIGURABLE] {
        let found = exports.iter().find_map(|export| {
            let (path, version) = export.split_once('@')?;
            (path == needed).then_some((export, version))
        });
        match found {
            Some((export, version)) => check_version(manifest, export, version)?,
            None => {
                return Err(LoadError::MissingExport {
                    plugin: manifest.id.clone(),
                    kind: manifest.kind,
                    missing: needed,
                    found: found_kinds(exports),
                });
            }
        }
    }
    Ok(())
}

/// What the component seems to be instead, for the message.
fn found_kinds(exports: &[String]) -> String {
    let kinds: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| exports.iter().any(|export| export.split('@').next() == Some(export_of(*kind))))
        .map(Kind::as_str)
        .collect();
    if kinds.is_empty() { "of no kind of plugin".to_owned() } else { format!("of {}", kinds.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(kind: Kind, permissions: &[Permission]) -> Manifest {
        Manifest {
            id: "p".to_owned(),
            version: "1".to_owned(),
            kind,
            summary: "s".to_owned(),
            permissions: permissions.to_vec(),
            config_schema: true.into(),
            examples: Vec::new(),
        }
    }

    #[test]
    fn every_permission_is_an_interface_that_only_its_asker_may_import() {
        for permission in Permission::ALL {
            let import = format!("stampmill:host/{permission}@0.1.0");
            assert!(check_import(&manifest(Kind::Step, &[permission]), &import).is_ok());
            let error = check_import(&manifest(Kind::Step, &[]), &import).unwrap_err();
            assert!(matches!(error, LoadError::UndeclaredImport { permission: found, .. } if found == permission));
        }
    }

    #[test]
    fn interfaces_of_a_later_release_and_of_other_kinds_are_refused_by_name() {
        let step = manifest(Kind::Step, &[]);
        for name in ["artifacts", "more-steps"] {
            let error = check_import(&step, &format!("stampmill:host/{name}@0.1.0")).unwrap_err();
            assert!(matches!(error, LoadError::LaterImport { .. }));
            assert!(error.to_string().contains(name));
        }
        let filter = manifest(Kind::SchedulerFilter, &[]);
        for name in ["facts", "running-build"] {
            let import = format!("stampmill:host/{name}@0.1.0");
            assert!(check_import(&step, &import).is_ok());
            assert!(matches!(check_import(&filter, &import), Err(LoadError::ForbiddenImport { .. })));
        }
    }

    #[test]
    fn another_version_is_a_skew_and_an_older_patch_is_none() {
        let step = manifest(Kind::Step, &[]);
        for version in ["0.2.0", "0.1.1", "1.0.0", "0.1", "0.1.+0", "00.1.0", "0.1.0.0", ""] {
            let error = check_import(&step, &format!("stampmill:host/log@{version}")).unwrap_err();
            assert!(matches!(error, LoadError::VersionSkew { .. }), "{version}");
        }
        let later = Version { major: 0, minor: 1, patch: 3 };
        assert!(later.serves(Version { major: 0, minor: 1, patch: 1 }));
    }

    #[test]
    fn names_outside_the_contract_are_refused() {
        let step = manifest(Kind::Step, &Permission::ALL);
        for import in [
            "wasi:cli/environment@0.2.6",
            "stampmill:host/root@0.1.0",
            "stampmill:step/step@0.1.0",
            "env",
            "stampmill:hosts/log@0.1.0",
        ] {
            assert!(matches!(check_import(&step, import), Err(LoadError::UnknownImport { .. })), "{import}");
        }
    }
}
