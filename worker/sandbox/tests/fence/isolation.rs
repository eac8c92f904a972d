//! What a command sees of the machine.

use crate::run::{Place, STEP, give, is_root, run};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener;

#[test]
fn the_root_has_system_directories_and_nothing_else_of_the_machine() {
    let place = Place::new();
    let listed = run(&place.shell("ls /; echo --; ls /home /root /var /dev /run /mnt /srv 2>/dev/null; true")).ok();
    let (root, rest) = listed.split_once("--").expect("both lists");
    for name in root.split_whitespace() {
        let expected = [
            "bin", "build", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys",
            "tmp", "usr", "var",
        ];
        assert!(expected.contains(&name), "/{name} is there");
    }
    assert_eq!(
        rest.split_whitespace().collect::<Vec<_>>(),
        "/dev: fd full null random shm stderr stdin stdout urandom zero /home: stampmill /run: secrets /var: run tmp"
            .split_whitespace()
            .collect::<Vec<_>>()
    );
}

#[test]
fn files_and_sockets_of_the_machine_are_not_there() {
    let place = Place::new();
    let canary = place.outer().join("canary");
    fs::write(&canary, "yellow").expect("written");
    let socket = place.outer().join("docker.sock");
    let _listener = UnixListener::bind(&socket).expect("bound");
    let here = place.outer().display();
    let script = format!(
        "cat {here}/canary; ls {here}; cat /etc/shadow; ls /var/lib; cat /proc/1/environ; ls -A /root; ls -A /tmp; ls /sys; exit 0"
    );
    let output = run(&place.shell(&script));
    assert_eq!(output.stdout, "");
    let connect = socket.display().to_string();
    let refused = run(&place.tool(["connect-unix", &connect])).failed();
    assert!(refused.contains("No such file"), "{refused}");
    let reached = run(&place.tool(["connect-unix", "/var/run/docker.sock"])).failed();
    assert!(reached.contains("No such file"), "{reached}");
}

#[test]
fn system_directories_cannot_be_written() {
    let place = Place::new();
    let script = "for d in / /usr /usr/bin /etc /etc/ssl /dev /run /run/secrets /var /home /proc /sys; do
        if echo x 2>/dev/null > $d/x; then echo wrote $d; fi; done
        for f in /etc/passwd /etc/hosts /etc/ld.so.cache /usr/bin/env; do
        if echo x 2>/dev/null >> $f; then echo wrote $f; fi; chmod 777 $f 2>/dev/null && echo changed $f; done
        for d in /build /tmp $HOME /dev/shm /var/tmp; do echo x > $d/x || echo no $d; done";
    let mut policy = place.shell(script);
    policy.env.push(("HOME".into(), stampmill_sandbox::HOME_DIR.into()));
    assert_eq!(run(&policy).ok(), "");
    assert_eq!(fs::read_to_string(place.work_dir.join("x")).expect("written"), "x\n");
}

#[test]
fn temporary_files_and_home_are_clean_in_the_next_command() {
    let place = Place::new();
    let script = "echo planted > /tmp/a; echo planted > ~/.gitconfig; echo planted > /dev/shm/a; ls -A /tmp ~ /dev/shm";
    let mut policy = place.shell(script);
    policy.env.push(("HOME".into(), stampmill_sandbox::HOME_DIR.into()));
    assert!(run(&policy).ok().contains(".gitconfig"));
    policy.argv[2] = "ls -A /tmp ~ /dev/shm".into();
    assert_eq!(run(&policy).ok(), "/dev/shm:\n\n/home/stampmill:\n\n/tmp:\n");
}

#[test]
fn the_work_directory_is_the_callers_and_grants_are_where_they_were() {
    let place = Place::new();
    let outer = place.outer();
    for name in ["read", "read/inner", "write"] {
        fs::create_dir(outer.join(name)).expect("made");
        give(&outer.join(name));
    }
    fs::write(outer.join("read/file"), "granted").expect("written");
    let at = outer.display();
    let mut policy = place.shell(&format!(
        "cat {at}/read/file; pwd; echo a > {at}/write/a; echo b > {at}/read/inner/b; echo c > {at}/read/c"
    ));
    policy.read.push(outer.join("read"));
    policy.write.push(outer.join("write"));
    policy.write.push(outer.join("read/inner"));
    fs::create_dir(place.work_dir.join("sub")).expect("made");
    give(&place.work_dir.join("sub"));
    policy.current_dir = "sub".into();
    let output = run(&policy);
    assert_eq!(output.stdout, "granted/build/sub\n");
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
    assert!(outer.join("write/a").exists() && outer.join("read/inner/b").exists());
    assert!(!outer.join("read/c").exists());
}

