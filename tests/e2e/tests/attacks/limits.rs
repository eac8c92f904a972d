//! Attacks 15 and 16 (exhaustion): whatever a step takes without end, it is ended by a limit, the limit is named, and the next build is as if
//! nothing had been.

use std::fs;

use anyhow::ensure;
use serde_json::Value;
use stampmill_e2e::{Host, Place};

use super::house::{House, Plan, Seat, items, plain, step};

/// Small ones, so that reaching them takes no time. Each is a key of the workers' configuration.
const LIMITS: &str = "memory-bytes = 268435456\nprocesses = 64\nopen-files = 100\nfile-bytes = 8388608\nscratch-bytes = 16777216\n\
                      work-bytes = 33554432\nwork-files = 4000\noutput-bytes = 100000";

/// How a step ends.
struct Case {
    job: &'static str,
    script: &'static str,
    /// What else stands in the step's `config`.
    config: &'static str,
    /// What else stands in the step.
    more: &'static str,
    result: &'static str,
    /// The log that names the limit, and its words; an empty log is the step's summary.
    log: &'static str,
    words: &'static str,
}

const fn case(
    job: &'static str,
    script: &'static str,
    result: &'static str,
    log: &'static str,
    words: &'static str,
) -> Case {
    Case { job, script, config: "", more: "", result, log, words }
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            more: "timeout = \"1s\"\n",
            ..case("endless", "exec $H spin", "exception", "error", "step `endless` ran longer than 1 s")
        },
        Case {
            config: ", wall-timeout = \"1s\"",
            ..case("long", "echo begun; exec $H spin", "failure", "", "it ran longer than 1 s")
        },
        Case {
            config: ", silence-timeout = \"1s\"",
            ..case("silent", "exec $H sleep", "failure", "", "it wrote nothing for 1 s")
        },
        case("deep", "exec $H recurse", "failure", "", "killed by signal"),
        case("greedy", "exec $H eat 4096", "failure", "stdio", "an allocation was refused"),
        case(
            "greedy-together",
            "for i in 1 2 3 4; do $H eat 200 > /dev/null && exec $H sleep & done; for i in 1 2 3; do $H eat 200 & done; exec $H sleep",
            "failure",
            "",
            "it used more than 268435456 bytes of memory",
        ),
        case("many", "exec $H fork 10000", "failure", "stdio", "refused Resource temporarily unavailable"),
        case("files", "exec $H open 10000", "failure", "stdio", "refused Too many open files"),
        case("large", "exec head -c 9000000 /dev/zero > large", "failure", "", "killed by signal 25 (XFSZ)"),
        case("scratch", "exec head -c 20000000 /dev/zero > /tmp/large", "failure", "", "killed by signal 25 (XFSZ)"),
        case(
            "scratches",
            "for i in 1 2 3 4 5; do head -c 5000000 /dev/zero > /tmp/$i || exit 1; done",
            "failure",
            "stdio",
            "No space left on device",
        ),
        case(
            "full",
            "exec $H fill many 300",
            "exception",
            "error",
            "the work directory takes up more than 33554432 bytes of disk, which is the worker's `work-bytes`",
        ),
        case(
            "hidden",
            "$H fill closed/many 100 & until [ -e closed/many/99 ]; do :; done; chmod 000 closed; wait",
            "exception",
            "error",
            "takes up more than 33554432 bytes of disk",
        ),
        case(
            "littered",
            "exec $H litter many 100000",
            "exception",
            "error",
            "the work directory holds more than 4000 files, which is the worker's `work-files`",
        ),
        case(
            "buried",
            "$H dig 1500 > /dev/null; exec $H sleep",
            "exception",
            "error",
            "has paths longer than 3072 bytes, which is the most that the worker follows",
        ),
        case(
            "talkative",
            "exec $H lines 1000000",
            "success",
            "stdio",
            "[stampmill: the logs of this step are longer than 100000 bytes; the rest is cut]",
        ),
    ]
}

#[tokio::test]
async fn attack_15_each_limit_ends_what_reaches_it_and_is_named() -> anyhow::Result<()> {
    let cases = cases();
    let mut jobs: Vec<(&str, String)> = cases
        .iter()
        .map(|case| {
            let step = step(case.job, case.script, case.config, "]");
            (case.job, step.replace("plugin = \"shell\"\n", &format!("plugin = \"shell\"\n{}", case.more)))
        })
        .collect();
    jobs.push(("good", plain("work", "ls -A; echo works")));
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: LIMITS }).await?;
    let seats = house.seats.clone();
    let each = |seat| on_one_worker(&house, seat, &cases);
    match seats[..] {
        [one, other] => {
            tokio::try_join!(each(one), each(other))?;
        }
        _ => each(Seat::User).await?,
    }
    house.close().await
}

