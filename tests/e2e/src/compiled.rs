//! Compiled plugins, kept from one test to the next. The host and its worker each keep their own below the data directory, under names made
//! of the plugin's digest and of all that machine code depends on, and check each file against its sum: a plugin that was built anew is simply
//! not among them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::host::stampmill;

/// Plugins kept; the oldest go when there are more, for they are of earlier builds.
const KEPT: usize = 100;

/// Where host and worker keep them below the data directory.
const CACHES: [&str; 2] = ["cache/components", "worker/compiled"];

/// Counts the names of files that are being written by this process.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

fn store() -> PathBuf {
    stampmill().with_file_name("e2e-compiled")
}

/// Gives a data directory what was compiled before. Without it everything works, only later.
pub fn give(data: &Path) {
    for cache in CACHES.map(|cache| data.join(cache)) {
        // What could not be copied is compiled.
        let _ = copy_plugins(&store(), &cache);
    }
}

/// Keeps what was compiled below a data directory.
pub fn keep(data: &Path) {
    for cache in CACHES.map(|cache| data.join(cache)) {
        let _ = copy_plugins(&cache, &store());
    }
    let _ = forget_oldest(&store());
}

fn copy_plugins(from: &Path, to: &Path) -> io::Result<()> {
    let sums: Vec<PathBuf> = sums(from)?;
    // The program refuses a cache that others can write.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for sum in sums {
        let Some(name) = sum.file_name() else { continue };
        if to.join(name).exists() {
            continue;
        }
        let code = sum.with_extension("cwasm");
        // The sum last, as the program does it: without it the other file is not looked at.
        for file in [code.as_path(), sum.as_path()] {
            let mut temporary = OsString::from(format!(".e2e-{}-", std::process::id()));
            temporary.push(TEMPORARY.fetch_add(1, Ordering::Relaxed).to_string());
            let temporary = to.join(temporary);
            let copied = fs::copy(file, &temporary)
                .and_then(|_| fs::rename(&temporary, to.join(file.file_name().unwrap_or_default())));
            if copied.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            copied?;
        }
    }
    Ok(())
}

fn sums(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut sums = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sum") {
            sums.push(path);
        }
    }
    Ok(sums)
}

fn forget_oldest(directory: &Path) -> io::Result<()> {
    let age = |path: &PathBuf| fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut sums = sums(directory)?;
    sums.sort_by_key(age);
    for sum in sums.iter().rev().skip(KEPT) {
        fs::remove_file(sum)?;
        fs::remove_file(sum.with_extension("cwasm"))?;
    }
    Ok(())
}
