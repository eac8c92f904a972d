//! What a command reaches.

use crate::run::{Place, give, run};
use stampmill_sandbox::{End, Mechanism, Network};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;

#[test]
fn without_a_grant_nothing_of_the_machine_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    let place = Place::new();
    let refused = run(&place.tool(["connect", &address])).failed();
    assert!(refused.contains("refused"), "{refused}");
    let proxy = run(&place.tool(["connect", stampmill_sandbox::PROXY_ADDRESS])).failed();
    assert!(proxy.contains("refused"), "{proxy}");
    let outside = run(&place.tool(["connect", "192.0.2.1:80"])).failed();
    assert!(outside.contains("unreachable"), "{outside}");
    let interfaces = run(&place.shell("tail -n +3 /proc/net/dev | cut -d: -f1")).ok();
    assert_eq!(interfaces.trim(), "lo");
}

#[test]
fn abstract_sockets_of_the_machine_do_not_answer() {
    let name = format!("stampmill-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = UnixListener::bind_addr(&address).expect("bound");
    let place = Place::new();
    let refused = run(&place.tool(["connect-abstract", &name])).failed();
    assert!(refused.contains("refused"), "{refused}");
}

/// Answers each connection with what it sent, in capital letters.
fn shouting(listener: UnixListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut all = String::new();
                stream.read_to_string(&mut all).expect("read");
                stream.write_all(all.to_uppercase().as_bytes()).expect("written");
                stream.shutdown(Shutdown::Both).expect("shut");
            });
        }
    });
}

#[test]
fn with_a_grant_the_proxy_answers_and_nothing_else() {
    let place = Place::new();
    let socket = place.outer().join("proxy.sock");
    shouting(UnixListener::bind(&socket).expect("bound"));
    give(&socket);
    let mut policy = place.tool(["exchange", "hello"]);
    policy.network = Network::Proxy { socket: socket.clone() };
    assert_eq!(run(&policy).ok(), "HELLO");
    policy.argv[1] = "connect-unix".into();
    policy.argv[2] = socket.clone().into();
    let refused = run(&policy).failed();
    assert!(refused.contains("No such file"), "{refused}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address").to_string();
    policy.argv[1] = "connect".into();
    policy.argv[2] = address.into();
    assert!(run(&policy).failed().contains("refused"));
}

#[test]
fn the_forwarder_carries_large_transfers_both_ways_at_once() {
    let place = Place::new();
    let socket = place.outer().join("proxy.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    give(&socket);
    let echo = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        let mut writer = stream.try_clone().expect("cloned");
        std::io::copy(&mut &stream, &mut writer).expect("copied");
        writer.shutdown(Shutdown::Write).expect("shut");
    });
    // An argument holds 128 KiB at most; the buffers on the way are smaller than that.
    let text = "0123456789abcdef".repeat(7_000);
    let mut policy = place.tool(["exchange", &text]);
    policy.network = Network::Proxy { socket };
    assert!(run(&policy).ok() == text);
    echo.join().expect("the echo does not panic");
}

#[test]
fn a_proxy_that_is_gone_closes_connections_and_one_that_is_closed_to_the_step_is_named() {
    let place = Place::new();
    let socket = place.outer().join("proxy.sock");
    drop(UnixListener::bind(&socket).expect("bound"));
    give(&socket);
    let mut policy = place.tool(["exchange", "hello"]);
    policy.network = Network::Proxy { socket: socket.clone() };
    let output = run(&policy);
    assert_eq!(output.stdout, "");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o400)).expect("mode");
    let End::SetupFailed(fault) = run(&policy).end else {
        panic!("it ran");
    };
    assert_eq!(fault.mechanism, Mechanism::Proxy);
    assert!(fault.text.contains("may not connect"), "{fault}");
}
