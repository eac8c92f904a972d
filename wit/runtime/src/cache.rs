//! Compiled components on disk, mapped instead of compiled again. The directory belongs to this process's user and to nobody else: what lies
//! in it is machine code that gets run. A file that is not as it was written is compiled anew.

use std::fs::{self, DirBuilder};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::digest::Digest;
use crate::limits;

/// Counts the names of files that are being written in this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// The directory of compiled components.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Changes with wasmtime's version, its settings and the processor's features: what differs in any of these can't be mapped.
    compatibility: String,
}

impl Cache {
    pub(crate) fn open(directory: &Path, engine: &Engine) -> io::Result<Cache> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::symlink_metadata(directory)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("it is not a directory of its own"));
        }
        // Only the owner may change the mode, so this also refuses a directory that somebody else made.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        let probe = directory.join(temporary_name());
        let owner = write_new(&probe, b"").and_then(|()| fs::metadata(&probe)).map(|probe| probe.uid());
        let _ = fs::remove_file(&probe);
        if owner? != metadata.uid() {
            return Err(io::Error::other("it belongs to another user"));
        }
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatibility = hex::encode(&hasher.0.finalize()[..8]);
        Ok(Cache { directory: directory.to_owned(), compatibility })
    }

    /// A component that was stored before, as it was stored; anything else is a reason to compile.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        match self.map(engine, &path) {
            Ok(component) => {
                self.used(&path);
                Some(component)
            }
            Err(LoadFailure::Absent) => None,
            Err(LoadFailure::Damaged(why)) => {
                tracing::warn!(path = %path.display(), %why, "a compiled component is damaged and is compiled again");
                None
            }
        }
    }

    fn map(&self, engine: &Engine, path: &Path) -> Result<Component, LoadFailure> {
        let sum = match fs::read(path.with_extension("sum")) {
            Ok(sum) => sum,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadFailure::Absent),
            Err(error) => return Err(LoadFailure::Damaged(error.to_string())),
        };
        let bytes = fs::read(path).map_err(|error| LoadFailure::Damaged(error.to_string()))?;
        if hex::encode(Sha256::digest(&bytes)).as_bytes() != sum {
            return Err(LoadFailure::Damaged("its bytes are not those that were written".to_owned()));
        }
        drop(bytes);
        map_file(engine, path).map_err(|error| LoadFailure::Damaged(error.to_string()))
    }

    /// Keeps a compiled component. It is a cache: when the disk is full, the next start compiles again.
    pub(crate) fn store(&self, digest: &Digest, compiled: &[u8]) {
        let path = self.path(digest);
        let sum = hex::encode(Sha256::digest(compiled));
        // The sum last: without it the other file is not looked at.
        let stored = self.put(&path, compiled).and_then(|()| self.put(&path.with_extension("sum"), sum.as_bytes()));
        if let Err(error) = stored {
            tracing::warn!(path = %path.display(), %error, "a compiled component could not be kept");
        }
    }

    /// The time of the sum is when the component was last used.
    fn used(&self, path: &Path) {
        let sum = fs::OpenOptions::new().write(true).open(path.with_extension("sum"));
        if let Err(error) = sum.and_then(|sum| sum.set_modified(SystemTime::now())) {
            tracing::debug!(path = %path.display(), %error, "the use of a compiled component is not recorded");
        }
    }

    /// Removes what nobody has used for long, of this release and of others, but for those components. Files that are none of ours stay.
    pub(crate) fn drop_unused(&self, kept: &[Digest], now: SystemTime) {
        let kept: Vec<PathBuf> = kept.iter().map(|digest| self.path(digest)).collect();
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(path = %self.directory.display(), %error, "compiled components can't be listed");
                return;
            }
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(most) = longest_unused(&path) else { continue };
            let compiled = path.with_extension("cwasm");
            if kept.contains(&compiled) || unused_for(&path, now).is_none_or(|unused| unused < most) {
                continue;
            }
            // Without the sum the other file is not looked at. Another process may be at the same.
            let _ = fs::remove_file(path.with_extension("sum"));
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "a compiled component that nobody used is gone"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "an unused file can't be removed"),
            }
        }
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(temporary_name());
        let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{digest}-{}.cwasm", self.compatibility))
    }
}

enum LoadFailure {
    Absent,
    Damaged(String),
}