#[test]
fn a_mount_inside_does_not_appear_on_the_machine() {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("read");
    let place = Place::new();
    let mut policy = place.shell("cat /proc/self/mountinfo");
    policy.read.push("/usr/share".into());
    let inside = run(&policy).ok();
    assert!(inside.contains(" /usr/share ro"), "{inside}");
    assert_eq!(before, fs::read_to_string("/proc/self/mountinfo").expect("read"));
    let shared = inside.lines().filter(|line| line.contains("shared:") || line.contains("master:"));
    assert_eq!(shared.count(), 0, "{inside}");
}

#[test]
fn mounts_that_the_machine_shares_are_cut_off_from_it() {
    if !is_root() {
        println!("skipped: only root can share mounts for a test");
        return;
    }
    let place = Place::new();
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "shared"])
        .arg(crate::run::program())
        .args(["run", &place.work_dir.display().to_string(), "cat /proc/self/mountinfo"])
        .output()
        .expect("unshare");
    let inside = String::from_utf8_lossy(&output.stdout);
    assert!(inside.contains(" /build ") && inside.ends_with("Exited(0)\n"), "{inside}");
    assert!(!inside.contains("shared:") && !inside.contains("master:"), "{inside}");
}

#[test]
fn nothing_of_the_old_root_is_mounted_or_reached_by_going_up() {
    let place = Place::new();
    let listed = run(&place.shell("ls /; echo --; ls /..; echo --; cd /; cd ../..; ls")).ok();
    let lists: Vec<_> = listed.split("--\n").collect();
    assert_eq!((lists[0], lists[0]), (lists[1], lists[2]));
    let mounts = run(&place.shell("cut -d' ' -f5 /proc/self/mountinfo")).ok();
    assert_eq!(mounts.lines().filter(|place| *place == "/").count(), 1, "{mounts}");
    for place in mounts.lines().filter(|place| *place != "/") {
        let ours = ["/usr", "/bin", "/sbin", "/lib", "/dev", "/etc", "/tmp", "/home/stampmill", "/proc", "/build"];
        assert!(ours.iter().any(|own| place.starts_with(own)), "{place} is mounted");
    }
}

#[test]
fn every_namespace_is_its_own() {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let place = Place::new();
    let listed = run(&place.shell("cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done; uname -n")).ok();
    let inside: BTreeMap<_, _> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    for name in names {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).expect("read");
        assert_ne!(inside[name], ours.to_string_lossy(), "{name} is shared");
    }
    assert!(listed.ends_with("stampmill\n"), "{listed}");
}

#[test]
fn there_is_no_capability_and_no_way_to_get_one() {
    let place = Place::new();
    let status = run(&place.shell("cat /proc/self/status")).ok();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let own = fs::read_to_string("/proc/self/status").expect("status");
    let filters = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Seccomp_filters:")).expect("filters").to_owned();
        line.split_whitespace().nth(1).and_then(|count| count.parse::<u32>().ok()).expect("a number")
    };
    assert_eq!(filters(&status), filters(&own) + 1);
    let fence = run(&place.shell("grep -E '^(Cap|NoNew)' /proc/1/status | cut -f2 | sort -u")).ok();
    assert_eq!(fence, "0000000000000000\n1\n", "the fence's own process has rights");
    let id = field("Uid:");
    assert!(!id.split(' ').any(|one| one == "0"), "{id}");
    assert!(!field("Gid:").split(' ').any(|one| one == "0"));
    if is_root() {
        assert_eq!(id, format!("{STEP} {STEP} {STEP} {STEP}"));
        assert_eq!(field("Groups:"), "");
    }
}

#[test]
fn the_kernel_id_is_not_roots_so_that_roots_files_stay_closed() {
    let place = Place::new();
    let mut policy = place.shell("id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; id -un; cat /etc/shadow");
    policy.read.push("/etc/shadow".into());
    let output = run(&policy);
    let lines: Vec<_> = output.stdout.lines().collect();
    let own = nix::unistd::geteuid().as_raw();
    let expected = if is_root() { STEP } else { own };
    assert_eq!(lines[0], expected.to_string());
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), [lines[0], lines[0], "1"]);
    assert_eq!(&lines[2..], ["deny", "stampmill"], "and nothing of the file");
    assert!(output.stderr.contains("Permission denied"), "{}", output.stderr);
}

