//! When the fence or the program can't be had.

use crate::run::{Place, helper, is_root, run};
use stampmill_sandbox::{End, Fault, Helper, Mechanism, Policy, SandboxError, Tier, probe, spawn};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[track_caller]
fn fault(policy: &Policy) -> Fault {
    match run(policy).end {
        End::SetupFailed(fault) => fault,
        other => panic!("it ran: {other:?}"),
    }
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_places_and_the_mend() {
    let place = Place::new();
    let fault = fault(&place.policy(["no-such-program"]));
    assert_eq!(fault.mechanism, Mechanism::Program);
    assert_eq!(
        fault.to_string(),
        "program: \"no-such-program\" is not there (looked for /usr/bin/no-such-program, /bin/no-such-program); install it on the worker, or grant the directory that holds it"
    );
    assert!(fault.is_refusal());
}

#[test]
fn a_program_that_cannot_be_executed_says_why() {
    let place = Place::new();
    let write = |name: &str, mode| {
        let path = place.work_dir.join(name);
        fs::write(&path, "not a program").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
    };
    write("plain", 0o644);
    write("broken", 0o755);
    let plain = fault(&place.policy(["./plain"]));
    assert!(plain.text.contains("execute permission"), "{plain}");
    let broken = fault(&place.policy(["./broken"]));
    assert!(broken.text.contains("#!/bin/sh"), "{broken}");
}

#[test]
fn paths_that_are_not_there_are_named() {
    let place = Place::new();
    let mut policy = place.policy(["true"]);
    policy.read.push("/no/such/grant".into());
    let grant = fault(&policy);
    assert_eq!(grant.mechanism, Mechanism::Grant);
    assert!(grant.text.contains("/no/such/grant"), "{grant}");
    let mut policy = place.policy(["true"]);
    policy.work_dir = place.outer().join("gone");
    let work = fault(&policy);
    assert_eq!(work.mechanism, Mechanism::WorkDirectory);
    let mut policy = place.policy(["true"]);
    policy.current_dir = "no/such".into();
    let current = fault(&policy);
    assert_eq!(current.mechanism, Mechanism::WorkDirectory);
    assert!(current.text.contains("/build/no/such"), "{current}");
}

#[test]
fn a_helper_that_is_none_is_an_error_and_not_a_command_that_worked() {
    let place = Place::new();
    let missing = spawn(&Helper::at(Path::new("/no/such/helper")), &place.policy(["true"]));
    assert!(matches!(missing, Err(SandboxError::Helper { .. })));
    let wrong = Helper::at(Path::new("/bin/true"));
    match spawn(&wrong, &place.policy(["true"])) {
        Ok(mut started) => {
            let end = started.wait().expect("waited").end;
            assert!(matches!(&end, End::SetupFailed(fault) if fault.mechanism == Mechanism::Helper), "{end:?}");
        }
        // It may be gone before it could be asked.
        Err(error) => assert!(matches!(error, SandboxError::Helper { .. }), "{error}"),
    }
    assert!(probe(&wrong).is_err());
}

#[test]
fn the_helper_runs_only_when_it_is_asked_properly() {
    let by_hand = std::process::Command::new(crate::run::program())
        .arg("__sandbox")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("started");
    assert_eq!(by_hand.status.code(), Some(2));
}

#[test]
fn this_machine_gives_the_whole_fence() {
    let mechanisms = probe(&helper()).expect("probed");
    assert_eq!(mechanisms.tier, Tier::Sandboxed, "{mechanisms:?}");
    assert!(mechanisms.each.len() >= 8);
    let missing = mechanisms.missing();
    assert!(missing.iter().all(|one| *one == Mechanism::Landlock), "{missing:?}");
}

#[test]
fn a_policy_of_a_megabyte_arrives() {
    let place = Place::new();
    let mut policy = place.shell("cat /run/secrets/*; cat /proc/self/environ");
    let large = vec![b'x'; 1 << 20];
    policy.files.push(stampmill_sandbox::PrivateFile { name: "large".into(), content: large });
    policy.env.push(("LARGE".into(), "y".repeat(100_000).into()));
    assert!(run(&policy).ok().len() > (1 << 20) + 100_000);
}

/// What a root worker says and does on a machine without user namespaces.
fn without_user_namespaces(floor: &str, script: &str) -> Option<String> {
    if !is_root() {
        println!("skipped: only root can take namespaces away for a test");
        return None;
    }
    let place = Place::new();
    // The directories above are opened: in the namespace that stands for the machine, root has no right to what it does not map.
    let work_dir = place.work_dir.display().to_string();
    let output = std::process::Command::new(crate::run::program())
        .args(["without-user-namespaces", floor, &work_dir, script])
        .output()
        .expect("started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn where_user_namespaces_are_off_a_command_is_refused_and_the_mend_named() {
    let Some(said) = without_user_namespaces("required", "echo ran") else {
        return;
    };
    assert!(said.starts_with("Degraded\n"), "{said}");
    assert!(said.contains("SetupFailed") && said.contains("UserNamespace"), "{said}");
    assert!(said.contains("user.max_user_namespaces"), "{said}");
    assert!(!said.contains("ran\n"), "{said}");
}

#[test]
fn where_user_namespaces_are_off_root_can_run_a_degraded_command_with_the_rest_of_the_fence() {
    let script = "id -u; grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:' /proc/self/status | cut -f2 | sort -u | tr '\n' ' '; echo
        cat /etc/shadow /proc/1/environ; ls /var/lib /root; echo x > /usr/x; echo x > x && cat x; touch /tmp/a ~/a /dev/shm/a && echo scratch; kill -9 1; mount -t tmpfs none /tmp; ps ax | wc -l; exit 3";
    let script = format!("PATH=/usr/bin:/bin HOME={}; {script}", stampmill_sandbox::HOME_DIR);
    let Some(said) = without_user_namespaces("degraded", &script) else {
        return;
    };
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "Degraded");
    assert_eq!(lines[1], crate::run::STEP.to_string());
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["0000000000000000", "1", "2"]);
    assert_eq!(&lines[3..7], ["x", "scratch", "5", "Exited(3)"].map(|one| one).as_slice());
}

#[test]
fn a_grant_through_a_symbolic_link_is_refused_with_the_real_path() {
    let place = Place::new();
    let real = place.outer().join("real");
    fs::create_dir(&real).expect("made");
    let link = place.outer().join("link");
    std::os::unix::fs::symlink(&real, &link).expect("linked");
    let mut policy = place.policy(["true"]);
    policy.read.push(link.join("."));
    let fault = fault(&policy);
    assert_eq!(fault.mechanism, Mechanism::Grant);
    let real = fs::canonicalize(real).expect("there").display().to_string();
    assert!(fault.text.contains(&real), "{fault}");
}
