//! Reading a component without compiling it: its manifest, what it really imports and exports, and whether these agree.

use wasmparser::{Encoding, Parser, Payload};

use crate::config::ConfigSchema;
use crate::contract;
use crate::digest::Digest;
use crate::limits;
use crate::manifest::{Kind, MANIFEST_SECTION, Manifest, ManifestError, Permission};

/// What a component says about itself and what it really is, found to agree.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The name of its bytes.
    pub digest: Digest,
    /// What it says about itself.
    pub manifest: Manifest,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The interfaces and functions that it exports.
    pub exports: Vec<String>,
    /// Its size.
    pub bytes: u64,
}

/// Why a component was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than any plugin.
    #[error("the component has {bytes} bytes, and at most {limit} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// A WebAssembly module instead of a component.
    #[error(
        "this is a core WebAssembly module and not a component: link it with wasm-component-ld, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Something else.
    #[error("this is not a WebAssembly component: {why}")]
    NotAComponent {
        /// What was found.
        why: String,
    },
    /// A component that says nothing about itself.
    #[error("the component has no manifest: a custom section `{MANIFEST_SECTION}` is expected, which the SDK writes")]
    NoManifest,
    /// More than one manifest, saying different things.
    #[error("the component has {count} different manifests: link one plugin into one component")]
    ManyManifests {
        /// How many.
        count: usize,
    },
    /// A manifest that can't be read.
    #[error("the component's manifest is wrong: {0}")]
    BadManifest(#[source] ManifestError),
    /// A kind of plugin that this host doesn't know.
    #[error("the component's manifest is wrong: {0}")]
    UnknownKind(#[source] ManifestError),
    /// A schema that is none.
    #[error("plugin `{plugin}`: the schema of its configuration is wrong: {why}")]
    BadSchema {
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        why: String,
    },
    /// A permission that the kind never gets.
    #[error("plugin `{plugin}` asks for `{permission}`, and a {kind} may not: {}", may_ask(*kind))]
    ForbiddenPermission {
        /// The plugin.
        plugin: String,
        /// Its kind.
        kind: Kind,
        /// What it asks for.
        permission: Permission,
    },
    /// The component isn't what its manifest says.
    #[error("plugin `{plugin}` says it is a {kind} and does not export `{missing}`; its exports are those {found}")]
    MissingExport {
        /// The plugin.
        plugin: String,
        /// The kind in its manifest.
        kind: Kind,
        /// The interface that such a plugin exports.
        missing: &'static str,
        /// What it seems to be.
        found: String,
    },
    /// A capability that the manifest doesn't ask for.
    #[error(
        "plugin `{plugin}` imports `{import}` without asking for it: its manifest has to list the permission `{permission}`"
    )]
    UndeclaredImport {
        /// The plugin.
        plugin: String,
        /// The import.
        import: String,
        /// The permission that is missing.
        permission: Permission,
    },
    /// An interface for another kind of plugin.
    #[error("plugin `{plugin}` imports `{import}`, which a {kind} does not have")]
    ForbiddenImport {
        /// The plugin.
        plugin: String,
        /// Its kind.
        kind: Kind,
        /// The import.
        import: String,
    },
    /// An interface that is named in the contract and not yet served.
    #[error("plugin `{plugin}` imports `{import}`, which this release of the host does not have yet: a later one will")]
    LaterImport {
        /// The plugin.
        plugin: String,
        /// The import.
        import: String,
    },
    /// Another world than ours.
    #[error("plugin `{plugin}` imports `{import}`: {mend}")]
    UnknownImport {
        /// The plugin.
        plugin: String,
        /// The import.
        import: String,
        /// What its author can do.
        mend: &'static str,
    },
    /// Built for another version of the contract.
    #[error(
        "plugin `{plugin}` needs `{interface}` in version {needed}, and this host has {have}: use the plugin's build for {have}, or a host that has {needed}"
    )]
    VersionSkew {
        /// The plugin.
        plugin: String,
        /// The interface.
        interface: String,
        /// The version that it needs.
        needed: String,
        /// The version that is here.
        have: String,
    },
    /// Broken inside.
    #[error("plugin `{plugin}` does not compile: {why}")]
    Invalid {
        /// The plugin.
        plugin: String,
        /// The compiler's words.
        why: String,
    },
    /// The right names with other functions or types behind them.
    #[error("plugin `{plugin}` does not fit the contract: {why}; build it again with the SDK of this host's version")]
    Mismatch {
        /// The plugin.
        plugin: String,
        /// What doesn't fit.
        why: String,
    },
    /// Our own mistake.
    #[error("plugin `{plugin}` was not loaded because the compiler ended: {why}")]
    Internal {
        /// The plugin.
        plugin: String,
        /// What happened.
        why: String,
    },
}

