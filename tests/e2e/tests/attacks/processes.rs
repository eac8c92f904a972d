//! Attacks 3 and 16 (killing others): what a step starts ends with it, and it ends nobody else.

use std::path::Path;

use anyhow::ensure;
use stampmill_e2e::{Place, Repository};

use super::house::{CHECKOUT, House, Plan, plain, processes_with};

const MAPPED: &str = "[codebases]\nplugin = \"repository-map\"\nconfig = { \"PLACE/app.git\" = \"app\" }\n";

/// Says what an earlier build left, then leaves everything that there is a place for.
const PLANT: &str = r#"
echo "home: $(ls -A $HOME | tr '\n' ' ')"
echo "tmp: $(ls -A /tmp | grep left || echo clean)"
echo "shm: $(ls -A /dev/shm | tr '\n' ' ')"
echo "git: $(git config --global --list 2>/dev/null | tr '\n' ' ')"
echo "hooks: $(ls -A .git/hooks 2>/dev/null | tr '\n' ' ')"
echo "own: $(git config --file .git/config --list | grep -c evil || true)"
for file in $HOME/.npmrc $HOME/.bashrc $HOME/.profile /tmp/left /dev/shm/left; do echo planted > $file; done
printf '[core]\n\thooksPath = /build/evil\n\tfsmonitor = /build/evil/run\n' > $HOME/.gitconfig
mkdir -p evil .git/hooks .git/info
printf '#!/bin/sh\ntouch /build/PWNED\n' > evil/run
chmod +x evil/run
for hook in post-checkout reference-transaction post-index-change pre-auto-gc; do
  cp evil/run evil/$hook; cp evil/run .git/hooks/$hook
done
git config core.fsmonitor /build/evil/run
git config core.hooksPath /build/evil
git config filter.evil.smudge /build/evil/run
echo '* filter=evil' > .git/info/attributes
rm -f beat-*
( nohup setsid $H daemon /build/beat-nohup > /dev/null 2>&1 & )
$H daemon /build/beat-forked
until [ -s beat-nohup ]; do :; done
echo "both live"
"#;

fn beats(work: &Path) -> Vec<String> {
    ["beat-nohup", "beat-forked"]
        .iter()
        .map(|name| std::fs::read_to_string(work.join(name)).unwrap_or_default())
        .collect()
}

/// Attack 3: the self-hosted runners of PyTorch kept a process and files of one build for the next.
#[tokio::test]
async fn attack_3_daemons_die_with_their_step_and_what_was_planted_is_gone_in_the_next_build() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::named(place.path(), "app")?;
    ensure!(repository.bare == place.path().join("app.git"));
    let jobs = [("plant", format!("{CHECKOUT}{}", plain("plant", PLANT))), ("wait", plain("wait", "sleep 0.2"))];
    let house = House::open(place, Plan { jobs: &jobs, more: MAPPED.to_owned(), limits: "" }).await?;
    for seat in house.seats.clone() {
        house.says("plant", seat, 1, "success").await?;
        let work = house.work(seat, "plant");
        // The build has only just ended.
        let first = beats(&work);
        ensure!(first.iter().all(|beat| !beat.is_empty()), "they did live: {first:?}");
        ensure!(processes_with("/build/beat-").is_empty(), "{:?}", processes_with("/build/beat-"));
        house.says("wait", seat, 0, "success").await?;
        ensure!(beats(&work) == first, "{seat:?}: somebody counts on");

        let again = house.says("plant", seat, 1, "success").await?;
        for clean in ["home: ", "tmp: clean", "shm: ", "git: ", "hooks: ", "own: 0", "both live"] {
            ensure!(again.lines().any(|line| line == clean), "{seat:?}: `{clean}`: {again}");
        }
        ensure!(!work.join("PWNED").exists(), "{seat:?}: a planted program ran in the checkout");
    }
    house.close().await
}

/// Attack 16 (killing other processes).
#[tokio::test]
async fn attack_16_a_step_that_kills_everybody_kills_itself_alone() -> anyhow::Result<()> {
    let jobs = [
        ("sibling", plain("hold", "echo holding\nexec $H sleep")),
        ("killer", plain("kill", "exec $H kill-all")),
        ("good", plain("work", "echo works")),
    ];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    for seat in house.seats.clone() {
        let sibling = house.begin("sibling", seat, "holding").await?;
        let build = house.build("killer", seat).await?;
        house.shows(&build, 0, "stdio", "kill the first process").await?;
        let path = format!("/api/v1/builds/{}", sibling["id"]);
        let still = house.host.get(&path).await?;
        ensure!(still["state"] == "running", "{seat:?}: {still:#}");
        ensure!(house.says("good", seat, 0, "success").await?.contains("works"));
        house.cancel(&sibling).await?;
    }
    let ends = house.host.log().matches("is started again").count();
    ensure!(ends == 0, "no worker died: {}", house.host.log());
    house.close().await
}

/// Attacks 15 and 16 (exhaustion): while a step takes all that it gets, the queue goes on, on the same worker.
#[tokio::test]
async fn attack_15_a_fork_bomb_that_spins_holds_up_no_other_build() -> anyhow::Result<()> {
    let bomb = "for i in 1 2 3 4; do $H spin & done\n$H fork 10000 || true\necho bombed\nwait";
    let jobs = [("bomb", plain("bomb", bomb)), ("good", plain("work", "echo works"))];
    let limits = "processes = 64";
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits }).await?;
    for seat in house.seats.clone() {
        let bomb = house.begin("bomb", seat, "bombed").await?;
        house.shows(&bomb, 0, "stdio", "refused Resource temporarily unavailable").await?;
        for _ in 0..3 {
            house.says("good", seat, 0, "success").await?;
        }
        let still = house.host.get(&format!("/api/v1/builds/{}", bomb["id"])).await?;
        ensure!(still["state"] == "running", "{seat:?}: {still:#}");
        house.cancel(&bomb).await?;
        // The end of the build is told when nothing of it is left.
        let left = processes_with(&house.place.path().join("bin/hostile").display().to_string());
        ensure!(left.is_empty(), "{seat:?}: {left:?}");
    }
    house.close().await
}
