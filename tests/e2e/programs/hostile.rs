//! What a build may contain: a program that tries from inside a step what must not work, or uses up what is limited. It prints one line for
//! each thing that it tried; the tests read them in the step's log.
#![expect(unsafe_code, reason = "it makes the calls that an attacker would make")]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, symlink};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let texts: Vec<String> = rest.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    match (verb.to_string_lossy().as_ref(), &words[..]) {
        ("arguments", _) => {
            for argument in &rest {
                println!("argument {:?}", String::from_utf8_lossy(argument.as_bytes()));
            }
        }
        ("environment", _) => {
            for (name, value) in std::env::vars_os().collect::<std::collections::BTreeMap<_, _>>() {
                println!("variable {}={}", name.to_string_lossy(), value.to_string_lossy());
            }
        }
        ("scan", halves) => scan(&halves.concat()),
        ("pry", insiders) => pry(insiders),
        ("become-root", _) => become_root(),
        ("encode", [variable]) => encode(variable),
        ("daemon", [file]) => daemon(file)?,
        ("connect", targets) => targets.iter().for_each(|target| connect(target)),
        ("tunnel", targets) => targets.iter().for_each(|target| tunnel(target)),
        ("look", _) => look(),
        ("plant", [outside]) => plant(Path::new(outside)),
        ("swap", [name, outside]) => swap(Path::new(name), Path::new(outside)),
        ("kill-all", _) => {
            // SAFETY: a signal to everything that it reaches but itself.
            let result = unsafe { libc::kill(-1, libc::SIGKILL) };
            println!("kill everybody: {}", said(result.into()));
            // SAFETY: a signal to the first process.
            let result = unsafe { libc::kill(1, libc::SIGKILL) };
            println!("kill the first process: {}", said(result.into()));
        }
        ("recurse", _) => println!("{}", recurse(1)),
        ("eat", [mib]) => eat(mib)?,
        ("fork", [most]) => fork(most.parse().unwrap_or(0)),
        ("open", [most]) => open(most.parse().unwrap_or(0)),
        ("fill", [directory, mib]) => fill(Path::new(directory), mib.parse().unwrap_or(0))?,
        ("litter", [directory, count]) => litter(Path::new(directory), count.parse().unwrap_or(0))?,
        ("dig", [depth]) => dig(depth.parse().unwrap_or(0))?,
        ("lines", [count]) => lines(count.parse().unwrap_or(0))?,
        ("spin", _) => loop {
            std::hint::spin_loop();
        },
        ("sleep", _) => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        (verb, _) => return Err(io::Error::other(format!("no such verb: {verb}"))),
    }
    Ok(())
}

/// What came of a call.
fn said(result: i64) -> String {
    match result {
        -1 => format!("refused {}", io::Error::last_os_error()),
        _ => "DONE".to_owned(),
    }
}

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "DONE".to_owned(),
        Err(error) => format!("refused {error}"),
    }
}

/// The processes that are seen at all.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Looks for secrets in every process that is seen, in its environment and in its memory, and prints the name in each that it finds:
/// `marker-NAME-…`. The marker comes in two parts, so that it is not found in its own arguments.
fn scan(marker: &str) {
    let own = std::process::id();
    for id in processes() {
        let mut names = std::collections::BTreeSet::new();
        for (what, content) in
            [("environ", fs::read(format!("/proc/{id}/environ"))), ("cmdline", fs::read(format!("/proc/{id}/cmdline")))]
        {
            match content {
                Ok(bytes) => names.extend(found(&bytes, marker)),
                Err(error) => println!("{what} of process {id}: refused {error}"),
            }
        }
        match memory(id, marker) {
            Ok(more) => names.extend(more),
            Err(error) => println!("mem of process {id}: refused {error}"),
        }
        for name in names {
            println!("found {name} in {}", if id == own { "myself" } else { "another process" });
        }
    }
    println!("the scan is over");
}

/// Names of secrets in the memory of a process.
fn memory(id: u32, marker: &str) -> io::Result<Vec<String>> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
    let mut file = File::open(format!("/proc/{id}/mem"))?;
    let mut names = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" r") && !line.contains("[v")) {
        let range = line.split(' ').next().unwrap_or_default();
        let Some((from, to)) = range.split_once('-') else { continue };
        let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)) else { continue };
        if file.seek(SeekFrom::Start(from)).is_err() {
            continue;
        }
        let mut bytes = Vec::new();
        // A mapping that cannot be read to its end gives what it has.
        let _ = (&mut file).take(to - from).read_to_end(&mut bytes);
        names.extend(found(&bytes, marker));
    }
    Ok(names)
}

