//! What this machine can do without us: the least that a step, a commit and a log can cost.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use stampmill_sandbox::{Cgroups, Helper, Identity, Policy};

use crate::report::{Run, ms};

/// How often a process is started for one figure.
const SPAWNS: u32 = 50;
/// How often a file is synced for one figure.
const SYNCS: u32 = 50;
/// A user that no system gives to anyone, for the sandbox of a bench that runs as root.
const SANDBOX_ID: u32 = 60_321;

/// A plain process from start to end, in milliseconds.
pub(crate) fn plain_spawn() -> anyhow::Result<f64> {
    average(SPAWNS, || {
        let status = Command::new("true").stdin(Stdio::null()).status()?;
        ensure!(status.success());
        Ok(())
    })
}

/// The same in the sandbox that steps get.
pub(crate) fn sandboxed_spawn(place: &Path) -> anyhow::Result<f64> {
    let helper = Helper::this_program().with_cgroups(Cgroups::detect());
    let directory = place.join("floor");
    std::fs::create_dir_all(&directory)?;
    let identity = if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&directory, Some(SANDBOX_ID), Some(SANDBOX_ID))?;
        Identity::Ids { uid: SANDBOX_ID, gid: SANDBOX_ID }
    } else {
        Identity::Own
    };
    let policy = Policy::new(vec!["/bin/true".into()], directory, identity);
    average(SPAWNS, || {
        let mut running = stampmill_sandbox::spawn(&helper, &policy)?;
        let ending = running.wait()?;
        ensure!(matches!(ending.end, stampmill_sandbox::End::Exited(0)), "{ending:?}");
        Ok(())
    })
}

/// One small write with fsync, in milliseconds.
pub(crate) fn fsync(place: &Path) -> anyhow::Result<f64> {
    let mut file = File::create(place.join("synced"))?;
    average(SYNCS, || {
        file.write_all(&[7; 4096])?;
        Ok(file.sync_data()?)
    })
}

/// A command's output through a pipe into one zstd file, in MB/s.
pub(crate) fn pipe_into_zstd(place: &Path, script: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut pipe = child.stdout.take().context("standard output is piped")?;
    let mut encoder = zstd::Encoder::new(File::create(place.join("log.zst"))?, 1)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0_u64;
    loop {
        let count = pipe.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        encoder.write_all(&buffer[..count])?;
    }
    encoder.finish()?.sync_data()?;
    child.wait()?;
    Ok(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Puts what a build can't do without beside the figures of a run.
pub(crate) fn beside(run: &mut Run, place: &Path) -> anyhow::Result<()> {
    run.insert("floor_plain_spawn_ms", plain_spawn()?);
    run.insert("floor_sandboxed_spawn_ms", sandboxed_spawn(place)?);
    run.insert("floor_fsync_ms", fsync(place)?);
    Ok(())
}

fn average(times: u32, mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    once()?;
    let begun = Instant::now();
    for _ in 0..times {
        once()?;
    }
    Ok(ms(begun.elapsed()) / f64::from(times))
}
