//! A host with a worker that runs as root and one that runs as an ordinary user, and builds on each.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use stampmill_e2e::{Host, Place, compiled, stampmill};
use tokio::process::{Child, Command};

/// `nobody`: an ordinary user that every machine has.
const NOBODY: u32 = 65534;

/// Whose rights a worker has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seat {
    /// Root: its steps run as an id of their own.
    Root,
    /// An ordinary user: its steps run as the same one.
    User,
}

impl Seat {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }
}

/// What a house is made with.
pub(crate) struct Plan<'a> {
    /// Each job: its name, and its steps as they stand in the configuration. `BIN` in them is the directory with the hostile program, `PLACE`
    /// the test's own.
    pub(crate) jobs: &'a [(&'a str, String)],
    /// What else stands in the configuration.
    pub(crate) more: String,
    /// The limits in the workers' configuration.
    pub(crate) limits: &'a str,
}

/// It is running.
pub(crate) struct House {
    pub(crate) place: Place,
    pub(crate) host: Host,
    pub(crate) seats: Vec<Seat>,
    workers: Vec<Child>,
}

/// A step that runs a script with the hostile program as `$H`, and what else stands in its `config` and `grant`.
pub(crate) fn step(name: &str, script: &str, config: &str, grant: &str) -> String {
    format!(
        "[[job.step]]\nname = \"{name}\"\nplugin = \"shell\"\nconfig = {{ script = '''\nH=BIN/hostile\n{script}\n'''{config} }}\n\
         grant = {{ command = [\"/bin/sh\"], read = [\"BIN\"{grant} }}\n"
    )
}

/// A step with nothing more.
pub(crate) fn plain(name: &str, script: &str) -> String {
    step(name, script, "", "]")
}

/// A step `checkout` of the codebase `app`.
pub(crate) const CHECKOUT: &str = "[[job.step]]\nname = \"checkout\"\nplugin = \"git\"\nconfig = { codebase = \"app\" }\n\
                                   grant = { command = [\"git\"], read = [\"PLACE/app.git\"] }\n";

pub(crate) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

impl House {
    /// Begins with a place in which a test may already have put something.
    pub(crate) async fn open(place: Place, plan: Plan<'_>) -> anyhow::Result<Self> {
        let seats = match nix::unistd::geteuid().is_root() {
            true => vec![Seat::Root, Seat::User],
            false => {
                println!(
                    "skipped for root: the tests run as an ordinary user, the half for a worker that is root was not tried"
                );
                vec![Seat::User]
            }
        };
        fs::set_permissions(place.path(), Permissions::from_mode(0o755))?;
        let bin = place.path().join("bin");
        fs::create_dir(&bin)?;
        fs::copy(env!("CARGO_BIN_EXE_hostile"), bin.join("hostile"))?;
        fs::set_permissions(bin.join("hostile"), Permissions::from_mode(0o755))?;
        let config = config(&plan, &seats)
            .replace("BIN", &bin.display().to_string())
            .replace("PLACE", &place.path().display().to_string());
        fs::write(place.path().join("stampmill.toml"), config)?;
        let host = Host::start(place.path(), "host").await?;
        let mut house = Self { place, host, seats: seats.clone(), workers: Vec::new() };
        for seat in seats {
            house.take_seat(seat, plan.limits).await?;
        }
        house
            .host
            .wait_for("/api/v1/workers", |workers| {
                items(workers).iter().all(|worker| worker["state"] == "connected").then_some(())
            })
            .await?;
        Ok(house)
    }