/// `marker-NAME-xxxxxxxx`: the name, where eight letters of the secret follow.
fn found(bytes: &[u8], marker: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(marker.len()).position(|window| window == marker.as_bytes()) {
        rest = &rest[at + marker.len()..];
        let word: Vec<u8> =
            rest.iter().copied().take(40).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').collect();
        let word = String::from_utf8_lossy(&word).into_owned();
        if let [_, name, tail, ..] = word.split('-').collect::<Vec<_>>()[..]
            && tail.len() >= 8
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// Every way into another process, for all that can be named: those that are seen, and those of the machine whose numbers somebody told.
fn pry(insiders: &[&str]) {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let reachable: Vec<i32> =
        // SAFETY: signal 0 only asks.
        (1..100_000).filter(|id| unsafe { libc::kill(*id, 0) } == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)).collect();
    println!("{} processes can be named", reachable.len());
    let told = insiders.iter().filter_map(|id| id.parse().ok()).map(|id: i32| ("told", id));
    let seen = reachable.into_iter().filter(|id| *id != own).map(|id| (if id == 1 { "first" } else { "seen" }, id));
    for (how, id) in told.chain(seen) {
        let mut byte = [0_u8; 1];
        let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let remote = libc::iovec { iov_base: 0x1000 as *mut _, iov_len: 1 };
        // SAFETY: the kernel checks everything; what is read goes into one byte of ours.
        let (attach, read, pidfd) = unsafe {
            (
                said(libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, id, 0, 0)),
                said(libc::syscall(libc::SYS_process_vm_readv, id, &raw const local, 1, &raw const remote, 1, 0)),
                libc::syscall(libc::SYS_pidfd_open, id, 0),
            )
        };
        println!("{how} ptrace: {attach}");
        println!("{how} process_vm_readv: {read}");
        // SAFETY: a number that is no descriptor is refused.
        println!("{how} pidfd_getfd: {}", said(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, 0, 0) }));
        // Programs of one step may look into each other's files in /proc.
        if how != "seen" {
            println!("{how} mem: {}", outcome(File::open(format!("/proc/{id}/mem"))));
        }
    }
    println!("the prying is over");
}

