//! Compiles packages of this workspace to WebAssembly components, from a build script.
//!
//! Not for plugins' authors, whose `cargo build --target wasm32-unknown-unknown` needs nothing of this: it lets an ordinary `cargo build` of
//! the server carry the first-party plugins, and lets tests carry their guests.
//!
//! All guests share one target directory, `guests` below the target directory in use. One in each `OUT_DIR` would compile everything anew
//! for every profile, for clippy, for check.

mod toolchain;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";

/// What cargo sets for a build script and a nested cargo must not take for its own: flags and wrappers of the outer build (clippy's above
/// all), its job server, its target.
const OUTER_BUILD: [&str; 12] = [
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "MAKEFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// A component that was built.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The package's name.
    pub package: String,
    /// The component, a copy of its own in `OUT_DIR`: the next nested build doesn't touch it.
    pub component: PathBuf,
}

/// Why guests could not be built; the text says what to type where there is something.
#[derive(Debug)]
pub struct GuestBuildError(String);

impl fmt::Display for GuestBuildError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for GuestBuildError {}

/// Builds these packages and tells cargo when to do it again. `workspace` is the directory of the workspace's `Cargo.toml`.
///
/// For build scripts only: it needs the variables that cargo sets for them.
pub fn build(workspace: &Path, packages: &[&str]) -> Result<Vec<Guest>, GuestBuildError> {
    let workspace =
        workspace.canonicalize().map_err(|error| GuestBuildError(format!("{}: {error}", workspace.display())))?;
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let target_dir = guests_dir(&workspace, &out_dir);
    for file in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "wit"] {
        println!("cargo::rerun-if-changed={}", workspace.join(file).display());
    }
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    ensure_target()?;
    for package in packages {
        run_cargo(&workspace, &target_dir, package)?;
    }
    let built = target_dir.join(TARGET).join(PROFILE);
    packages.iter().map(|package| collect(package, &built, &out_dir)).collect()
}

/// Adds the WebAssembly target to the toolchain in use if it is missing. Build scripts run side by side: a lock lets one of them do it.
///
/// For build scripts only, as [`build`], which calls it.
pub fn ensure_target() -> Result<(), GuestBuildError> {
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let path = target_root(&out_dir).unwrap_or(&out_dir).join("wasm-target.lock");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    let _until_it_is_there = lock.map_err(|error| GuestBuildError(format!("{}: {error}", path.display())))?;
    toolchain::ensure_target(TARGET)
}

/// Writes `pub static NAME: &[(&str, &[u8])]`-like source, for `include!`: `lines` makes one expression of each guest.
///
/// `{name}` in `entry` becomes the package's name without `prefix`, `{bytes}` an `include_bytes!` of the component.
pub fn write_table(guests: &[Guest], prefix: &str, entry: &str, file: &str) -> Result<(), GuestBuildError> {
    let mut source = String::from("&[\n");
    for guest in guests {
        let name = guest.package.strip_prefix(prefix).unwrap_or(&guest.package);
        let bytes = format!("include_bytes!({:?})", guest.component.display().to_string());
        let line = entry.replace("{name}", &format!("{name:?}")).replace("{bytes}", &bytes);
        source.push_str(&format!("    {line},\n"));
    }
    source.push_str("]\n");
    let path = Path::new(&variable("OUT_DIR")?).join(file);
    std::fs::write(&path, source).map_err(|error| GuestBuildError(format!("{}: {error}", path.display())))
}

fn variable(name: &str) -> Result<String, GuestBuildError> {
    std::env::var(name).map_err(|_| GuestBuildError(format!("{name} is not set: this is for build scripts")))
}

/// `guests` in the target directory of the build that is under way: the one that cargo marked, above `OUT_DIR`.
fn guests_dir(workspace: &Path, out_dir: &Path) -> PathBuf {
    target_root(out_dir).map_or_else(|| workspace.join("target"), Path::to_path_buf).join("guests")
}

fn target_root(out_dir: &Path) -> Option<&Path> {
    out_dir.ancestors().find(|above| above.join("CACHEDIR.TAG").is_file())
}

/// Builds the library of a package as a component and as nothing else: of one that is for Rust too there is no link-time optimisation.
fn run_cargo(workspace: &Path, target_dir: &Path, package: &str) -> Result<(), GuestBuildError> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["rustc", "--package", package, "--lib", "--crate-type", "cdylib"])
        .args(["--profile", PROFILE, "--target", TARGET, "--target-dir"])
        .arg(target_dir);
    for name in OUTER_BUILD {
        cargo.env_remove(name);
    }
    let output = cargo.output().map_err(|error| GuestBuildError(format!("cargo: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(GuestBuildError(format!("building {package} for {TARGET} failed ({}):\n{said}", output.status)))
}

/// Copies a component to `OUT_DIR`, and has cargo watch what it was made from.
fn collect(package: &str, built: &Path, out_dir: &Path) -> Result<Guest, GuestBuildError> {
    let stem = package.replace('-', "_");
    let made = built.join(format!("{stem}.wasm"));
    let component = out_dir.join(format!("{package}.wasm"));
    std::fs::copy(&made, &component)
        .map_err(|error| GuestBuildError(format!("{}: {error}; is package {package} a cdylib?", made.display())))?;
    let listing = built.join(format!("{stem}.d"));
    let text = std::fs::read_to_string(&listing)
        .map_err(|error| GuestBuildError(format!("{}: {error}", listing.display())))?;
    for source in dependencies(&text) {
        println!("cargo::rerun-if-changed={source}");
    }
    Ok(Guest { package: package.to_owned(), component })
}

/// The files on the right side of a dep-info file; a space in a name is written `\ `.
fn dependencies(text: &str) -> Vec<String> {
    let Some((_, sources)) = text.lines().next().unwrap_or_default().split_once(": ") else {
        return Vec::new();
    };
    let mut names = vec![String::new()];
    let mut chars = sources.chars();
    while let Some(c) = chars.next() {
        match (c, names.last_mut()) {
            ('\\', Some(name)) => name.extend(chars.next()),
            (' ', _) => names.push(String::new()),
            (_, Some(name)) => name.push(c),
            (_, None) => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_cargos_listing() {
        let text = "/t/a.wasm: /w/src/lib.rs /w/with\\ space/x.rs /w/build.rs\n\nmore\n";
        assert_eq!(dependencies(text), ["/w/src/lib.rs", "/w/with space/x.rs", "/w/build.rs"]);
        assert_eq!(dependencies(""), Vec::<String>::new());
    }

    #[test]
    fn guests_are_built_in_the_target_directory_that_cargo_marked() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let target = root.path().join("elsewhere");
        let out = target.join("debug/build/x-1/out");
        std::fs::create_dir_all(&out).expect("a directory");
        assert_eq!(guests_dir(Path::new("/w"), &out), Path::new("/w/target/guests"));
        std::fs::write(target.join("CACHEDIR.TAG"), "").expect("a file");
        assert_eq!(guests_dir(Path::new("/w"), &out), target.join("guests"));
    }
}