    /// Starts a worker.
    async fn take_seat(&mut self, seat: Seat, limits: &str) -> anyhow::Result<()> {
        let name = seat.name();
        let said = self.host.typed(&["worker-token", name]).await?;
        ensure!(said.code == 0, "{said:?}");
        let home = self.place.path().join(name);
        compiled::give(&home);
        let state = self.state(seat);
        fs::create_dir_all(&state)?;
        fs::set_permissions(&state, Permissions::from_mode(0o700))?;
        let config = format!(
            "name = \"{name}\"\nhost = \"{}\"\ntoken = \"{}\"\nstate-dir = \"{}\"\nmax-builds = 3\n\
             [allow]\ncommand = [\"*\"]\nread = [\"*\"]\nnet = [\"*\"]\nhttp = [\"*\"]\nsecret = [\"*\"]\n[limits]\n{limits}\n",
            self.host.url,
            said.line(),
            state.display(),
        );
        let file = home.join("worker.toml");
        fs::write(&file, config)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        // Where any user may run it, whatever the permissions of the target directory are.
        let program = self.place.path().join("bin/stampmill");
        if !program.exists() && fs::hard_link(stampmill(), &program).is_err() {
            fs::copy(stampmill(), &program)?;
        }
        let log = fs::File::options().create(true).append(true).open(self.place.path().join("host.log"))?;
        let mut command = Command::new(program);
        command.arg("worker").arg("--config").arg(&file).current_dir(&home).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        if self.seats.contains(&Seat::Root) && seat == Seat::User {
            give_away(&home)?;
            command.uid(NOBODY).gid(NOBODY);
        }
        self.workers.push(command.spawn()?);
        Ok(())
    }

    /// The state directory of a worker.
    pub(crate) fn state(&self, seat: Seat) -> PathBuf {
        self.place.path().join(seat.name()).join("worker")
    }

    /// The work directory of a job there.
    pub(crate) fn work(&self, seat: Seat, job: &str) -> PathBuf {
        self.state(seat).join("builds").join(format!("{job}-{}", seat.name()))
    }

    /// The process ids of all workers and of the host.
    pub(crate) fn insiders(&self) -> Vec<u32> {
        self.workers.iter().filter_map(Child::id).chain([std::process::id()]).collect()
    }

    /// Ends the worker of a seat and starts it again.
    pub(crate) async fn restart(
        &mut self,
        seat: Seat,
        meanwhile: impl FnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let index = self.seats.iter().position(|found| *found == seat).context("it has a seat")?;
        let mut worker = self.workers.swap_remove(index);
        let id = worker.id().context("it runs")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
        worker.wait().await?;
        meanwhile(self)?;
        self.take_seat(seat, "").await?;
        let last = self.workers.len() - 1;
        self.workers.swap(index, last);
        Ok(())
    }

    /// Runs a job there to its end; answers the build.
    pub(crate) async fn build(&self, job: &str, seat: Seat) -> anyhow::Result<Value> {
        self.build_with(job, seat, &[]).await
    }

    /// As [`Self::build`], with more to say to `force`.
    pub(crate) async fn build_with(&self, job: &str, seat: Seat, more: &[&str]) -> anyhow::Result<Value> {
        let builder = format!("{job}-{}", seat.name());
        let mut typed = vec!["force", builder.as_str(), "--wait"];
        typed.extend(more);
        let said = self.host.typed(&typed).await?;
        // 0 to 4 are results of builds.
        ensure!((0..5).contains(&said.code) && said.code != 2, "{builder}: {said:?}");
        self.last(job, seat).await
    }

