//! Much that waits, and much that is configured.

use std::fmt::Write as _;
use std::time::Instant;

use super::builds::submit;
use super::start::asked;
use crate::farm::{Farm, Host, Place, Program};
use crate::report::{Report, Run, ms};

/// Requests of `pending`.
const PENDING: usize = 5_000;
/// Projects of `projects`, with so many builders each.
const PROJECTS: usize = 500;
const BUILDERS: usize = 4;

/// The host starts with much that waits; a worker starts once it listens.
pub(crate) async fn pending(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut farm = Farm::without_workers(program, 1, 1).await?;
    submit(&farm, "property", PENDING).await?;
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        farm.host.stop().await?;
        report.quiet().await;
        let begun = Instant::now();
        farm.host = Host::start(program, farm.place.path()).await?;
        let listening = farm.host.started_in;
        let mut events = farm.events().await?;
        farm.add_workers(program, 1).await?;
        let first = events.until(|event| event.kind == "build").await?.at - begun;
        runs.push(Run::from([("listening_s", listening.as_secs_f64()), ("first_dispatch_s", first.as_secs_f64())]));
        farm.stop_workers().await?;
    }
    report.emit("pending_5000", &runs, &[("requests", PENDING.into())])?;
    farm.stop().await.map(drop)
}

pub(crate) async fn projects(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let farm = Farm::at(program, Place::with(&many_projects(), Vec::new())?).await?;
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        let begun = Instant::now();
        program.run(farm.place.path(), &["check"]).await?;
        let checked = ms(begun.elapsed());
        let begun = Instant::now();
        program.run(farm.place.path(), &["--version"]).await?;
        let started = ms(begun.elapsed());
        let (page, bytes) = asked(&farm, "/builders").await?;
        runs.push(Run::from([
            ("check_ms", checked),
            ("version_ms", started),
            ("builders_page_ms", page),
            ("builders_page_kb", bytes as f64 / 1e3),
        ]));
    }
    report.emit("projects_500", &runs, &[("builders", (PROJECTS * BUILDERS).into())])?;
    farm.stop().await.map(drop)
}

/// What a script makes of one template.
fn many_projects() -> String {
    let mut text = "[[job]]\nname = \"job\"\n[[job.step]]\nplugin = \"set-property\"\nconfig = { property = \"p\", value = \"1\" }\n\
        [[worker]]\nname = \"w0\"\n"
        .to_owned();
    for project in 0..PROJECTS {
        let names: Vec<_> = (0..BUILDERS).map(|builder| format!("\"project-{project}-{builder}\"")).collect();
        let _ = write!(
            text,
            "[[project]]\nname = \"project-{project}\"\nshares = 1\n\
            [[scheduler]]\nname = \"force-{project}\"\nkind = \"force\"\ncodebases.\"\" = {{ repository = \"r\" }}\nbuilders = [{}]\n",
            names.join(", ")
        );
        for name in names {
            let _ = write!(text, "[[builder]]\nname = {name}\njob = \"job\"\nproject = \"project-{project}\"\n");
        }
    }
    text
}