async fn on_one_worker(house: &House, seat: Seat, cases: &[Case]) -> anyhow::Result<()> {
    for case in cases {
        let build = house.build(case.job, seat).await?;
        let step = &build["steps"][0];
        ensure!(build["result"] == case.result, "{seat:?} {}: {build:#}", case.job);
        if case.log.is_empty() {
            let summary = step["summary"].as_str().unwrap_or_default();
            ensure!(summary.contains(case.words), "{seat:?} {}: {summary}", case.job);
            let page = house.host.text(&format!("/builds/{}", build["id"])).await?;
            let shown = page.replace("&lt;", "<").replace("&gt;", ">");
            ensure!(shown.contains(case.words), "{seat:?} {}: {shown}", case.job);
        } else {
            house.shows(&build, 0, case.log, case.words).await?;
        }
    }
    // What they held is free again.
    house.says("good", seat, 0, "success").await?;
    for emptied in ["full", "littered", "hidden", "buried"] {
        let left = fs::read_dir(house.work(seat, emptied))?.count();
        ensure!(left == 0, "{seat:?} {emptied}: {left} entries are left");
    }
    Ok(())
}

/// Many short builds are held to it as one long one is.
#[tokio::test]
async fn the_disk_of_a_work_directory_that_is_kept_is_measured_over_all_builds() -> anyhow::Result<()> {
    let more = "mkdir -p kept; n=$(ls kept | wc -l); head -c 6000000 /dev/zero > kept/$n; sleep 0.3; ls kept";
    let jobs = [("little", plain("add", more))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: LIMITS }).await?;
    for seat in house.seats.clone() {
        let mut results = Vec::new();
        for _ in 0..20 {
            let build = house.build("little", seat).await?;
            results.push(build["result"].clone());
            if build["result"] != "success" {
                house.shows(&build, 0, "error", "takes up more than 33554432 bytes of disk").await?;
                break;
            }
        }
        ensure!(results.len() > 5, "six of them are over the limit, and not fewer: {results:?}");
        ensure!(results.last().is_some_and(|last| last == "exception"), "{seat:?}: {results:?}");
        let log = house.says("little", seat, 0, "success").await?;
        ensure!(log.trim() == "0", "the next one begins with an empty directory: {log}");
    }
    house.close().await
}

/// The worker of `up` is the operator's too: its limits are in the host's own configuration.
#[tokio::test]
async fn the_operator_sets_the_limits_of_the_worker_that_up_starts() -> anyhow::Result<()> {
    let place = Place::new()?;
    let job = |name: &str, script: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\n[[job.step]]\nname = \"{name}\"\nplugin = \"shell\"\nconfig = {{ script = '''{script}''' }}\n\
             grant = {{ command = [\"/bin/sh\"] }}\n[[builder]]\nname = \"{name}\"\njob = \"{name}\"\n"
        )
    };
    let config = [
        "[limits]\nstep-disk = \"8MiB\"\nstep-file = \"4MiB\"\nstep-open-files = 50\nstep-output = \"1KiB\"\nstep-memory = \"1GiB\"\n\
         step-processes = 100\nstep-scratch = \"1MiB\"\nstep-disk-files = 1000\n[[worker]]\nname = \"local\"\n\
         [[scheduler]]\nname = \"by-hand\"\nkind = \"force\"\nbuilders = [\"disk\", \"shown\"]\n"
            .to_owned(),
        job("disk", "for i in 1 2 3 4; do head -c 3000000 /dev/zero > $i; done; sleep 60"),
        job("shown", "ulimit -n; ulimit -f; ulimit -d; df -k /tmp | tail -1; seq 1000"),
    ];
    let host = Host::up(place.path(), &config.concat()).await?;
    let build = forced(&host, "disk").await?;
    ensure!(build["result"] == "exception", "{build:#}");
    let summary = build["steps"][0]["summary"].as_str().unwrap_or_default();
    ensure!(summary.contains("more than 8388608 bytes of disk"), "{build:#}");
    let build = forced(&host, "shown").await?;
    let log = host.text(&format!("/api/v1/builds/{}/steps/0/logs/stdio", build["id"])).await?;
    let said: Vec<&str> = log.lines().take(4).collect();
    // The shell counts files in blocks of 512 bytes and memory in KiB.
    ensure!(said.first() == Some(&"50") && said.get(1) == Some(&"8192") && said.get(2) == Some(&"1048576"), "{log}");
    ensure!(said.get(3).is_some_and(|line| line.contains(" 1024 ")), "{log}");
    ensure!(log.contains("longer than 1024 bytes; the rest is cut"), "{log}");
    host.end(nix::sys::signal::Signal::SIGTERM).await?;
    Ok(())
}

async fn forced(host: &Host, builder: &str) -> anyhow::Result<Value> {
    let said = host.typed(&["force", builder, "--wait"]).await?;
    ensure!(said.code != 2, "{said:?}");
    let builds = host.get(&format!("/api/v1/builds?builder={builder}&limit=1")).await?;
    Ok(items(&builds)[0].clone())
}
