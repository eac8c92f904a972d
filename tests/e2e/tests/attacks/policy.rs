//! Attacks 7 and 17: what is in a repository is data. It becomes no command, and it changes nothing of what the operator decided.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use stampmill_e2e::{Host, Place, Repository};

use super::house::{CHECKOUT, House, Plan, Seat, items, plain};

const ANN: &str = "Ann <ann@example.org>";

/// A poller for the repository, and a build of every branch on each worker.
fn polled(jobs: &[&str], trusted: bool) -> String {
    let seats = if nix::unistd::geteuid().is_root() { vec!["root", "user"] } else { vec!["user"] };
    let builders: Vec<String> =
        seats.iter().flat_map(|seat| jobs.iter().map(move |job| format!("{job}-{seat}"))).collect();
    format!(
        "[[change-source]]\nname = \"app\"\nplugin = \"git-poller\"\nevery = \"1s\"\ntrusted = {trusted}\n\
         config = {{ repository = \"PLACE/app.git\" }}\ngrant = {{ command = [\"git\"], read = [\"PLACE/app.git\"] }}\n\
         [codebases]\nplugin = \"repository-map\"\nconfig = {{ \"PLACE/app.git\" = \"app\" }}\n\
         [[scheduler]]\nname = \"every\"\nkind = \"any-branch\"\ncodebases.app = {{ repository = \"PLACE/app.git\", branch = \"main\" }}\n\
         builders = {builders:?}\n"
    )
}

/// The build of a revision there.
async fn built(host: &Host, job: &str, seat: Seat, revision: &str) -> anyhow::Result<Value> {
    host.wait_for(&format!("/api/v1/builds?builder={job}-{}", seat.name()), |builds| {
        let of_revision = |build: &&Value| build["source_stamps"][0]["revision"] == revision;
        items(builds).iter().find(of_revision).filter(|build| build["state"] == "finished").cloned()
    })
    .await
}

/// Attack 7: a branch of Ultralytics had a name that a privileged script evaluated.
#[tokio::test]
async fn attack_7_names_from_a_repository_arrive_as_one_argument_or_value_each_and_run_nothing() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::named(place.path(), "app")?;
    let tell = "[[job.step]]\nname = \"tell\"\nplugin = \"shell\"\n\
                config = { command = [\"BIN/hostile\", \"arguments\", \"${{ src.app.branch }}\", \"${{ src.app.revision }}\"] }\n\
                grant = { command = [\"BIN/hostile\"], read = [\"BIN\"] }\n";
    let value = "[[job.step]]\nname = \"value\"\nplugin = \"shell\"\n\
                 config = { script = 'printf \"%s|\" \"$BRANCH\" *', environment = { BRANCH = \"${{ src.app.branch }}\" } }\n\
                 grant = { command = [\"/bin/sh\"] }\n";
    let jobs = [("tell", format!("{CHECKOUT}{tell}{value}"))];
    let house = House::open(place, Plan { jobs: &jobs, more: polled(&["tell"], true), limits: "" }).await?;
    house.host.polled("app").await?;
    let comment = "$(touch${IFS}pwned)\n\n`touch pwned`; touch pwned\n--upload-pack=touch pwned\n${{ src.app.branch }}";
    let author = "$(touch pwned) `touch pwned`;'x\"y <--upload-pack=touch${IFS}pwned@example.org>";
    let files = [
        ("$(touch pwned)", "x\n"),
        ("`touch pwned`", "x\n"),
        ("--upload-pack=touch pwned", "x\n"),
        ("a\nb;touch pwned", "x\n"),
    ];
    let branches =
        ["$(touch${IFS}pwned)", "`touch${IFS}pwned`", "a;touch${IFS}pwned", "a'b\"c|touch${IFS}pwned", "{{7+7}}"];
    let push = |branch: &'static str| -> anyhow::Result<(&str, String)> {
        // No branch holds a commit of another, which might then be the one that it is reported on.
        repository.git(&["checkout", "--quiet", "main"])?;
        let mut files = files.to_vec();
        files.push(("its-branch", branch));
        Ok((branch, repository.commit_on(branch, comment, files.as_slice(), author)?))
    };
    let pushed: Vec<_> = branches.into_iter().map(push).collect::<anyhow::Result<_>>()?;
    for (branch, revision) in pushed {
        for seat in house.seats.clone() {
            let build = built(&house.host, "tell", seat, &revision).await?;
            ensure!(build["result"] == "success", "{seat:?} {branch}: {build:#}");
            let said = house.log(&build, 1, "stdio").await?;
            let expected = format!("argument {branch:?}\nargument {revision:?}\n");
            ensure!(said == expected, "{seat:?}: {said}");
            let said = house.log(&build, 2, "stdio").await?;
            ensure!(said.starts_with(&format!("{branch}|")) && said.contains("$(touch pwned)|"), "{seat:?}: {said}");
        }
        let changes = house.host.get("/api/v1/changes").await?;
        let change =
            items(&changes).iter().find(|change| change["revision"] == revision.as_str()).context("it came")?;
        ensure!(
            change["comments"] == comment && change["author"] == author && change["branch"] == branch,
            "{change:#}"
        );
    }
    // Git's own commands make no such branches; whoever can write the files of a repository can.
    let head = repository.git(&["rev-parse", "HEAD"])?;
    for branch in ["--upload-pack=touch${IFS}pwned", "-oProxyCommand=touch${IFS}pwned"] {
        std::fs::write(repository.bare.join("refs/heads").join(branch), format!("{head}\n"))?;
        for seat in house.seats.clone() {
            let build = house.build_with("tell", seat, &[&format!("--branch={branch}")]).await?;
            ensure!(build["result"] == "exception", "{seat:?}: {build:#}");
            house.shows(&build, 0, "error", "is not a name of a git reference").await?;
        }
    }
    ensure!(named(house.place.path(), "pwned").is_empty(), "{:?}", named(house.place.path(), "pwned"));
    house.close().await
}