    /// Begins a build of a job there, and waits until the first step has said something; answers the build.
    pub(crate) async fn begin(&self, job: &str, seat: Seat, words: &str) -> anyhow::Result<Value> {
        let builder = format!("{job}-{}", seat.name());
        let said = self.host.typed(&["force", &builder]).await?;
        ensure!(said.code == 0, "{builder}: {said:?}");
        let running = |builds: &Value| items(builds).first().filter(|build| build["state"] == "running").cloned();
        let build = self.host.wait_for(&format!("/api/v1/builds?builder={builder}&limit=1"), running).await?;
        self.host
            .wait_for(&format!("/api/v1/builds/{}", build["id"]), |found| {
                (found["steps"][0]["logs"].as_array().is_some_and(|logs| !logs.is_empty())).then_some(())
            })
            .await?;
        let mut log = String::new();
        for _ in 0..2_000 {
            log = self.log(&build, 0, "stdio").await?;
            if log.contains(words) {
                return Ok(build);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::bail!("{builder} never said `{words}`: {log}")
    }

    /// Cancels a build and waits until it has ended.
    pub(crate) async fn cancel(&self, build: &Value) -> anyhow::Result<()> {
        let name = format!("{}/{}", build["builder"].as_str().context("a name")?, build["number"]);
        let said = self.host.typed(&["cancel", &name]).await?;
        ensure!(said.code == 0, "{said:?}");
        let ended = |build: &Value| (build["state"] == "finished").then_some(());
        self.host.wait_for(&format!("/api/v1/builds/{}", build["id"]), ended).await
    }

    /// The newest build of a job there.
    pub(crate) async fn last(&self, job: &str, seat: Seat) -> anyhow::Result<Value> {
        let builds = self.host.get(&format!("/api/v1/builds?builder={job}-{}&limit=1", seat.name())).await?;
        items(&builds).first().cloned().context("there is a build")
    }

    /// What is in a log of a build.
    pub(crate) async fn log(&self, build: &Value, step: u32, log: &str) -> anyhow::Result<String> {
        self.host.text(&format!("/api/v1/builds/{}/steps/{step}/logs/{log}", build["id"])).await
    }

    /// Runs a job there, expects its result, and answers the log of the step of this number.
    pub(crate) async fn says(&self, job: &str, seat: Seat, step: u32, result: &str) -> anyhow::Result<String> {
        let build = self.build(job, seat).await?;
        let log = self.log(&build, step, "stdio").await?;
        ensure!(build["result"] == result, "{job} for {seat:?} is not a {result}: {build:#}\n{log}");
        Ok(log)
    }

    /// That the page of a build and the log of its step say what was refused or which limit was reached.
    pub(crate) async fn shows(&self, build: &Value, step: u32, log: &str, words: &str) -> anyhow::Result<()> {
        let said = self.log(build, step, log).await?;
        ensure!(said.contains(words), "the log `{log}` does not say `{words}`: {said}\n{build:#}");
        let page = self.host.text(&format!("/builds/{}", build["id"])).await?;
        let link = format!("/builds/{}/steps/{step}/logs/{log}", build["id"]);
        ensure!(page.contains(&link), "the build's page does not lead to {link}");
        Ok(())
    }

    /// Ends everything.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            worker.start_kill()?;
            worker.wait().await?;
        }
        for seat in &self.seats {
            compiled::keep(&self.place.path().join(seat.name()));
        }
        ensure!(self.host.end(Signal::SIGTERM).await?.success());
        Ok(())
    }
}

fn config(plan: &Plan<'_>, seats: &[Seat]) -> String {
    let mut text = String::new();
    let mut builders = Vec::new();
    for (job, steps) in plan.jobs {
        let _ = writeln!(text, "[[job]]\nname = \"{job}\"\n{steps}");
        for seat in seats.iter().map(|seat| seat.name()) {
            let _ = writeln!(
                text,
                "[[builder]]\nname = \"{job}-{seat}\"\njob = \"{job}\"\nworkers = {{ names = [\"{seat}\"] }}"
            );
            builders.push(format!("{job}-{seat}"));
        }
    }
    for seat in seats {
        let _ = writeln!(text, "[[worker]]\nname = \"{}\"", seat.name());
    }
    let codebases = match plan.more.contains("[codebases]") {
        true => "codebases.app = { repository = \"PLACE/app.git\", branch = \"main\" }\n",
        false => "",
    };
    let _ = writeln!(text, "[[scheduler]]\nname = \"by-hand\"\nkind = \"force\"\n{codebases}builders = {builders:?}");
    text + &plan.more
}

fn give_away(path: &Path) -> anyhow::Result<()> {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path())?;
        }
    }
    Ok(())
}

/// Files below a directory in which one of these texts stands.
pub(crate) fn with_a_text(directory: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let holds = |bytes: &[u8]| texts.iter().any(|text| bytes.windows(text.len()).any(|part| part == text.as_bytes()));
    // What goes away meanwhile is not what is looked for.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(with_a_text(&path, texts)),
            Ok(kind) if kind.is_file() && holds(&fs::read(&path).unwrap_or_default()) => {
                found.push(path.display().to_string());
            }
            _ => {}
        }
    }
    found
}

/// Processes of the machine whose command line has this text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&OsStr> = command.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
        if words.iter().any(|word| word.as_bytes().windows(text.len()).any(|part| part == text.as_bytes())) {
            found.push(format!("{} {words:?}", entry.path().display()));
        }
    }
    found
}