#[test]
fn the_fences_own_process_cannot_be_looked_into() {
    let place = Place::new();
    let mut policy = place.shell(
        "for f in mem environ maps fd root cwd exe; do
           if ls /proc/1/$f/ 2>/dev/null || readlink /proc/1/$f || head -c1 /proc/1/$f; then echo got $f; fi; done
         kill -9 1; kill -STOP 1; echo alive; cat /proc/*/cmdline | tr '\\0' ' '; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'",
    );
    policy.env.push(("OWN".into(), "mine".into()));
    let shown = run(&policy).ok();
    assert!(shown.starts_with("alive\n"), "{shown}");
    assert!(!shown.lines().any(|line| line.starts_with("got ")), "{shown}");
    assert!(shown.contains("OWN=mine"), "{shown}");
}

#[test]
fn forbidden_calls_are_refused() {
    let place = Place::new();
    let listed = run(&place.tool(["calls"])).ok();
    let results: BTreeMap<_, _> = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, error)| (name, error.parse::<i32>().expect("a number")))
        .collect();
    assert!(results.len() >= 36, "{listed}");
    for (name, error) in results {
        let expected = match name {
            _ if name.starts_with("allowed") => 0,
            _ if name.starts_with("x32") => libc::ENOSYS,
            "clone3" | "io_uring_setup" | "memfd_secret" => libc::ENOSYS,
            _ => libc::EPERM,
        };
        assert_eq!(error, expected, "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_another_architecture_kill_the_process() {
    let place = Place::new();
    let output = run(&place.tool(["foreign-call"]));
    assert_eq!(output.end, stampmill_sandbox::End::Signalled(libc::SIGSYS));
    assert_eq!(output.stdout, "");
}

#[test]
fn landlock_fences_a_second_time() {
    let mechanisms = stampmill_sandbox::probe(&crate::run::helper()).expect("probed");
    if mechanisms.landlock_version < 6 {
        println!("skipped: this kernel has Landlock {}", mechanisms.landlock_version);
        return;
    }
    let place = Place::new();
    // The private /run/secrets belongs to the step; its mount is read-only, and so say Landlock's rules: with EACCES instead of EROFS.
    let written = run(&place.shell("echo x > /run/secrets/x")).failed();
    assert!(written.contains("Permission denied") || written.contains("Read-only"), "{written}");
    // A child may not signal the fence's process even where the kernel's own rule for pid 1 does not apply: signal 0 only asks.
    let asked = run(&place.shell("kill -0 1")).failed();
    assert!(asked.contains("not permitted"), "{asked}");
    // Moving between directories, which the first version forbade, works.
    run(&place.shell("mkdir a b; echo x > a/x; mv a/x b/y; ln b/y a/z; cat a/z")).ok();
}

#[test]
fn private_files_are_the_commands_alone() {
    let place = Place::new();
    let mut policy =
        place.shell("cat /run/secrets/key; stat -c %a /run/secrets /run/secrets/key; stat -f -c %T /run/secrets");
    policy.files.push(stampmill_sandbox::PrivateFile { name: "key".into(), content: b"s3cr3t\n".to_vec() });
    assert_eq!(run(&policy).ok(), "s3cr3t\n700\n400\ntmpfs\n");
    let other = run(&place.shell("ls -A /run/secrets")).ok();
    assert_eq!(other, "");
    assert_eq!(fs::read_dir(&place.work_dir).expect("read").count(), 0);
}

#[test]
fn tools_of_the_system_work_inside() {
    let place = Place::new();
    let script = "test -s /etc/ssl/certs/ca-certificates.crt -o ! -e /usr/share/ca-certificates
        set -e; id -un; getent hosts localhost >/dev/null; echo a | tee /dev/stderr 2>/dev/null | cat; cat < /dev/null; head -c 4 /dev/urandom | wc -c; nproc >/dev/null; date >/dev/null";
    let shown = run(&place.shell(script)).ok();
    assert_eq!(shown, "stampmill\na\n4\n");
    // Whatever of these the machine has.
    let script = "set -e; export HOME=/home/stampmill
        if command -v cc >/dev/null; then echo 'int main(void){return 7;}' > a.c; cc a.c -o a; ./a || echo cc $?; else echo cc 7; fi
        if command -v python3 >/dev/null; then python3 -c 'import multiprocessing as m, ssl; m.Lock(); print(\"py\")'; else echo py; fi
        if command -v git >/dev/null; then git init -q r; cd r; git -c user.name=a -c user.email=b commit -q --allow-empty -m m; git log --format=%s; else echo m; fi
        date -d @0 +%Y; sort --version | head -1 >/dev/null; perl -e 'print \"pl\\n\"'";
    assert_eq!(run(&place.shell(script)).ok(), "cc 7\npy\nm\n1970\npl\n");
}
