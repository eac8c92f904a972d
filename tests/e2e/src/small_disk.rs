//! Small file systems that can be filled, made read-only and broken without harm.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Tells a test that was started again, in namespaces of its own, where its small disk is.
const INNER: &str = "STAMPMILL_E2E_SMALL_DISK";

/// Name of the file that takes all the room.
const FILLER: &str = "filler";

/// A file system in memory, of a few megabytes. It goes when it is dropped.
pub struct SmallDisk {
    path: PathBuf,
    /// Whether it was mounted by this process, which may mount it anew then.
    own: bool,
}

impl SmallDisk {
    /// Mounts one on a directory, which is made. An ordinary user can't: the test is run again as one who can, in namespaces of its own, and
    /// there is nothing left to do here (`None`); where the kernel refuses that too, that is said.
    ///
    /// # Errors
    /// When it can't be mounted, or the test that was run again has failed.
    pub fn at(path: &Path, test: &str, megabytes: u32) -> anyhow::Result<Option<Self>> {
        if let Some(inner) = std::env::var_os(INNER) {
            std::os::unix::fs::symlink(&inner, path)?;
            return Ok(Some(Self { path: inner.into(), own: false }));
        }
        if !nix::unistd::geteuid().is_root() {
            run_again(test, megabytes)?;
            return Ok(None);
        }
        fs::create_dir_all(path)?;
        let options = format!("size={megabytes}m,mode=0700");
        mount(Some("none"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .with_context(|| format!("can't mount on {}", path.display()))?;
        Ok(Some(Self { path: path.to_owned(), own: true }))
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// When it is not full in the end.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.path.join(FILLER))?;
        for piece in [vec![b'x'; 64 * 1024], vec![b'x'; 512], vec![b'x'; 1]] {
            loop {
                match filler.write(&piece) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path.join(FILLER))?)
    }

    /// Makes it read-only, or writable again, while nothing on it is open for writing. Answers whether it could be: in namespaces that the
    /// test does not own it can't.
    ///
    /// # Errors
    /// When something on it is open for writing.
    pub fn read_only(&self, read_only: bool) -> anyhow::Result<bool> {
        if self.own {
            let flags = if read_only { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
            mount(None::<&str>, &self.path, None::<&str>, flags, None::<&str>).context("can't mount it anew")?;
        }
        Ok(self.own)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.own {
            // What is still open on it keeps it until it is closed.
            let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        }
    }
}

/// Runs one test of this program in namespaces in which a file system can be mounted, as the user that runs this.
fn run_again(test: &str, megabytes: u32) -> anyhow::Result<()> {
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        println!("skipped: an ordinary user can't mount a file system here, and the kernel gives no user namespace");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let ids = format!("--map-user={} --map-group={}", nix::unistd::geteuid(), nix::unistd::getegid());
    let script = format!(
        "mount -t tmpfs -o size={megabytes}m,mode=0700 none \"$0\" && exec unshare --user {ids} \"$1\" --exact \"$2\" --nocapture"
    );
    let status = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(directory.path())
        .arg(std::env::current_exe()?)
        .arg(test)
        .env(INNER, directory.path())
        .status()
        .context("unshare can't be started")?;
    if !status.success() {
        bail!("{test} in namespaces of its own: {status}");
    }
    Ok(())
}

/// A file system in a file, which the kernel makes read-only when it comes upon an error. For root alone.
pub struct FragileDisk {
    path: PathBuf,
    image: PathBuf,
}

impl FragileDisk {
    /// Makes one and mounts it on a directory, which is made; `None` for an ordinary user, and where the kernel can't, which is said.
    ///
    /// # Errors
    /// When a file can't be made.
    pub fn at(path: &Path, image: &Path, megabytes: u64) -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can mount a file system from a file");
            return Ok(None);
        }
        fs::create_dir_all(path)?;
        File::create(image)?.set_len(megabytes * 1024 * 1024)?;
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).status();
        let disk = Self { path: path.to_owned(), image: image.to_owned() };
        if !made.is_ok_and(|status| status.success()) || disk.mount().is_err() {
            println!("skipped: there is no mkfs.ext4, or no loop device to mount with");
            return Ok(None);
        }
        Ok(Some(disk))
    }

    fn mount(&self) -> anyhow::Result<()> {
        let mut command = Command::new("mount");
        let status = command.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.path).status()?;
        if !status.success() {
            bail!("mount: {status}");
        }
        Ok(())
    }

    /// Lets the kernel find an error: from now on nothing can be written.
    ///
    /// # Errors
    /// When it can't be told so.
    pub fn fail(&self) -> anyhow::Result<()> {
        let mounts = fs::read_to_string("/proc/mounts")?;
        let mounted = |line: &&str| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == self.path);
        let line = mounts.lines().find(mounted).context("it is not mounted")?;
        let device = line.split(' ').next().and_then(|device| device.strip_prefix("/dev/")).context("no device")?;
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").context("no way to make it fail")
    }
}

impl Drop for FragileDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}