/// Every way to become root, here or in a namespace of its own.
fn become_root() {
    // SAFETY: each call fails or changes this process alone.
    unsafe {
        println!("setuid: {}", said(libc::setuid(0).into()));
        println!("setgid: {}", said(libc::setgid(0).into()));
        println!("unshare user: {}", said(libc::unshare(libc::CLONE_NEWUSER).into()));
        println!("unshare mount: {}", said(libc::unshare(libc::CLONE_NEWNS).into()));
        println!("unshare pid: {}", said(libc::unshare(libc::CLONE_NEWPID).into()));
        println!(
            "mount: {}",
            said(libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()).into())
        );
        println!("chroot: {}", said(libc::chroot(c"/tmp".as_ptr()).into()));
        println!(
            "mknod disk: {}",
            said(libc::mknod(c"/tmp/disk".as_ptr(), libc::S_IFBLK | 0o666, libc::makedev(8, 0)).into())
        );
    }
    println!("map: {}", outcome(fs::write("/proc/self/uid_map", "0 0 1")));
    for id in ["1", "self"] {
        for space in ["user", "mnt", "net", "pid"] {
            let path = format!("/proc/{id}/ns/{space}");
            let Ok(file) = File::open(&path) else {
                println!("enter {space} of {id}: refused, it cannot be opened");
                continue;
            };
            // SAFETY: a descriptor of ours.
            let entered = unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&file), 0) };
            println!("enter {space} of {id}: {}", said(entered.into()));
        }
    }
    for name in ["su", "sudo", "mount", "newuidmap", "pkexec"] {
        for directory in ["/bin", "/usr/bin", "/usr/local/bin"] {
            let path = format!("{directory}/{name}");
            if !Path::new(&path).exists() {
                continue;
            }
            let argument = if name == "newuidmap" { "0" } else { "root" };
            let ran = std::process::Command::new(&path).args([argument, "-c", "id"]).output();
            let root = ran.is_ok_and(|ran| String::from_utf8_lossy(&ran.stdout).contains("uid=0"));
            println!("set-uid {name}: {}", if root { "DONE" } else { "refused, nothing came of it" });
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in
        status.lines().filter(|line| ["CapEff", "CapBnd", "NoNewPrivs", "Uid"].iter().any(|key| line.starts_with(key)))
    {
        println!("{}", line.replace('\t', " "));
    }
}

/// A secret in every form that its log is looked through for, and in one that it is not.
fn encode(variable: &str) {
    let secret = std::env::var(variable).unwrap_or_default();
    let once = STANDARD.encode(&secret);
    println!("plain {secret}");
    println!("base64 {once}");
    println!("base64 twice {}", STANDARD.encode(&once));
    println!(
        "base64 with its line end twice {}",
        STANDARD.encode(format!("{}\n", STANDARD.encode(format!("{secret}\n"))))
    );
    println!("base64 within {}", STANDARD.encode(format!("token={secret}&more=1")));
    println!("hexadecimal {}", hex::encode(&secret));
    println!("percent {}", secret.bytes().map(percent).collect::<String>());
    println!("reversed {}", secret.chars().rev().collect::<String>());
    print!("in pieces ");
    for letter in secret.chars() {
        print!("{letter}");
        // One write for each letter.
        let _ = io::stdout().flush();
    }
    println!();
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

/// Forks twice, leaves session and group, ignores every signal that it can, closes everything, and counts into a file for ever.
fn daemon(file: &str) -> io::Result<()> {
    // SAFETY: forks of a single-threaded process; the calls between change this process alone.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_IGN);
            }
            libc::prctl(libc::PR_SET_PDEATHSIG, 0);
            if libc::fork() != 0 {
                libc::_exit(0);
            }
            libc::close_range(0, u32::MAX, 0);
            let Ok(file) = File::create(file) else { libc::_exit(1) };
            for beat in 1_u64.. {
                let _ = file.write_at(format!("{beat:020}").as_bytes(), 0);
                std::thread::sleep(Duration::from_millis(2));
            }
            libc::_exit(0);
        }
    }
    while fs::read_to_string(file).unwrap_or_default().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("it lives");
    Ok(())
}

/// `ADDRESS:PORT`, `@abstract` or `/a/path`.
fn connect(target: &str) {
    let tried = if let Some(name) = target.strip_prefix('@') {
        UnixAddress::from_abstract_name(name).and_then(|address| UnixStream::connect_addr(&address)).map(drop)
    } else if target.starts_with('/') {
        UnixStream::connect(target).map(drop)
    } else {
        match target.parse::<SocketAddr>() {
            Ok(address) => TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(drop),
            Err(_) => TcpStream::connect(target).map(drop),
        }
    };
    println!("connect {target}: {}", outcome(tried));
}

/// Asks the proxy for a way there, and prints the first line of its answer.
fn tunnel(target: &str) {
    let answer = || -> io::Result<String> {
        let mut stream = TcpStream::connect("127.0.0.1:3128")?;
        stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())?;
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(stream), &mut line)?;
        Ok(line)
    };
    match answer() {
        Ok(line) => println!("tunnel {target}: {}", line.trim_end()),
        Err(error) => println!("tunnel {target}: refused {error}"),
    }
}

/// Namespaces, device nodes, sockets and mounts, as far as they can be seen.
fn look() {
    for space in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{space}")).unwrap_or_default();
        println!("namespace {}", link.display());
    }
    let mut waiting = vec![std::path::PathBuf::from("/")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            // Not what the directory says of it: a device may be mounted on an ordinary file.
            let Ok(kind) = fs::symlink_metadata(&path).map(|found| found.file_type()) else { continue };
            if kind.is_block_device() || kind.is_char_device() {
                println!("device {}", path.display());
            } else if kind.is_socket() {
                println!("socket {}", path.display());
            } else if kind.is_dir()
                && !["/proc", "/sys", "/usr", "/lib", "/lib64"].iter().any(|skip| path.starts_with(skip))
            {
                waiting.push(path);
            }
        }
    }
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    println!("{} sockets are listed", sockets.lines().skip(1).count());
    println!("sysctl: {}", outcome(fs::write("/proc/sys/kernel/core_pattern", "|/tmp/x")));
    println!("sysrq: {}", outcome(fs::write("/proc/sysrq-trigger", "h")));
    println!("kernel memory: {}", outcome(File::open("/proc/kcore")));
    println!("the look is over");
}

