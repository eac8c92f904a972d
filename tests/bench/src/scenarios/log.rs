//! Logs: written, read back, watched.

use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;

use crate::events::Events;
use crate::farm::{Farm, LARGE_LOG, Program};
use crate::floor;
use crate::process::{cpu, rss_mb};
use crate::report::{Report, Run, median, ms};

/// What came of a log, as it was printed.
#[derive(Default)]
struct Counted {
    bytes: usize,
    lines: usize,
}

impl Write for Counted {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.bytes += text.len();
        self.lines += text.iter().filter(|byte| **byte == b'\n').count();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader of an answer's body in one of the codings.
enum Text {
    Plain(Counted),
    Zstd(Box<zstd::stream::write::Decoder<'static, Counted>>),
}

impl Text {
    fn of(coding: &str) -> io::Result<Self> {
        match coding {
            "zstd" => Ok(Self::Zstd(Box::new(zstd::stream::write::Decoder::new(Counted::default())?))),
            _ => Ok(Self::Plain(Counted::default())),
        }
    }

    fn write_all(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(text) => text.write_all(chunk),
            Self::Zstd(text) => text.write_all(chunk),
        }
    }

    fn end(self) -> io::Result<Counted> {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Zstd(mut text) => text.flush().map(|()| text.into_inner()),
        }
    }
}

pub(crate) async fn large(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        let farm = Farm::start(program, 1, 1).await?;
        farm.build("true").await?;
        report.quiet().await;
        let (host, worker) = (farm.host.pid, farm.workers[0].pid);
        let before = (cpu(host), cpu(worker), rss_mb(host), rss_mb(worker));
        let mut events = farm.events().await?;
        farm.force("log").await?;
        let started = events.until(|event| event.kind == "build").await?.at;
        let ended = events.until(|event| event.kind == "build" && event.data["finished"] == true).await?;
        let took = (ended.at - started).as_secs_f64();
        let path = format!("/api/v1/builds/{}/steps/0/logs/stdio", ended.data["id"]);
        let mut run = Run::from([
            ("build_s", took),
            ("master_cpu_s", cpu(host) - before.0),
            ("worker_cpu_s", cpu(worker) - before.1),
            ("rss_begin_rss_mb", before.2),
            ("rss_end_rss_mb", rss_mb(host)),
            ("worker_begin_rss_mb", before.3),
            ("worker_end_rss_mb", rss_mb(worker)),
        ]);
        read_back(&farm, &path, &mut run).await?;
        run.insert("stored_mb_per_s", run["raw_mb"] / took);
        run.insert("floor_pipe_into_zstd_mb_per_s", floor::pipe_into_zstd(farm.place.path(), LARGE_LOG)?);
        runs.push(run);
        farm.stop().await?;
    }
    report.emit("log_1M_lines_zstd", &runs, &[])
}

async fn read_back(farm: &Farm, path: &str, run: &mut Run) -> anyhow::Result<()> {
    let url = format!("{}{path}", farm.host.url);
    for (coding, names) in [
        ("identity", ["identity_s", "identity_mb", "identity_mb_per_s", "identity_first_byte_s"]),
        ("zstd", ["raw_s", "raw_mb", "raw_mb_per_s", "raw_first_byte_s"]),
    ] {
        let begun = Instant::now();
        let request = farm.client.get(&url).header("accept-encoding", coding);
        let mut body = request.send().await?.error_for_status()?.bytes_stream();
        let (mut text, mut first) = (Text::of(coding)?, None);
        while let Some(chunk) = body.next().await {
            first.get_or_insert_with(|| begun.elapsed());
            text.write_all(&chunk?)?;
        }
        let took = begun.elapsed().as_secs_f64();
        let Counted { bytes, lines } = text.end()?;
        ensure!(lines == 1_000_000, "the log has {lines} lines");
        let megabytes = bytes as f64 / 1e6;
        run.insert("num_lines", lines as f64);
        let figures = [took, megabytes, megabytes / took, first.context("a log")?.as_secs_f64()];
        run.extend(names.into_iter().zip(figures));
    }
    let mut tails = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let text = farm.text(&format!("{path}?tail=100")).await?;
        tails.push(ms(begun.elapsed()));
        ensure!(text.lines().count() == 100, "the last lines are {} lines", text.lines().count());
    }
    run.insert("last100_first_ms", tails[0]);
    tails.sort_by(f64::total_cmp);
    run.insert("last100_ms", median(&tails));
    Ok(())
}

pub(crate) async fn live(program: &Program, report: &mut Report) -> anyhow::Result<()> {
    let farm = Farm::start(program, 1, 1).await?;
    farm.build("true").await?;
    let mut runs = Vec::new();
    for _ in 0..report.runs {
        report.quiet().await;
        let mut builds = farm.events().await?;
        farm.force("live").await?;
        let begun = builds.until(|event| event.kind == "build").await?;
        let mut growth =
            Events::open(&farm.client, &format!("{}/api/v1/events?build={}", farm.host.url, begun.data["id"])).await?;
        growth.until(|event| event.kind == "log").await?;
        let url = format!("{}/api/v1/builds/{}/steps/0/logs/stdio/follow", farm.host.url, begun.data["id"]);
        let mut follow = Events::open(&farm.client, &url).await?;
        let mut delays = Vec::new();
        loop {
            let event = follow.until(|event| event.kind == "lines" || event.kind == "end").await?;
            if event.kind == "end" {
                break;
            }
            let heard = (SystemTime::now() - event.at.elapsed()).duration_since(UNIX_EPOCH)?;
            for line in event.data["lines"].as_array().context("lines")? {
                let printed: f64 =
                    line.as_str().and_then(|line| line.strip_prefix("LIVE ")?.parse().ok()).context("a time")?;
                delays.push((heard.as_secs_f64() - printed) * 1e3);
            }
        }
        // The lines of before the stream was open tell nothing.
        delays.drain(..delays.len().min(3));
        delays.sort_by(f64::total_cmp);
        ensure!(delays.len() > 20, "only {} lines were seen", delays.len());
        runs.push(Run::from([
            ("min_ms", delays[0]),
            ("median_ms", median(&delays)),
            ("max_ms", delays[delays.len() - 1]),
            ("lines", delays.len() as f64),
        ]));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    report.emit("live_log_delay", &runs, &[])?;
    farm.stop().await.map(drop)
}
