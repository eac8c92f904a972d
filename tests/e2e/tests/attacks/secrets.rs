//! Attacks 1, 2 and 16 (credentials): what a step can learn that was not given to it.

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stampmill_e2e::Place;

use super::house::{House, Plan, Seat, plain, step, with_a_text};

/// Three secrets: each begins with a mark that the hostile program looks for, and says its name.
const SECRETS: [(&str, &str); 3] = [
    ("alpha", "smsec-alpha-4711c0ffee+/x"),
    ("beta", "smsec-beta-0815deadbeef"),
    ("gamma", "smsec-gamma-1234567890abc"),
];

fn secrets(place: &Place) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, value) in SECRETS {
        std::fs::write(place.path().join(name), format!("{value}\n"))?;
        text += &format!("[secret.{name}]\nfile = \"{name}\"\n");
    }
    Ok(text)
}

/// Attack 1: the payload of CVE-2025-30066 and CVE-2025-30154.
#[tokio::test]
async fn attack_1_no_process_in_reach_holds_a_secret_that_the_step_does_not_name() -> anyhow::Result<()> {
    let place = Place::new()?;
    let more = secrets(&place)?;
    let everything = "$H scan sm sec\n$H become-root\n$H pry $TOLD\n$H encode ALPHA 2>&1 || true";
    let told = ", environment = { TOLD = \"${{ props.told }}\" }";
    let named = format!("{told}, secret-environment = {{ ALPHA = \"alpha\" }}");
    let others = ", secret-environment = { BETA = \"beta\", GAMMA = \"gamma\" }, secret-files = { FILE = \"alpha\" }";
    let jobs = [
        ("named", step("spy", everything, &named, "], secret = [\"alpha\"]")),
        ("bare", step("spy", everything, told, "]")),
        (
            "sibling",
            step("hold", "echo holding\nexec $H sleep", others, "], secret = [\"alpha\", \"beta\", \"gamma\"]"),
        ),
    ];
    let house = House::open(place, Plan { jobs: &jobs, more, limits: "" }).await?;
    let told: Vec<String> = house.insiders().iter().map(u32::to_string).collect();
    let told = format!("told={}", told.join(" "));
    for seat in house.seats.clone() {
        // The same worker holds all three at this moment, for a step with the same kernel id.
        let sibling = house.begin("sibling", seat, "holding").await?;
        for (job, expected) in [("named", vec!["alpha"]), ("bare", vec![])] {
            let build = house.build_with(job, seat, &["-p", &told]).await?;
            let log = house.log(&build, 0, "stdio").await?;
            ensure!(build["result"] == "success", "{seat:?} {job}: {build:#}\n{log}");
            finds_only(&log, &expected)?;
            house.shows(&build, 0, "stdio", "mem of process 1: refused").await?;
            house.shows(&build, 0, "stdio", "told ptrace: refused").await?;
        }
        house.cancel(&sibling).await?;
        let values = SECRETS.map(|(_, value)| value);
        for place in [house.state(seat), house.place.path().join("data")] {
            let kept = with_a_text(&place, &values);
            ensure!(kept.is_empty(), "{seat:?}: secrets were left in {kept:?}");
        }
    }
    ensure!(with_a_text(&house.place.path().join("data"), &["smsec-"]).is_empty());
    house.close().await
}

/// What the hostile program printed: it found these secrets, and got into nothing.
fn finds_only(log: &str, expected: &[&str]) -> anyhow::Result<()> {
    for (name, _) in SECRETS {
        // In itself: so the search does find what is there.
        let found = log.contains(&format!("found {name} in myself"));
        ensure!(found == expected.contains(&name), "{name}: {log}");
        let elsewhere = log.contains(&format!("found {name} in another process"));
        ensure!(!elsewhere || expected.contains(&name), "{name}: {log}");
    }
    for over in ["the scan is over", "the prying is over"] {
        ensure!(log.contains(over), "{over}: {log}");
    }
    for line in
        ["environ of process 1: refused", "mem of process 1: refused", "first mem: refused", "told mem: refused"]
    {
        ensure!(log.contains(line), "{line}: {log}");
    }
    for way in ["ptrace", "process_vm_readv", "pidfd_getfd"] {
        for who in ["told", "first"] {
            ensure!(log.contains(&format!("{who} {way}: refused")), "{who} {way}: {log}");
        }
    }
    ensure!(!log.contains("DONE"), "something worked: {log}");
    let count = log.lines().find_map(|line| line.strip_suffix(" processes can be named")?.parse::<u32>().ok());
    ensure!(count.is_some_and(|count| count < 10), "it can name processes of others: {count:?} {log}");
    for line in ["CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1"] {
        ensure!(log.contains(line), "{line}: {log}");
    }
    Ok(())
}

