//! A step with every capability that a step may have; its script says what it does with them.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;

use stampmill_guest_programs::{Script, misbehave};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:guest;
        world probe {
            include stampmill:plugin/step@0.1.0;
            import stampmill:host/command@0.1.0;
            import stampmill:host/workspace@0.1.0;
            import stampmill:host/properties@0.1.0;
            import stampmill:host/logs@0.1.0;
            import stampmill:host/http@0.1.0;
            import stampmill:host/secret@0.1.0;
            import stampmill:host/facts@0.1.0;
        }
    ",
    world: "test:guest/probe",
    generate_all,
});

use exports::stampmill::plugin::configurable;
use exports::stampmill::step::step;
use stampmill::host::command::{CommandLine, End, Event, Sink};
use stampmill::host::http::Request;
use stampmill::host::log::{Level, log};
use stampmill::host::{logs, properties, running_build, secret, workspace};
use stampmill::types::types::{Fault, Outcome};

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::new(Script::new(""));
}

struct Guest;

impl configurable::Guest for Guest {
    fn configure(config: String) -> Result<(), Fault> {
        std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
        SCRIPT.set(Script::new(&config));
        SCRIPT.with_borrow(|script| act(&script.words("configure")))
    }
}

impl step::Guest for Guest {
    fn run() -> Result<Outcome, Fault> {
        SCRIPT.with_borrow(|script| act(&script.words("run")))?;
        Ok(Outcome::Success)
    }
}

