//! The system call filter: a list of what a build never needs and an attacker of the kernel does. What isn't listed is allowed, because a build may be anything.
//!
//! Refused calls fail with `EPERM`; those that programs try and can do without fail with `ENOSYS`, so that they fall back. Calls of another
//! architecture (32-bit code on a 64-bit kernel) kill the process, calls of the x32 ABI fail with `ENOSYS`.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};
use std::collections::BTreeMap;

use crate::fault::{Blame, Fault, Mechanism};

/// Always refused.
const REFUSED: &[i64] = &[
    // the file system's shape, and ways around paths
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_nfsservctl,
    // other namespaces
    libc::SYS_setns,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // the kernel itself
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    // the worker's keys
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // the machine's clock and name
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Always refused, on this architecture only.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Not there: `clone3` because its flags are in memory that a filter can't read, `io_uring` because it makes calls that no filter sees,
/// `memfd_secret` because the memory watch does not see it.
const ABSENT: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_memfd_secret,
];

/// Any of these in `clone` or `unshare` would make a namespace.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// `CLONE_NEWTIME`, only in `unshare`: in `clone` the bit belongs to the signal number.
const NEW_TIME: u64 = 0x80;

/// Sockets that a command can make: local ones, IP (within its own network namespace), and netlink (which lists interfaces). Not
/// among them are those that no namespace confines (vsock) and those that are there to be attacked.
const SOCKETS: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Terminal calls that type into somebody else's terminal.
const TERMINAL: [u64; 2] = [0x5412, 0x541c]; // TIOCSTI, TIOCLINUX

/// Loads the filter. From here on the process can hardly do more than start the command.
pub(crate) fn apply() -> Result<(), Fault> {
    let filter = filter().blame(Mechanism::Seccomp, "filter")?;
    apply_filter(&filter).blame(Mechanism::Seccomp, "filter")
}

/// All in one program, and a short one: the kernel translates each program that it is given, step by step, for every command.
fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut filter = beginning();
    filter.extend(ABSENT.iter().flat_map(|call| answer_to(*call, libc::ENOSYS)));
    filter.extend(REFUSED.iter().chain(REFUSED_HERE).flat_map(|call| answer_to(*call, libc::EPERM)));
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let by_argument: BpfProgram =
        SeccompFilter::new(refused_by_argument()?, SeccompAction::Allow, refuse, arch)?.try_into()?;
    filter.extend(by_argument);
    Ok(filter)
}

/// Calls that are refused with some arguments.
fn refused_by_argument() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules = BTreeMap::new();
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        namespaces.push(has_bit(u64::from(flag.cast_unsigned()))?);
    }
    rules.insert(libc::SYS_clone, namespaces.clone());
    namespaces.push(has_bit(NEW_TIME)?);
    rules.insert(libc::SYS_unshare, namespaces);
    let mut terminal = Vec::new();
    for request in TERMINAL {
        // The kernel looks at 32 bits only; so must the filter.
        let condition = SeccompCondition::new(1, Length::Dword, Op::Eq, request)?;
        terminal.push(SeccompRule::new(vec![condition])?);
    }
    rules.insert(libc::SYS_ioctl, terminal);
    let mut other_socket = Vec::new();
    for family in SOCKETS {
        let family = u64::from(family.cast_unsigned());
        other_socket.push(SeccompCondition::new(0, Length::Dword, Op::Ne, family)?);
    }
    let other_socket = vec![SeccompRule::new(other_socket)?];
    rules.insert(libc::SYS_socket, other_socket.clone());
    rules.insert(libc::SYS_socketpair, other_socket);
    Ok(rules)
}

fn has_bit(bit: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition = SeccompCondition::new(0, Length::Qword, Op::MaskedEq(bit), bit)?;
    SeccompRule::new(vec![condition])
}