fn may_ask(kind: Kind) -> String {
    match kind.may_ask() {
        [] => "it gets no capability at all".to_owned(),
        some => {
            let names: Vec<_> = some.iter().map(|permission| format!("`{permission}`")).collect();
            format!("it may ask for {}", names.join(", "))
        }
    }
}

/// Reads and checks a component without compiling it: what this takes can still fail to compile, nothing else.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    inspect_with_schema(bytes).map(|(inspection, _)| inspection)
}

pub(crate) fn inspect_with_schema(bytes: &[u8]) -> Result<(Inspection, ConfigSchema), LoadError> {
    if bytes.len() > limits::COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes: bytes.len(), limit: limits::COMPONENT_BYTES_MAX });
    }
    let outline = outline(bytes)?;
    let text = match outline.manifests.as_slice() {
        [] => return Err(LoadError::NoManifest),
        [one] => *one,
        many => return Err(LoadError::ManyManifests { count: many.len() }),
    };
    let manifest = Manifest::parse(text).map_err(|error| match error {
        ManifestError::Kind(_) => LoadError::UnknownKind(error),
        other => LoadError::BadManifest(other),
    })?;
    for permission in &manifest.permissions {
        if !manifest.kind.may_ask().contains(permission) {
            return Err(LoadError::ForbiddenPermission {
                plugin: manifest.id,
                kind: manifest.kind,
                permission: *permission,
            });
        }
    }
    contract::check_exports(&manifest, &outline.exports)?;
    for import in &outline.imports {
        contract::check_import(&manifest, import)?;
    }
    let schema = ConfigSchema::new(&manifest.config_schema)
        .map_err(|why| LoadError::BadSchema { plugin: manifest.id.clone(), why })?;
    let inspection = Inspection {
        digest: Digest::of(bytes),
        manifest,
        imports: outline.imports,
        exports: outline.exports,
        bytes: bytes.len() as u64,
    };
    Ok((inspection, schema))
}

#[derive(Default)]
struct Outline<'a> {
    /// Each text once: toolchains that wrap modules may carry the section twice.
    manifests: Vec<&'a [u8]>,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn outline(bytes: &[u8]) -> Result<Outline<'_>, LoadError> {
    check_header(bytes)?;
    let broken = |error: wasmparser::BinaryReaderError| not_a_component(&error.to_string());
    let mut outline = Outline::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(LoadError::CoreModule),
            Payload::Version { .. } => {
                depth += 1;
                if depth > limits::COMPONENT_DEPTH_MAX {
                    return Err(not_a_component("it is nested too deep"));
                }
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    outline.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    outline.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                if section.data().len() > limits::MANIFEST_BYTES_MAX {
                    return Err(LoadError::BadManifest(ManifestError::Value {
                        key: MANIFEST_SECTION,
                        value: format!("{} bytes", section.data().len()),
                        expected: "at most 256 KiB are expected",
                    }));
                }
                if !outline.manifests.contains(&section.data()) {
                    outline.manifests.push(section.data());
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes {
        [0x00, b'a', b's', b'm', 0x01, 0x00, 0x00, 0x00, ..] => Err(LoadError::CoreModule),
        [0x00, b'a', b's', b'm', ..] => Ok(()),
        [0x7f, b'E', b'L', b'F', ..] => Err(not_a_component("it is machine code, which is never loaded")),
        [] => Err(not_a_component("it is empty")),
        _ => Err(not_a_component("it does not begin with `\\0asm`")),
    }
}

fn not_a_component(why: &str) -> LoadError {
    LoadError::NotAComponent { why: why.to_owned() }
}
