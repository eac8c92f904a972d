use super::*;

fn net(grant: &[&str]) -> Places {
    Places::of_net(&grant.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn http(grant: &[&str]) -> Places {
    Places::of_origins(&grant.iter().map(ToString::to_string).collect::<Vec<_>>(), "https")
}

fn target(text: &str) -> Target {
    Target::parse(text, None).unwrap()
}

/// What is decided when a name leads to these addresses: the ones to connect to, or the refusal.
fn decided(places: &Places, to: &str, found: &[&str]) -> Result<Vec<String>, String> {
    let target = target(to);
    let found = found.iter().map(|address| address.parse::<IpAddr>().unwrap());
    let decided = places.name(&target).and_then(|()| places.fitting(&target, found));
    decided.map(|ways| ways.iter().map(ToString::to_string).collect()).map_err(|no| no.to_string())
}

#[test]
fn nothing_is_granted_by_default() {
    for to in ["git.example:443", "127.0.0.1:80", "localhost:80", "8.8.8.8:53", "[::1]:80"] {
        let refused = decided(&net(&[]), to, &["8.8.8.8"]).unwrap_err();
        assert!(refused.contains(&format!("is not granted; the grant `net = [\"{to}\"]` would allow it")), "{refused}");
    }
}

#[test]
fn a_granted_name_is_reached_at_its_public_addresses_by_whatever_spelling() {
    let places = net(&["Git.Example:443"]);
    for to in ["git.example:443", "GIT.EXAMPLE:443", "git.example.:443", "git%2eexample:443"] {
        assert_eq!(
            decided(&places, to, &["1.1.1.1", "2606:4700::1", "1.1.1.1"]).unwrap(),
            ["1.1.1.1:443", "[2606:4700::1]:443"]
        );
    }
    for to in [
        "git.example:444",
        "git.example.evil.example:443",
        "evil-git.example:443",
        "sub.git.example:443",
        "1.1.1.1:443",
    ] {
        assert!(decided(&places, to, &["1.1.1.1"]).unwrap_err().contains("is not granted"), "{to}");
    }
    assert!(decided(&net(&["bücher.example:443"]), "xn--bcher-kva.example:443", &["1.1.1.1"]).is_ok());
    assert!(decided(&net(&["git.example:*"]), "git.example:8443", &["1.1.1.1"]).is_ok());
}

#[test]
fn a_name_never_stands_for_an_address_that_is_not_public() {
    let places = net(&["git.example:443"]);
    for (address, what) in [
        ("10.0.0.5", "a private address"),
        ("172.16.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("fd12::1", "a private address"),
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("169.254.169.254", "metadata service"),
        ("fd00:ec2::254", "metadata service"),
        ("100.64.0.1", "provider's own network"),
        ("224.0.0.1", "a multicast address"),
        ("0.0.0.0", "an unspecified address"),
        ("::", "an unspecified address"),
        ("::ffff:10.0.0.5", "a private address"),
        ("::10.0.0.5", "a private address"),
        ("64:ff9b::10.0.0.5", "a private address"),
        ("2002:a00:5::1", "a private address"),
        ("203.0.113.1", "a reserved address"),
    ] {
        let refused = decided(&places, "git.example:443", &[address]).unwrap_err();
        assert!(refused.starts_with("`git.example:443` leads to ") && refused.contains(what), "{address}: {refused}");
        assert!(refused.contains("beside it would allow that"), "{refused}");
        // A second, harmless answer does not carry the first one through.
        assert_eq!(decided(&places, "git.example:443", &[address, "1.1.1.1"]).unwrap(), ["1.1.1.1:443"], "{address}");
    }
}

#[test]
fn an_address_that_the_grant_names_is_meant() {
    let both = net(&["git.internal:443", "10.0.0.5:443"]);
    assert_eq!(decided(&both, "git.internal:443", &["10.0.0.5"]).unwrap(), ["10.0.0.5:443"]);
    assert!(decided(&both, "git.internal:443", &["10.0.0.6"]).unwrap_err().contains("leads to 10.0.0.6, a private"));
    let other_port = net(&["git.internal:443", "10.0.0.5:80"]);
    assert!(decided(&other_port, "git.internal:443", &["10.0.0.5"]).is_err());
    let range = net(&["git.internal:443", "10.0.0.0/24:443", "[fd12::/16]:443"]);
    assert_eq!(
        decided(&range, "git.internal:443", &["10.0.0.77", "10.0.1.1", "fd12::9"]).unwrap(),
        ["10.0.0.77:443", "[fd12::9]:443"]
    );
    assert!(decided(&range, "10.0.0.9:443", &["10.0.0.9"]).is_ok(), "a range grants its addresses");
    assert!(decided(&range, "10.0.0.9:444", &["10.0.0.9"]).is_err());
    assert!(decided(&range, "other.internal:443", &["10.0.0.9"]).is_err(), "and no names");
    for literal in ["127.0.0.1:80", "169.254.169.254:80", "[fd00:ec2::254]:80", "[::ffff:10.0.0.1]:80"] {
        let Host::Address(address) = target(literal).host else { panic!("{literal} is an address") };
        assert!(decided(&net(&[literal]), literal, &[&address.to_string()]).is_ok(), "{literal}");
    }
    assert!(decided(&net(&["127.0.0.1:80"]), "0x7f.1:80", &["127.0.0.1"]).is_ok(), "another spelling of the same");
    assert!(decided(&net(&["127.0.0.1:80"]), "[::ffff:127.0.0.1]:80", &["::ffff:127.0.0.1"]).is_err());
}

#[test]
fn localhost_is_this_machine_and_nothing_else() {
    let places = net(&["LocalHost:80"]);
    assert_eq!(decided(&places, "localhost:80", &["::1", "127.0.0.1"]).unwrap(), ["[::1]:80", "127.0.0.1:80"]);
    assert!(decided(&places, "localhost:80", &["10.0.0.1"]).is_err());
    assert!(decided(&places, "localhost:80", &["::ffff:10.0.0.1"]).is_err());
    assert!(decided(&places, "127.0.0.1:80", &["127.0.0.1"]).is_err(), "the name is granted, not the address");
    assert!(decided(&net(&["sub.localhost:80"]), "sub.localhost:80", &["127.0.0.1"]).is_err());
}

#[test]
fn an_address_in_another_spelling_is_refused_as_what_it_is() {
    for spelling in
        ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xa9.0xfe.0xa9.0xfe", "169.254.169.254."]
    {
        let refused = decided(&net(&["git.example:80"]), &format!("{spelling}:80"), &[]).unwrap_err();
        assert!(
            refused.starts_with("`169.254.169.254:80`, the address of a cloud's metadata service, is not granted"),
            "{refused}"
        );
    }
}

#[test]
fn an_origin_grants_its_name_and_address_in_the_same_way() {
    let places = http(&["https://chat.internal", "https://10.0.0.5", "http://plain.example"]);
    assert_eq!(decided(&places, "chat.internal:443", &["10.0.0.5"]).unwrap(), ["10.0.0.5:443"]);
    let refused = decided(&places, "chat.internal:443", &["10.0.0.6"]).unwrap_err();
    assert!(refused.contains("the grant `http = [\"https://10.0.0.6:443\"]` beside it"), "{refused}");
    assert!(decided(&places, "plain.example:80", &["127.0.0.1"]).is_err());
    assert!(decided(&places, "plain.example:80", &["1.1.1.1"]).is_ok());
}

#[test]
fn what_can_be_meant_as_a_grant_of_net_is_known() {
    for good in [
        "git.example:443",
        "git.example:*",
        "10.0.0.5:22",
        "[::1]:80",
        "[::1]:*",
        "10.0.0.0/8:443",
        "[fd00::/8]:443",
        "fd00::/8:443",
    ] {
        assert!(is_place(good), "{good}");
    }
    for bad in [
        "",
        "*",
        "*:443",
        "git.example",
        "git.example:0",
        "git.example:x",
        "git.example/8:443",
        "10.0.0.0/33:443",
        "10.0.0.0/8",
        "u@h:1",
        "a b:1",
    ] {
        assert!(!is_place(bad), "{bad}");
    }
    for (text, loopback) in [
        ("localhost:1", true),
        ("127.0.0.2:*", true),
        ("[::1]:9", true),
        ("127.0.0.0/8:1", true),
        ("10.0.0.1:1", false),
        ("a:1", false),
    ] {
        assert_eq!(names_loopback(text), loopback, "{text}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_granted_is_not_even_looked_up() {
    // Whoever looked it up would answer that it is unknown, or take long.
    let no = way(&net(&["git.example:443"]), &target("secret.exfiltrated.invalid:443")).await.unwrap_err();
    assert!(matches!(no, NoWay::NotGranted { .. }), "{no}");
    assert_eq!(way(&net(&["127.0.0.1:9"]), &target("127.0.0.1:9")).await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
    let home = way(&net(&["localhost:9"]), &target("localhost:9")).await.unwrap();
    assert!(home.iter().all(|address| address.ip().is_loopback()), "{home:?}");
}
