//! Host and workers are killed at random moments while commits come in; then an oracle that knows what was pushed looks at what came of it.
//!
//! `STAMPMILL_KILLS` says how many kills (30), `STAMPMILL_SEED` which; `STAMPMILL_KEEP` keeps the directory of a run that fails.

mod kill_loop {
    pub(crate) mod fleet;
    pub(crate) mod leftovers;
    pub(crate) mod oracle;
    pub(crate) mod pushing;
    pub(crate) mod receiver;
    pub(crate) mod witness;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kill_loop::fleet::{Fleet, Member, WORKERS};
use kill_loop::leftovers::nothing_is_left;
use kill_loop::oracle::{Evidence, Figures, logs_are_what_steps_wrote};
use kill_loop::pushing::{Pushed, Pusher};
use kill_loop::receiver::Receiver;
use kill_loop::witness::Witness;
use stampmill_e2e::{Place, Random, Repository};
use tokio_util::sync::CancellationToken;

/// Kills when nobody says how many.
const KILLS: u32 = 30;

/// Important commits that may be pushed and not built.
const AHEAD: usize = 4;

/// How long to wait for the moment that was drawn; after that any moment is as good.
const MOMENT: Duration = Duration::from_secs(4);

/// How long everything that is left to do may take in the end.
const SETTLED: Duration = Duration::from_secs(300);

/// Prints all parts of a commit, with pauses, so that there is something to be killed in.
pub(crate) const PRINT_ALL: &str = "for part in parts/*; do cat $part; sleep 0.1; done";

/// Prints one line.
pub(crate) const PRINT_ONE: &str = "cat one";

/// Moments of a kill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Moment {
    /// Right after the last start.
    Soon,
    /// Any.
    Whenever,
    /// A commit was pushed: it is seen, judged, stored and given to workers.
    Pushed,
    /// A step has begun and prints.
    Running,
    /// A step has just ended: the end of its build is handed in and stored.
    Ended,
    /// A report is being delivered.
    Reported,
}

const MOMENTS: [Moment; 6] =
    [Moment::Soon, Moment::Whenever, Moment::Pushed, Moment::Running, Moment::Ended, Moment::Reported];

/// What one kill hits: alone, or several at the same time.
const VICTIMS: [&[Member]; 8] = [
    &[Member::Host],
    &[Member::Host],
    &[Member::Host],
    &[Member::Worker(0)],
    &[Member::Worker(1)],
    &[Member::Host, Member::Worker(0)],
    &[Member::Worker(1), Member::Host],
    &[Member::Worker(0), Member::Host, Member::Worker(1)],
];

fn config(repository: &Repository, receiver: &Receiver, witness: &Witness) -> String {
    let repository = repository.bare.display();
    let (url, origin) = (&receiver.url, receiver.url.trim_end_matches("/report"));
    let writable = witness.directory();
    let native = |name: &str, work: &str| {
        let script = witness.around(work);
        format!(
            r#"
[[job]]
name = "{name}"
[[job.step]]
name = "checkout"
plugin = "git"
config = {{ codebase = "app" }}
grant = {{ command = ["git"], read = ["{repository}"] }}
[[job.step]]
name = "run"
plugin = "shell"
config = {{ environment = {{ BUILDER = "${{{{ build.builder }}}}", NUMBER = "${{{{ build.number }}}}", ATTEMPT = "${{{{ build.attempt }}}}", REVISION = "${{{{ src.app.revision }}}}" }}, script = '''
{script}
''' }}
grant = {{ command = ["/bin/sh"], write = ["{writable}"] }}
[[builder]]
name = "{name}"
job = "{name}"
merge = false
"#
        )
    };
    let scheduler = |name: &str, branch: &str, builders: &str, filter: &str| {
        format!(
            "[[scheduler]]\nname = \"{name}\"\nkind = \"single-branch\"\nbranch = \"{branch}\"\n\
             codebases.app = {{ repository = \"{repository}\", branch = \"{branch}\" }}\nbuilders = [{builders}]\n{filter}\n"
        )
    };
    [
        format!(
            r#"
[limits]
worker-lost-after = "10m"
build-attempts = 1000
report-attempts = 1000
retry-pause-most = "1s"
declined-for = "1s"
[[change-source]]
name = "app"
plugin = "git-poller"
every = "1s"
trusted = true
config = {{ repository = "{repository}", branches = ["main", "dev"] }}
grant = {{ command = ["git"], read = ["{repository}"] }}
[codebases]
plugin = "repository-map"
config = {{ "{repository}" = "app" }}
[[worker]]
name = "w0"
[[worker]]
name = "w1"
[[reporter]]
name = "told"
plugin = "webhook"
config = {{ url = "{url}" }}
grant = {{ http = ["{origin}"] }}
on = ["build-finished", "buildset-finished"]
[[job]]
name = "light"
[[job.step]]
name = "set"
plugin = "set-property"
config = {{ property = "built", value = "${{{{ src.app.revision }}}}" }}
[[builder]]
name = "light"
job = "light"
merge = false
isolation = "wasm-only"
"#
        ),
        scheduler(
            "code",
            "main",
            "\"chatty\", \"short\"",
            "filter = [{ plugin = \"path-filter\", config = { exclude = [\"docs/**\"] } }]",
        ),
        scheduler("everything", "main", "\"light\"", ""),
        scheduler("side", "dev", "\"side\"", ""),
        native("chatty", PRINT_ALL),
        native("short", PRINT_ONE),
        native("side", PRINT_ONE),
    ]
    .concat()
}