/// Paths below a directory with this very name.
fn named(directory: &Path, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What goes away meanwhile is not what is looked for.
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name() == name {
            found.push(entry.path().display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(named(&entry.path(), name));
        }
    }
    found
}

/// What a stranger puts into a repository in the hope that something reads it.
const POLICY: [(&str, &str); 7] = [
    (
        "stampmill.toml",
        "[secret.key]\nfile = \"key\"\n[limits]\nstep-disk = \"1TiB\"\n[[job]]\nname = \"open\"\n[[job.step]]\nname = \"more\"\nplugin = \"shell\"\n\
         config = { script = \"echo PWNED\", secret-environment = { KEY = \"key\" } }\n\
         grant = { command = [\"*\"], net = [\"*\"], read = [\"/\"], write = [\"/\"], secret = [\"key\"] }\n\
         [plugin.shell]\nfile = \"evil.wasm\"\n[[scheduler]]\nname = \"every\"\nkind = \"any-branch\"\npriority = 1000\nbuilders = [\"open\"]\n",
    ),
    ("stampmill.lock", "[plugin.shell]\ndigest = \"sha256:0000\"\n"),
    (".stampmill/job.toml", "[[job.step]]\nname = \"more\"\n"),
    (".stampmill.toml", "trusted = true\npriority = 1000\n"),
    (".github/workflows/ci.yml", "on: push\njobs: {}\n"),
    ("worker.toml", "[allow]\nnet = [\"*\"]\nread = [\"*\"]\n"),
    ("evil.wasm", "\0asm"),
];

/// Attack 17: a pull request that changes the definition by which it is judged.
#[tokio::test]
async fn attack_17_what_is_in_a_repository_changes_no_step_grant_secret_priority_or_plugin() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::named(place.path(), "app")?;
    std::fs::write(place.path().join("key"), "a-key-of-the-operators-4711\n")?;
    let secret = "[[job.step]]\nname = \"deploy\"\nplugin = \"shell\"\nalways-run = true\n\
                  config = { script = 'echo \"it is $KEY\"', secret-environment = { KEY = \"key\" } }\n\
                  grant = { command = [\"/bin/sh\"], secret = [\"key\"] }\n";
    let reach = plain(
        "reach",
        // Its own `/tmp` is not the machine's: what is written there is written nowhere.
        "head -1 stampmill.toml\nmkdir -p PLACE/data\nfor file in stampmill.toml stampmill.lock data/stampmill.redb data/stampmill.journal; do\n\
         cat stampmill.toml > PLACE/$file && echo \"written to its own $file\"; done\n",
    );
    let jobs = [("open", format!("{CHECKOUT}{reach}{secret}"))];
    let more = polled(&["open"], false) + "[secret.key]\nfile = \"key\"\n";
    let house = House::open(place, Plan { jobs: &jobs, more, limits: "" }).await?;
    house.host.polled("app").await?;
    let files = ["stampmill.toml", "stampmill.lock"].map(|name| house.place.path().join(name));
    let read = || files.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>();
    let (before, plugins, builders) =
        (read()?, house.host.get("/api/v1/plugins").await?, house.host.get("/api/v1/builders").await?);
    let plain = repository.commit("As usual", &[("a", "1\n")], ANN)?;
    let hostile = repository.commit("Change the rules", &POLICY, ANN)?;
    for seat in house.seats.clone() {
        let (plain, hostile) =
            (built(&house.host, "open", seat, &plain).await?, built(&house.host, "open", seat, &hostile).await?);
        let names = |build: &Value| {
            build["steps"].as_array().map(|steps| steps.iter().map(|step| step["name"].clone()).collect::<Vec<_>>())
        };
        ensure!(
            names(&plain) == names(&hostile) && names(&hostile).is_some_and(|names| names.len() == 3),
            "{hostile:#}"
        );
        let log = house.log(&hostile, 1, "stdio").await?;
        ensure!(log.contains("[secret.key]") && log.matches("written to its own").count() == 4, "{seat:?}: {log}");
        house.shows(&hostile, 2, "error", "no secret `key`").await?;
        let asked = |build: &Value| format!("/api/v1/requests/{}", build["request"]);
        let (first, second) = (house.host.get(&asked(&plain)).await?, house.host.get(&asked(&hostile)).await?);
        ensure!(first["priority"] == second["priority"], "{first:#} {second:#}");
    }
    ensure!(read()? == before);
    let said = house.host.typed(&["reload"]).await?;
    ensure!(said.code == 0, "{said:?}");
    ensure!(house.host.get("/api/v1/builders").await?["items"][0]["job"] == builders["items"][0]["job"]);
    ensure!(house.host.get("/api/v1/plugins").await? == plugins);
    house.close().await
}