/// Leaves everything that leads out of a work directory in it.
fn plant(outside: &Path) {
    let victim = outside.join("precious");
    println!("leaf: {}", outcome(symlink(&victim, "leaf")));
    println!("dangling: {}", outcome(symlink(outside.join("planted"), "dangling")));
    println!("directory: {}", outcome(symlink(outside, "directory")));
    println!("up: {}", outcome(symlink("../../../../../../../..", "up")));
    println!("parent: {}", outcome(symlink("..", "parent")));
    for (name, target) in
        [("hard-passwd", Path::new("/etc/passwd")), ("hard-sh", Path::new("/bin/sh")), ("hard-victim", &victim)]
    {
        println!("{name}: {}", outcome(fs::hard_link(target, name)));
    }
    println!("read it here: {}", outcome(fs::read(&victim)));
    println!("climb: {}", outcome(fs::read(format!("a/../../..{}", victim.display()))));
    println!("climb by link: {}", outcome(fs::read(format!("up{}", victim.display()))));
    println!(
        "set-uid: {}",
        outcome(fs::set_permissions("/bin/sh", std::os::unix::fs::PermissionsExt::from_mode(0o4755)))
    );
}

/// For ever swaps a file for a link that leads out, and back.
fn swap(name: &Path, outside: &Path) {
    let (file, link) = (name.with_extension("file"), name.with_extension("link"));
    loop {
        let _ = fs::write(&file, "inside");
        let _ = fs::remove_file(&link);
        let _ = symlink(outside, &link);
        let _ = fs::rename(&link, name);
        let _ = fs::rename(&file, name);
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 512]);
    if depth == 0 { 0 } else { recurse(depth + 1) + page[usize::try_from(depth % 512).unwrap_or(0)] }
}

/// Allocates and touches memory, MiB by MiB.
fn eat(mib: &str) -> io::Result<()> {
    let mut held = Vec::new();
    for count in 0..mib.parse().unwrap_or(0_u64) {
        let mut piece: Vec<u8> = Vec::new();
        if piece.try_reserve_exact(1 << 20).is_err() {
            println!("no more memory after {count} MiB");
            return Err(io::Error::other("an allocation was refused"));
        }
        piece.resize(1 << 20, 1);
        held.push(piece);
    }
    println!("{} MiB were given", held.len());
    Ok(())
}

/// Makes processes that stay, until it is refused.
fn fork(most: u64) {
    for count in 1..=most {
        // SAFETY: a fork of a single-threaded process.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            -1 => {
                println!("process {count}: refused {}", io::Error::last_os_error());
                std::process::exit(1);
            }
            _ => {}
        }
    }
    println!("{most} processes were given");
}

/// Opens files until it is refused.
fn open(most: usize) {
    let mut held = Vec::new();
    while held.len() < most {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => {
                println!("file {}: refused {error}", held.len());
                std::process::exit(1);
            }
        }
    }
    println!("{most} files were given");
}

/// Writes so many files of a MiB, then waits to be ended.
fn fill(directory: &Path, mib: u64) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for count in 0..mib {
        fs::write(directory.join(count.to_string()), vec![1; 1 << 20])?;
    }
    println!("{mib} MiB are written");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Makes so many empty files, then waits to be ended.
fn litter(directory: &Path, count: u64) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for number in 0..count {
        File::create(directory.join(number.to_string()))?;
    }
    println!("{count} files are made");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Makes directories, each in the one before, with a wide one at the top.
fn dig(depth: u64) -> io::Result<()> {
    for number in 0..1_200 {
        fs::create_dir_all(format!("wide/{number}"))?;
    }
    for _ in 0..depth {
        fs::create_dir("deep")?;
        std::env::set_current_dir("deep")?;
    }
    println!("{depth} directories deep");
    Ok(())
}

fn lines(count: u64) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for number in 0..count {
        writeln!(out, "line {number}")?;
    }
    out.flush()
}