/// Everything that a kill can wait for.
struct Watching<'a> {
    witness: &'a Witness,
    receiver: &'a Receiver,
    pushed: &'a AtomicUsize,
}

impl Watching<'_> {
    /// Waits for a moment, and then a little.
    async fn wait(&self, moment: Moment, random: &mut Random) {
        let (begun, ended) = self.witness.counts();
        let (reports, pushed) = (self.receiver.count(), self.pushed.load(Ordering::SeqCst));
        let came = || match moment {
            Moment::Soon | Moment::Whenever => true,
            Moment::Pushed => self.pushed.load(Ordering::SeqCst) > pushed,
            Moment::Running => self.witness.counts().0 > begun,
            Moment::Ended => self.witness.counts().1 > ended,
            Moment::Reported => self.receiver.count() > reports,
        };
        let started = Instant::now();
        while !came() && started.elapsed() < MOMENT {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let most = match moment {
            Moment::Soon => 300,
            Moment::Whenever => 2_500,
            Moment::Pushed => 1_500,
            Moment::Running => 500,
            Moment::Ended => 50,
            Moment::Reported => 30,
        };
        tokio::time::sleep(Duration::from_micros(random.below(most * 1_000))).await;
    }
}

/// How often what was killed at which moment.
type Killed = BTreeMap<(Vec<Member>, Moment), u32>;

async fn kill_and_restart(
    fleet: &mut Fleet,
    watching: &Watching<'_>,
    random: &mut Random,
    kills: u32,
) -> anyhow::Result<Killed> {
    let mut killed = Killed::new();
    let mut done = 0;
    while done < kills {
        let moment = MOMENTS[random.below(MOMENTS.len() as u64) as usize];
        let victims = VICTIMS[random.below(VICTIMS.len() as u64) as usize];
        // Now and then the host dies while it starts; otherwise it would never come to anything.
        if moment != Moment::Soon {
            fleet.listening().await?;
        }
        watching.wait(moment, random).await;
        for victim in victims {
            fleet.kill(*victim).await?;
        }
        for victim in victims {
            let most = if random.percent(50) { 100 } else { 1_200 };
            tokio::time::sleep(Duration::from_millis(random.below(most))).await;
            fleet.restart(*victim)?;
        }
        done += u32::try_from(victims.len())?;
        *killed.entry((victims.to_vec(), moment)).or_default() += 1;
    }
    Ok(killed)
}