/// The machine of the calls that the lists above number: `AUDIT_ARCH_X86_64`, `AUDIT_ARCH_AARCH64`.
const MACHINE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const fn step(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Kills what makes calls of another machine, and answers those of x32, which carry the 64-bit machine's number and bit 30 in the call's: without
/// this every call could be made under its second number. What comes after it finds the call's number loaded.
fn beginning() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    vec![
        // Of what a filter sees the first word is the call's number, the second the machine.
        step(LOAD_WORD, 0, 0, 4),
        step(JUMP_IF_EQUAL, 1, 0, MACHINE),
        step(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_IF_GREATER_OR_EQUAL, 0, 1, X32_BIT),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
    ]
}

/// Answers a call with an error, whatever its arguments.
fn answer_to(call: i64, error: i32) -> [sock_filter; 2] {
    // No call has a number that is larger; one that has none is never made.
    let number = u32::try_from(call).unwrap_or(u32::MAX);
    [step(JUMP_IF_EQUAL, 0, 1, number), step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | error.cast_unsigned())]
}

/// Whether this kernel has filters and this architecture is one that they are written for.
pub(crate) fn is_available() -> bool {
    filter().is_ok() && std::path::Path::new("/proc/sys/kernel/seccomp").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a filter answers to a call: the few instructions of classic BPF that filters are made of.
    fn answer(program: &BpfProgram, arch: u32, call: u32, first: u64) -> u32 {
        let low = u32::try_from(first & 0xffff_ffff).expect("32 bits");
        let high = u32::try_from(first >> 32).expect("32 bits");
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = &program[at];
            let jump = |taken: bool| usize::from(if taken { step.jt } else { step.jf });
            at += 1 + match step.code {
                0x20 => {
                    accumulator = match step.k {
                        0 => call,
                        4 => arch,
                        16 => low,
                        20 => high,
                        _ => 0,
                    };
                    0
                }
                0x54 => {
                    accumulator &= step.k;
                    0
                }
                0x05 => usize::try_from(step.k).expect("a jump"),
                0x15 => jump(accumulator == step.k),
                0x25 => jump(accumulator > step.k),
                0x35 => jump(accumulator >= step.k),
                0x06 => return step.k,
                other => panic!("instruction {other:#x}"),
            };
        }
    }

    fn call(number: i64) -> u32 {
        u32::try_from(number).expect("a call")
    }

    #[test]
    fn the_filter_answers_as_the_lists_say() {
        let filter = filter().expect("the rules are sound");
        assert!(filter.len() < 4096, "the kernel's bound");
        let error = |number: i32| libc::SECCOMP_RET_ERRNO | number.cast_unsigned();
        for number in REFUSED.iter().chain(REFUSED_HERE) {
            assert_eq!(answer(&filter, MACHINE, call(*number), 0), error(libc::EPERM));
        }
        for number in ABSENT {
            assert_eq!(answer(&filter, MACHINE, call(*number), 0), error(libc::ENOSYS));
        }
        for number in [libc::SYS_read, libc::SYS_openat, libc::SYS_clone, libc::SYS_unshare] {
            assert_eq!(answer(&filter, MACHINE, call(number), 0), libc::SECCOMP_RET_ALLOW);
        }
        for flag in NAMESPACES {
            let flags = u64::from(flag.cast_unsigned()) | 17;
            assert_eq!(answer(&filter, MACHINE, call(libc::SYS_clone), flags), error(libc::EPERM));
        }
    }

    #[test]
    fn calls_under_a_second_number_and_of_another_architecture_are_refused() {
        let filter = filter().expect("the rules are sound");
        let x32 = |number| call(number) | 0x4000_0000;
        for number in [libc::SYS_mount, libc::SYS_read] {
            let expected = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
            assert_eq!(answer(&filter, MACHINE, x32(number), 0), expected);
        }
        let i386 = 0x4000_0003;
        assert_eq!(answer(&filter, i386, 20, 0), libc::SECCOMP_RET_KILL_PROCESS);
    }
}
