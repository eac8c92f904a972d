//! Another time of day for a host and its worker: what the kernel's clock on the wall would say had somebody set it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A clock that is wrong by as much as its file says, which is read anew whenever a program asks for the time.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is right, in this directory; `None` where the library that fakes it is missing (Debian's package `libfaketime`).
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn new(directory: &Path) -> anyhow::Result<Option<Self>> {
        let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
        let libraries = places.iter().map(|place| Path::new(place).join("faketime/libfaketimeMT.so.1"));
        let Some(library) = libraries.into_iter().find(|library| library.exists()) else {
            println!("skipped: the package libfaketime is not installed");
            return Ok(None);
        };
        let clock = Self { library, file: directory.join("clock") };
        clock.put_forward(0)?;
        Ok(Some(clock))
    }

    /// What a program's environment must have for it to see this clock. The steady clock is never faked: the kernel does not set it either.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap_or_default()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap_or_default()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// Makes it wrong by so many seconds; less than none puts it back.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn put_forward(&self, seconds: i64) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}"))?;
        Ok(std::fs::rename(new, &self.file)?)
    }

    /// Sets it to so many seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        self.put_forward(seconds - i64::try_from(now.as_secs())?)
    }
}
