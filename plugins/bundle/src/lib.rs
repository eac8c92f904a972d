//! The first-party plugins, carried inside the binary.
//!
//! It only carries them: it neither loads nor trusts them. They are components like any other, with the same manifest, and get nothing
//! that the operator does not grant.

/// A plugin in the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundled {
    /// The id in its manifest.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

static PLUGINS: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

/// All of them, in the order in which data flows.
pub fn plugins() -> &'static [Bundled] {
    PLUGINS
}

/// The one of this name.
pub fn plugin(name: &str) -> Option<&'static Bundled> {
    PLUGINS.iter().find(|plugin| plugin.name == name)
}
