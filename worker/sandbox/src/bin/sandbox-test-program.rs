//! For this crate's tests: the smallest helper, which otherwise tries from inside what must not work, or uses up what is limited.
#![expect(unsafe_code, reason = "it makes the calls that an attacker would make")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

use stampmill_sandbox::{Floor, Helper, Identity, Policy, spawn};

fn main() -> ExitCode {
    stampmill_sandbox::enter_if_asked();
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    let text = |index: usize| rest[index].to_string_lossy().into_owned();
    let number = |index: usize| text(index).parse::<usize>().expect("a number");
    let result = match verb.to_string_lossy().as_ref() {
        "args" => io::stdout()
            .write_all(&rest.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect::<Vec<_>>()),
        "connect" => TcpStream::connect(text(0)).map(drop),
        "connect-unix" => UnixStream::connect(text(0)).map(drop),
        "connect-abstract" => {
            SocketAddr::from_abstract_name(text(0)).and_then(|address| UnixStream::connect_addr(&address)).map(drop)
        }
        "exchange" => exchange(&text(0)),
        "calls" => calls(),
        "foreign-call" => foreign_call(),
        "eat" => eat(number(0)),
        "eat-together" => eat_together(number(0), number(1)),
        "fork" => fork_until_refused(number(0)),
        "memory-file" => memory_file(number(0)),
        "open" => open_until_refused(number(0)),
        "descriptors" => {
            for fd in 0..1000 {
                // SAFETY: only asks.
                if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
                    println!("{fd}");
                }
            }
            Ok(())
        }
        "raise" => {
            let signal = i32::try_from(number(0)).expect("a signal");
            // SAFETY: the default action instead of the standard library's handlers, then the signal.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal)
            };
            Ok(())
        }
        "without-user-namespaces" => without_user_namespaces(&text(0), &text(1), &text(2)),
        "run" => run_and_show(&text(0), &text(1), Floor::Required),
        "await-signal" => await_signal(),
        "parent" => parent(&text(0), &text(1)),
        "bench" => bench(&text(0), number(1)),
        other => Err(io::Error::other(format!("no such verb: {other}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends a text through the forwarder and shows what comes back.
fn exchange(text: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(stampmill_sandbox::PROXY_ADDRESS)?;
    let mut writer = stream.try_clone()?;
    let text = text.to_owned();
    let sender = std::thread::spawn(move || {
        writer.write_all(text.as_bytes())?;
        writer.shutdown(Shutdown::Write)
    });
    io::copy(&mut stream, &mut io::stdout())?;
    sender.join().expect("the sender does not panic")
}

/// Tries system calls that the filter must refuse, and prints each with what came of it.
fn calls() -> io::Result<()> {
    let none = 0_usize;
    let all: &[(&str, i64, [usize; 5])] = &[
        ("unshare-user", libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0]),
        ("unshare-mount", libc::SYS_unshare, [0x0002_0000, 0, 0, 0, 0]),
        ("unshare-time", libc::SYS_unshare, [0x80, 0, 0, 0, 0]),
        ("clone-user", libc::SYS_clone, [0x1000_0011, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [none; 5]),
        ("umount", libc::SYS_umount2, [none; 5]),
        ("pivot_root", libc::SYS_pivot_root, [none; 5]),
        ("chroot", libc::SYS_chroot, [none; 5]),
        ("open_tree", libc::SYS_open_tree, [none; 5]),
        ("fsopen", libc::SYS_fsopen, [none; 5]),
        ("mount_setattr", libc::SYS_mount_setattr, [none; 5]),
        ("ptrace", libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]),
        ("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0, 0, 0]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [none; 5]),
        ("keyctl", libc::SYS_keyctl, [0, usize::MAX, 0, 0, 0]),
        ("add_key", libc::SYS_add_key, [none; 5]),
        ("bpf", libc::SYS_bpf, [none; 5]),
        ("perf_event_open", libc::SYS_perf_event_open, [none; 5]),
        ("userfaultfd", libc::SYS_userfaultfd, [none; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("memfd_secret", libc::SYS_memfd_secret, [none; 5]),
        ("init_module", libc::SYS_init_module, [none; 5]),
        ("kexec_load", libc::SYS_kexec_load, [none; 5]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [none; 5]),
        ("tiocsti", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]),
        // The kernel looks at the lower half only.
        ("tiocsti-high", libc::SYS_ioctl, [0, 0x1_0000_5412, 0, 0, 0]),
        ("vsock", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("alg", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("packet", libc::SYS_socket, [17, 3, 0, 0, 0]),
        ("x32-getpid", libc::SYS_getpid | 0x4000_0000, [none; 5]),
        ("x32-mount", libc::SYS_mount | 0x4000_0000, [none; 5]),
        ("allowed-getpid", libc::SYS_getpid, [none; 5]),
        ("allowed-unshare", libc::SYS_unshare, [0x400, 0, 0, 0, 0]),
    ];
    for (name, call, [a, b, c, d, e]) in all {
        // SAFETY: each call either fails at once or only affects this process.
        let result = unsafe { libc::syscall(*call, *a, *b, *c, *d, *e) };
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        println!("{name} {}", if result < 0 { error } else { 0 });
        if result == 0 && name.starts_with("clone") {
            std::process::exit(0);
        }
    }
    Ok(())
}

/// `getpid` by the 32-bit gate.
#[cfg(target_arch = "x86_64")]
fn foreign_call() -> io::Result<()> {
    let mut result: i64 = 20;
    // SAFETY: 32-bit call 20 takes nothing and changes nothing.
    unsafe { std::arch::asm!("int 0x80", inout("rax") result, options(nostack)) };
    println!("{result}");
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
fn foreign_call() -> io::Result<()> {
    Err(io::Error::other("only on x86-64"))
}

/// Allocates and touches so many MiB.
fn eat(mib: usize) -> io::Result<()> {
    let mut all: Vec<u8> = Vec::new();
    all.try_reserve_exact(mib << 20).map_err(|_| io::Error::other("refused"))?;
    all.resize(mib << 20, 1);
    println!("{}", all.iter().step_by(4096).map(|one| u64::from(*one)).sum::<u64>());
    Ok(())
}

/// So many processes that each hold so many MiB until they are killed.
fn eat_together(processes: usize, mib: usize) -> io::Result<()> {
    for _ in 1..processes {
        // SAFETY: a fork of a single-threaded process.
        if unsafe { libc::fork() } == 0 {
            break;
        }
    }
    let held = vec![1_u8; mib << 20];
    println!("{}", held.len());
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Waits for `SIGTERM` and says what became of a child that did not leave the process group.
fn await_signal() -> io::Result<()> {
    let mut mask = nix::sys::signal::SigSet::empty();
    mask.add(nix::sys::signal::Signal::SIGTERM);
    // Before the mask, which it would inherit.
    let mut child = std::process::Command::new("sleep").arg("1000").spawn()?;
    mask.thread_block()?;
    println!("ready");
    mask.wait()?;
    println!("caught, {}", child.wait()?);
    std::process::exit(7);
}

/// Writes so many MiB into a file in memory that it never maps.
fn memory_file(mib: usize) -> io::Result<()> {
    let file = nix::sys::memfd::memfd_create(c"held", nix::sys::memfd::MFdFlags::empty())?;
    let mut file = std::fs::File::from(file);
    for _ in 0..mib {
        file.write_all(&[1; 1 << 20])?;
    }
    Ok(())
}

/// Makes processes until it is refused, and says how many there were with this one.
fn fork_until_refused(most: usize) -> io::Result<()> {
    for count in 1..=most {
        // SAFETY: a fork of a single-threaded process.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
            -1 => {
                println!("{count}");
                return Ok(());
            }
            _ => {}
        }
    }
    println!("unlimited");
    Ok(())
}

/// Opens files until it is refused, and says how many descriptors there were.
fn open_until_refused(most: usize) -> io::Result<()> {
    let mut open = Vec::new();
    while open.len() < most {
        match std::fs::File::open("/dev/null") {
            Ok(file) => open.push(file),
            Err(_) => {
                println!("{}", open.len() + 3);
                return Ok(());
            }
        }
    }
    println!("unlimited");
    Ok(())
}

/// A worker: starts a command that never ends, says so, and waits to be killed.
fn parent(work_dir: &str, script: &str) -> io::Result<()> {
    let argv = ["sh", "-c", script].map(Into::into).to_vec();
    let policy = Policy::new(argv, work_dir.into(), identity());
    let mut sandboxed = spawn(&Helper::this_program(), &policy).map_err(io::Error::other)?;
    let mut stdout = std::fs::File::from(sandboxed.stdout.take().expect("a pipe"));
    let mut byte = [0; 1];
    stdout.read_exact(&mut byte)?;
    println!("running");
    sandboxed.wait()?;
    Ok(())
}

/// A machine whose administrator has switched user namespaces off, for a worker that is root: this process goes into a user namespace with all
/// ids and forbids further ones in it. Then it runs a script with a floor.
fn without_user_namespaces(floor: &str, work_dir: &str, script: &str) -> io::Result<()> {
    let (mut ask, mut answer) = std::os::unix::net::UnixStream::pair()?;
    let process = std::process::id();
    // SAFETY: a fork of a single-threaded process.
    if unsafe { libc::fork() } == 0 {
        let mut byte = [0];
        answer.read_exact(&mut byte)?;
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{process}/{map}"), "0 0 100000")?;
        }
        answer.write_all(&byte)?;
        std::process::exit(0);
    }
    let flags = nix::sched::CloneFlags::CLONE_NEWUSER | nix::sched::CloneFlags::CLONE_NEWNS;
    nix::sched::unshare(flags)?;
    ask.write_all(b"x")?;
    ask.read_exact(&mut [0])?;
    std::fs::write("/proc/sys/user/max_user_namespaces", "0")?;
    let floor = match floor {
        "degraded" => Floor::Degraded,
        _ => Floor::Required,
    };
    println!("{:?}", stampmill_sandbox::probe(&Helper::this_program()).map_err(io::Error::other)?.tier);
    run_and_show(work_dir, script, floor)
}

/// Runs a script in a sandbox of this process's own; shows its output and end.
fn run_and_show(work_dir: &str, script: &str, floor: Floor) -> io::Result<()> {
    let argv = ["sh", "-c", script].map(Into::into).to_vec();
    let mut policy = Policy::new(argv, work_dir.into(), identity());
    policy.floor = floor;
    let mut sandboxed = spawn(&Helper::this_program(), &policy).map_err(io::Error::other)?;
    let stdout = sandboxed.stdout.take().expect("a pipe");
    io::copy(&mut std::fs::File::from(stdout), &mut io::stdout())?;
    println!("{:?}", sandboxed.wait()?.end);
    Ok(())
}

fn identity() -> Identity {
    if nix::unistd::geteuid().is_root() { Identity::Ids { uid: 61_234, gid: 61_234 } } else { Identity::Own }
}

/// How long a command takes from start to end, in microseconds: the least and the middle of so many.
fn bench(work_dir: &str, times: usize) -> io::Result<()> {
    let policy = Policy::new(vec!["/bin/true".into()], work_dir.into(), identity());
    let helper = Helper::this_program();
    let mut took = Vec::new();
    for _ in 0..times {
        let start = std::time::Instant::now();
        let mut sandboxed = spawn(&helper, &policy).map_err(io::Error::other)?;
        let ending = sandboxed.wait()?;
        took.push(start.elapsed().as_micros());
        if !matches!(ending.end, stampmill_sandbox::End::Exited(0)) {
            return Err(io::Error::other(format!("{ending:?}")));
        }
    }
    took.sort_unstable();
    println!("min {} us, median {} us", took[0], took[times / 2]);
    Ok(())
}