#[expect(unsafe_code, reason = "mapping machine code that this process's user compiled and nobody else can write")]
fn map_file(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: `path` is in the cache directory, which is mode 0700 and our user's own (checked when it was opened), so only this program has
    // written it, with the output of `Component::serialize` under a name with the engine's compatibility hash; its checksum was compared just
    // now. A file here is replaced by rename and never written in place, so the mapping doesn't change under us.
    unsafe { Component::deserialize_file(engine, path) }
}

/// How long a file of ours may lie unused; `None` for what is not ours, and for sums, which go with what they are the sums of.
fn longest_unused(path: &Path) -> Option<Duration> {
    let name = path.file_name()?.to_str()?;
    if name.starts_with('.') && name.ends_with(".tmp") {
        return Some(limits::COMPILED_BEGUN);
    }
    let (digest, rest) = name.strip_suffix(".cwasm")?.split_once('-')?;
    let ours =
        digest.len() == 64 && rest.len() == 16 && (digest.bytes().chain(rest.bytes())).all(|b| b.is_ascii_hexdigit());
    ours.then_some(limits::COMPILED_UNUSED)
}

/// Since when nobody used a file, by the newer of its own time and its sum's. A time in the future counts as now.
fn unused_for(path: &Path, now: SystemTime) -> Option<Duration> {
    let time = |path: &Path| fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    let used = [time(path), time(&path.with_extension("sum"))].into_iter().flatten().max()?;
    Some(now.duration_since(used).unwrap_or_default())
}

fn temporary_name() -> String {
    format!(".{}-{}.tmp", std::process::id(), TEMPORARY.fetch_add(1, Ordering::Relaxed))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// A hash that is the same in every process, which the standard one doesn't promise.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let sum = self.0.clone().finalize();
        u64::from_le_bytes([sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn cache() -> (tempfile::TempDir, Engine, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = Cache::open(directory.path(), &engine).unwrap();
        (directory, engine, cache)
    }

    /// Sets the time of a component's files, or of another file.
    fn age(path: &Path, days: u32) {
        for path in [path.to_owned(), path.with_extension("sum")] {
            if let Ok(file) = fs::OpenOptions::new().write(true).open(path) {
                file.set_modified(SystemTime::now() - DAY * days).unwrap();
            }
        }
    }

    #[test]
    fn what_nobody_used_for_a_month_goes_and_the_rest_stays() {
        let (directory, _, cache) = cache();
        let [old, kept, young] = [b"old", b"kpt", b"yng"].map(|bytes| Digest::of(bytes));
        for (digest, days) in [(&old, 31), (&kept, 31), (&young, 29)] {
            cache.store(digest, b"machine code");
            age(&cache.path(digest), days);
        }
        let other_release = directory.path().join(format!("{old}-{}.cwasm", "0".repeat(16)));
        let (begun, being_written) = (directory.path().join(".1-1.tmp"), directory.path().join(".1-2.tmp"));
        let foreign = directory.path().join("notes.txt");
        for (path, days) in [(&other_release, 31), (&begun, 2), (&being_written, 0), (&foreign, 400)] {
            fs::write(path, "x").unwrap();
            age(path, days);
        }
        cache.drop_unused(std::slice::from_ref(&kept), SystemTime::now());
        for gone in [&cache.path(&old), &cache.path(&old).with_extension("sum"), &other_release, &begun] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        for stays in
            [cache.path(&kept), cache.path(&kept).with_extension("sum"), cache.path(&young), being_written, foreign]
        {
            assert!(stays.exists(), "{}", stays.display());
        }
    }

    #[test]
    fn a_component_that_is_loaded_counts_as_used() {
        let (_directory, engine, cache) = cache();
        let component = Component::from_binary(&engine, &wat::parse_str("(component)").unwrap()).unwrap();
        let digest = Digest::of(b"it");
        cache.store(&digest, &component.serialize().unwrap());
        age(&cache.path(&digest), 31);
        assert!(cache.load(&engine, &digest).is_some());
        cache.drop_unused(&[], SystemTime::now());
        assert!(cache.load(&engine, &digest).is_some(), "it was used a moment ago");
        age(&cache.path(&digest), 31);
        cache.drop_unused(&[], SystemTime::now());
        assert!(cache.load(&engine, &digest).is_none(), "nobody used it since");
    }
}