/// Waits until nothing is left to do, and looks at everything.
async fn settle(
    fleet: &Fleet,
    receiver: &Receiver,
    witness: &Witness,
    pushed: Vec<Pushed>,
) -> anyhow::Result<Evidence> {
    receiver.calm();
    let requests: usize = pushed.iter().map(|pushed| pushed.builders.len()).sum();
    let started = Instant::now();
    loop {
        let found = look(fleet, receiver, witness, pushed.clone()).await;
        let late = started.elapsed() > SETTLED;
        match found {
            Ok(evidence) if is_settled(&evidence, requests) => return Ok(evidence),
            Ok(evidence) if late => {
                let open = |list: &[serde_json::Value], done: &str| {
                    list.iter().filter(|item| item["state"] != done).map(|item| format!("{item}\n")).collect::<String>()
                };
                bail!(
                    "it never came to rest: {} of {} changes, {} of {requests} requests; open requests:\n{}open builds:\n{}workers: {}",
                    evidence.changes.len(),
                    evidence.pushed.len(),
                    evidence.requests.len(),
                    open(&evidence.requests, "complete"),
                    open(&evidence.builds, "finished"),
                    fleet.get("/api/v1/workers").await?,
                );
            }
            Err(error) if late => return Err(error.context("nothing can be asked")),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
}

async fn look(fleet: &Fleet, receiver: &Receiver, witness: &Witness, pushed: Vec<Pushed>) -> anyhow::Result<Evidence> {
    Ok(Evidence {
        pushed,
        changes: fleet.list("/api/v1/changes").await?,
        requests: fleet.list("/api/v1/requests").await?,
        builds: fleet.list("/api/v1/builds").await?,
        buildsets: fleet.list("/api/v1/buildsets").await?,
        runs: witness.runs()?,
        deliveries: receiver.deliveries(),
    })
}

fn is_settled(evidence: &Evidence, requests: usize) -> bool {
    let taken = |event: &str| {
        let of_event = evidence.deliveries.iter().filter(|delivery| delivery.taken && delivery.body["event"] == event);
        of_event.map(|delivery| &delivery.id).collect::<std::collections::BTreeSet<_>>().len()
    };
    evidence.changes.len() >= evidence.pushed.len()
        && evidence.changes.iter().all(|change| change["decided"] == true)
        && evidence.requests.len() >= requests
        && evidence.requests.iter().all(|request| request["state"] == "complete")
        && evidence.builds.iter().all(|build| build["state"] == "finished")
        && taken("build-finished") >= evidence.builds.len()
        && taken("buildset-finished") >= evidence.buildsets.len()
}

async fn run(place: &Place, kills: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut random = Random::seeded();
    let witness = Witness::make(place.path())?;
    let repository = Repository::make(place.path())?;
    let receiver = Arc::new(Receiver::start(random.fork()).await?);
    let config = config(&repository, &receiver, &witness);
    let mut pusher = Pusher::new(repository, random.fork());
    pusher.begin()?;
    let allow = "command = [\"*\"]\nread = [\"*\"]\nwrite = [\"*\"]";
    let mut fleet = Fleet::start(place.path(), &config, allow).await?;
    until_polled(&fleet).await?;

    let (stop, count) = (CancellationToken::new(), pusher.count());
    let told = Arc::clone(&receiver);
    let may = move |important: usize| important < told.succeeded("chatty") + AHEAD;
    let pushing = tokio::spawn(pusher.run(stop.clone(), may));
    let watching = Watching { witness: &witness, receiver: &receiver, pushed: &count };
    let killed = kill_and_restart(&mut fleet, &watching, &mut random, kills).await;
    let killing = started.elapsed();
    stop.cancel();
    let pushed = pushing.await??;
    let checked = async {
        let killed = killed?;
        let evidence = settle(&fleet, &receiver, &witness, pushed).await?;
        let mut figures = evidence.hold()?;
        figures.log_bytes = logs_are_what_steps_wrote(&fleet, &evidence).await?;
        let dead = fleet.get("/api/v1/notices").await;
        ensure!(
            dead.as_ref().map_or(true, |dead| dead["items"] == serde_json::json!([])),
            "reports were given up: {dead:?}"
        );
        for number in 0..WORKERS.len() {
            fleet.end(Member::Worker(number)).await?;
        }
        fleet.end(Member::Host).await?;
        nothing_is_left(place.path(), fleet.group.as_ref())?;
        anyhow::Ok((killed, figures))
    }
    .await;
    let (killed, figures) = checked.inspect_err(|_| eprintln!("{}", fleet.log()))?;
    let Figures { commits, builds, retried, log_bytes, reports, deliveries } = figures;
    let line = serde_json::json!({
        "kills": kills, "killing_s": killing.as_secs(), "all_s": started.elapsed().as_secs(), "commits": commits,
        "builds": builds, "retried": retried, "log_bytes": log_bytes, "reports": reports, "deliveries": deliveries,
    });
    println!("{line}");
    for ((members, moment), times) in killed {
        println!("{times:4} times {members:?} at {moment:?}");
    }
    Ok(())
}

/// Waits until the poller knows where the branches are: what is pushed from now on is built.
async fn until_polled(fleet: &Fleet) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let sources = fleet.get("/api/v1/change-sources").await?;
        let source = &sources["items"][0];
        if source["next_poll_in_ms"].is_u64() && source["trouble"].is_null() {
            return Ok(());
        }
        ensure!(started.elapsed() < SETTLED, "it is never polled: {sources:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_whenever_each_commit_is_built_once_and_no_byte_of_a_log_is_lost() -> anyhow::Result<()> {
    let kills = match std::env::var("STAMPMILL_KILLS") {
        Ok(kills) => kills.parse().context("STAMPMILL_KILLS is a number")?,
        Err(_) => KILLS,
    };
    let place = Place::new()?;
    let result = run(&place, kills).await;
    if result.is_err() && std::env::var_os("STAMPMILL_KEEP").is_some() {
        eprintln!("kept: {}", place.path().display());
        std::mem::forget(place);
    }
    result
}