/// Attack 1: the second half of the payload printed what it had found, encoded twice.
#[tokio::test]
async fn attack_1_a_secret_is_masked_in_every_form_that_is_said_and_in_no_other() -> anyhow::Result<()> {
    let place = Place::new()?;
    let more = secrets(&place)?;
    let given = ", secret-environment = { ALPHA = \"alpha\" }";
    let jobs = [("named", step("tell", "exec $H encode ALPHA", given, "], secret = [\"alpha\"]"))];
    let house = House::open(place, Plan { jobs: &jobs, more, limits: "" }).await?;
    let secret = SECRETS[0].1;
    for seat in house.seats.clone() {
        let log = house.says("named", seat, 0, "success").await?;
        for form in ["plain", "base64", "base64 twice", "hexadecimal", "percent", "in pieces"] {
            ensure!(log.lines().any(|line| line == format!("{form} ***")), "{form}: {log}");
        }
        let wrapped = log.lines().find(|line| line.starts_with("base64 with its line end twice"));
        ensure!(wrapped.is_some_and(|line| line.contains("***")), "{log}");
        let within = log.lines().find_map(|line| line.strip_prefix("base64 within ")).unwrap_or_default();
        ensure!(within.contains("***"), "{log}");
        // What is left of it are the letters that also depend on its surroundings.
        let left = within.replace("***", "");
        ensure!(left.len() <= STANDARD.encode("token=&more=1").len() + 4, "{log}");
        // The guide says that any other form is let through.
        let reversed: String = secret.chars().rev().collect();
        ensure!(log.contains(&format!("reversed {reversed}")), "the guide says otherwise: {log}");
    }
    house.close().await
}

/// Attack 2: the changed uploader sent away what it found in the environment.
#[tokio::test]
async fn attack_2_the_environment_of_a_step_is_what_was_declared_and_nothing_of_the_workers() -> anyhow::Result<()> {
    let job = "[[job.step]]\nname = \"tell\"\nplugin = \"shell\"\n\
               config = { command = [\"BIN/hostile\", \"environment\"], environment = { DECLARED = \"yes\" } }\n\
               grant = { command = [\"BIN/hostile\"], read = [\"BIN\"] }\n";
    let jobs = [("tell", job.to_owned())];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    for seat in house.seats.clone() {
        let log = house.says("tell", seat, 0, "success").await?;
        let variables: Vec<&str> = log.lines().collect();
        let path = variables.iter().find(|line| line.starts_with("variable PATH="));
        let expected =
            ["variable DECLARED=yes", "variable HOME=/home/stampmill", path.copied().unwrap_or("variable PATH=…")];
        ensure!(variables == expected, "{seat:?}: {log}");
    }
    house.close().await
}

/// Attacks 5 and 16 (data on the worker's disk): the worker's token and state, the host's data and other builds are not there.
#[tokio::test]
async fn attack_16_what_lies_on_the_workers_disk_is_not_in_a_step() -> anyhow::Result<()> {
    let look = "ls -A PLACE\nfor path in PLACE/data PLACE/data/admin.sock PLACE/stampmill.toml PLACE/root/worker.toml \
                PLACE/user/worker.toml PLACE/root/worker PLACE/user/worker /root /etc/shadow /proc/1/root/etc/shadow \
                /proc/1/cwd /home/other; do\n\
                if ls -d \"$path\" >/dev/null 2>&1 && cat \"$path\" >/dev/null 2>&1; then echo \"READ $path\"; \
                else echo \"refused $path\"; fi\ndone\n\
                touch /usr/planted /etc/planted /planted BIN/planted 2>&1 || true\n\
                echo written > ours; ls /build\n";
    let theirs = plain("write", "echo of another job > theirs");
    let jobs = [("theirs", theirs), ("look", plain("look", look))];
    let house = House::open(Place::new()?, Plan { jobs: &jobs, more: String::new(), limits: "" }).await?;
    for seat in house.seats.clone() {
        house.says("theirs", seat, 0, "success").await?;
        ensure!(house.work(seat, "theirs").join("theirs").exists(), "this is where it is");
        let build = house.build("look", seat).await?;
        house.shows(&build, 0, "stdio", "refused PLACE/data".replace("PLACE", &place_of(&house)).as_str()).await?;
        let log = house.log(&build, 0, "stdio").await?;
        ensure!(build["result"] == "success" && !log.contains("READ "), "{seat:?}: {log}");
        ensure!(log.lines().next() == Some("bin"), "only what was granted is there: {log}");
        ensure!(log.lines().last() == Some("ours"), "another job's directory is not this one's: {log}");
        ensure!(log.matches("planted").count() == 4, "each of them was refused: {log}");
    }
    for path in ["/usr/planted", "/etc/planted", "/planted"] {
        ensure!(!std::path::Path::new(path).exists(), "{path}");
    }
    ensure!(!house.place.path().join("bin/planted").exists());
    ensure!(house.seats.contains(&Seat::User));
    house.close().await
}

fn place_of(house: &House) -> String {
    house.place.path().display().to_string()
}