fn say(text: impl AsRef<str>) {
    log(Level::Info, text.as_ref());
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn act(words: &[&str]) -> Result<(), Fault> {
    match words {
        ["logs", count] => {
            for index in 0..number(count) {
                say(format!("line {index}"));
            }
        }
        ["long-log", bytes] => say("x".repeat(number(bytes) as usize)),
        ["command", argv @ ..] => run(CommandLine::new(&owned(argv)))?,
        ["capture", bytes] => {
            let line = CommandLine::new(&owned(&["tool"]));
            line.stdout(&Sink::Capture(number(bytes)));
            run(line)?;
        }
        ["directory", path] => {
            let line = CommandLine::new(&owned(&["tool"]));
            line.directory(path);
            run(line)?;
        }
        ["limited", wall] => {
            let line = CommandLine::new(&owned(&["tool"]));
            line.wall_limit(number(wall));
            line.stop_with(15, 0);
            run(line)?;
        }
        ["everything"] => everything()?,
        ["secret-environment", name, secret] => {
            let line = CommandLine::new(&owned(&["tool"]));
            line.secret_environment(name, secret);
            run(line)?;
        }
        ["secret-file", secret] => {
            let line = CommandLine::new(&owned(&["tool"]));
            say(line.secret_file(secret));
            run(line)?;
        }
        ["stuff-environment", bytes] => {
            let line = CommandLine::new(&owned(&["tool"]));
            for index in 0..1_000 {
                line.environment(&format!("V{index}"), &"x".repeat(number(bytes) as usize / 1_000));
            }
            run(line)?;
        }
        ["spawn", argv @ ..] => spawn(argv)?,
        ["hold-lines", count] => {
            let mut held = Vec::new();
            for _ in 0..number(count) {
                held.push(CommandLine::new(&owned(&["tool"])));
            }
            say(format!("holding {}", held.len()));
        }
        ["hold-bodies", count] => {
            let body = vec![7_u8; 8 << 20];
            let mut held = Vec::new();
            for _ in 0..number(count) {
                let request = Request::new("POST", "http://127.0.0.1/");
                request.body(&body);
                held.push(request);
            }
            say(format!("holding {}", held.len()));
        }
        ["http", method, url] => send(&Request::new(method, url))?,
        ["http-header", method, url, name, value] => {
            let request = Request::new(method, url);
            request.header(name, value);
            send(&request)?;
        }
        ["http-credential", method, url, name] => {
            let request = Request::new(method, url);
            request.credential(name);
            send(&request)?;
        }
        ["http-follow", url] => {
            let moved = Request::new("GET", url).send()?;
            send(&Request::new("GET", &moved.header("location").unwrap_or_default()))?;
        }
        ["http-body", url, most @ ..] => {
            let response = Request::new("GET", url).send()?;
            for most in most {
                say(format!("{} bytes", response.body(number(most))?.len()));
            }
        }
        ["reveal", name] => say(secret::reveal(name)?),
        ["read", path] => say(String::from_utf8_lossy(&workspace::read(path, 0, 1 << 20)?)),
        ["read-at", path, offset, most] => {
            say(String::from_utf8_lossy(&workspace::read(path, number(offset), number(most))?))
        }
        ["write", path, text] => workspace::write(path, text.as_bytes())?,
        ["append", path, text] => workspace::append(path, text.as_bytes())?,
        ["entries", path] => {
            for entry in workspace::entries(path)? {
                say(format!("{} {} {}", entry.name, entry.directory, entry.size));
            }
        }
        ["make-directory", path] => workspace::make_directory(path)?,
        ["remove", path] => workspace::remove(path)?,
        ["race", path, count, argv @ ..] => race(path, number(count), argv)?,
        ["write-large", bytes] => workspace::write("large", &vec![0; number(bytes) as usize])?,
        ["get-property", name] => say(properties::get(name).unwrap_or_else(|| "absent".to_owned())),
        ["set-property", name, value] => properties::set(name, value)?,
        ["write-log", name, text] => logs::open(name)?.write(text.as_bytes())?,
        ["link", name, url] => logs::link(name, url)?,
        ["facts"] => facts(),
        ["progress"] => {
            running_build::summary("half\nway");
            running_build::progress(1, Some(2));
        }
        ["refuse"] => return Err(Fault::Refused("by its own will".to_owned())),
        words if misbehave(words) => {}
        other => return Err(Fault::Broken(format!("unknown words {other:?}"))),
    }
    Ok(())
}

/// Reads and writes one path many times while a program changes what is there.
fn race(path: &str, count: u64, argv: &[&str]) -> Result<(), Fault> {
    let program = CommandLine::new(&owned(argv)).spawn()?;
    let (mut read, mut refused) = (0, 0);
    for _ in 0..count {
        match workspace::read(path, 0, 100) {
            Ok(bytes) if bytes.starts_with(b"precious") => say("ESCAPED"),
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
        // Refused as often as a link is there.
        let _ = workspace::write(path, b"evil");
    }
    program.stop();
    say(format!("read {read} times, refused {refused} times"));
    Ok(())
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(line: CommandLine) -> Result<(), Fault> {
    let finished = line.run()?;
    match finished.end() {
        End::Exited(code) => say(format!("exited {code}: {}", String::from_utf8_lossy(&finished.stdout()))),
        End::Signalled(signal) => say(format!("signalled {signal}")),
        End::Stopped(reason) => say(format!("stopped: {reason}")),
    }
    Ok(())
}

fn everything() -> Result<(), Fault> {
    let line = CommandLine::new(&owned(&["tool", "--flag", "a b"]));
    line.directory("sub/dir");
    line.environment("A", "1");
    line.environment("A", "2");
    line.secret_environment("KEY", "deploy-key");
    line.secret_file("deploy-key");
    line.stdin(b"in");
    line.stdout(&Sink::LogAndCapture(("out".to_owned(), 100)));
    line.stderr(&Sink::Discard);
    line.wall_limit(5_000);
    line.silence_limit(1_000);
    line.stop_with(2, 3_000);
    line.terminal(80, 25);
    run(line)
}

fn spawn(argv: &[&str]) -> Result<(), Fault> {
    let line = CommandLine::new(&owned(argv));
    line.stdout(&Sink::Capture(1_000));
    let child = line.spawn()?;
    child.write_stdin(b"more")?;
    child.close_stdin();
    loop {
        match child.next_event(60_000) {
            Event::Stdout(bytes) => say(format!("stdout {}", String::from_utf8_lossy(&bytes))),
            Event::Stderr(bytes) => say(format!("stderr {}", String::from_utf8_lossy(&bytes))),
            Event::Quiet => {
                say("quiet");
                child.stop();
            }
            Event::Finished(finished) => {
                say(format!("finished {:?} after {} ms", finished.end(), finished.wall()));
                return Ok(());
            }
        }
    }
}

fn send(request: &Request) -> Result<(), Fault> {
    let response = request.send()?;
    let body = response.body(1 << 20)?;
    let location = response.header("location").unwrap_or_default();
    say(format!("{} {location} {}", response.status(), String::from_utf8_lossy(&body)));
    Ok(())
}

fn facts() {
    let build = running_build::current();
    say(format!(
        "build {} of {} by {:?}: {} {:?} {:?}",
        build.number(),
        build.builder(),
        build.blamelist(),
        build.trusted(),
        build.property("flag"),
        build.stamps().first().map(|stamp| stamp.revision.clone())
    ));
    for step in build.steps() {
        say(format!(
            "step {} {:?}: {}",
            step.name(),
            step.outcome(),
            String::from_utf8_lossy(&step.log_tail("stdio", 2))
        ));
    }
}

export!(Guest);
