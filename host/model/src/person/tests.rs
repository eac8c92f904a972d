//! Authors in every form, and attributes.

use super::*;

/// A version control system, an author as it writes it, and what is understood: name, address, user name, key.
type Row<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

const ANN: Option<&str> = Some("Ann Example");
const MAIL: Option<&str> = Some("ann@example.org");

const FORMS: [Row<'_>; 18] = [
    ("git", "Ann Example <ann@example.org>", ANN, MAIL, None, "ann@example.org"),
    ("git", "Zoë Ünal <Zoë@Example.ORG>", Some("Zoë Ünal"), Some("Zoë@Example.ORG"), None, "zoë@example.org"),
    ("git", "\"Example, Ann\" <ann@example.org>", Some("Example, Ann"), MAIL, None, "ann@example.org"),
    ("git", " <ann@example.org>", None, MAIL, None, "ann@example.org"),
    ("git", "ann <>", None, None, Some("ann"), "ann"),
    ("git", "Ann Example <>", ANN, None, None, "Ann Example"),
    // Of an address that is none nobody knows whether it is of one person alone.
    ("git", "Ann Example <none>", Some("Ann Example <none>"), None, None, "Ann Example <none>"),
    ("git", "a <b> c <ann@example.org>", Some("a <b> c"), MAIL, None, "ann@example.org"),
    ("svn", "ann", None, None, Some("ann"), "ann"),
    ("svn", "CORP\\ann", None, None, Some("CORP\\ann"), "CORP\\ann"),
    ("cvs", "Ann", None, None, Some("Ann"), "Ann"),
    ("hg", "Ann Example <ann@example.org>", ANN, MAIL, None, "ann@example.org"),
    ("hg", "ann@example.org", None, MAIL, None, "ann@example.org"),
    ("hg", "ann at example dot org", Some("ann at example dot org"), None, None, "ann at example dot org"),
    ("bzr", "Ann Example", ANN, None, None, "Ann Example"),
    ("darcs", "ann@example.org", None, MAIL, None, "ann@example.org"),
    ("darcs", "Ann Example <ann@example.org>", ANN, MAIL, None, "ann@example.org"),
    ("darcs", "ann@example.org (Ann Example)", ANN, MAIL, None, "ann@example.org"),
];

#[test]
fn a9_03_an_author_is_understood_in_the_form_of_every_version_control_system() {
    for (system, text, name, email, username, key) in FORMS {
        let author = Author::parse(text).unwrap_or_else(|| panic!("{system}: {text}"));
        let found = (author.name.as_deref(), author.email.as_deref(), author.username.as_deref());
        assert_eq!(found, (name, email, username), "{system}: {text}");
        assert_eq!(author.key(), key, "{system}: {text}");
        assert_eq!(Attribute::of(&author).key().value, key, "{system}: {text}");
        assert_eq!(
            Attribute::new(system, text.trim()).unwrap().key(),
            Attribute::of(&author).key(),
            "{system}: {text}"
        );
    }
}

#[test]
fn who_is_called_what_by_name_then_by_user_name_then_by_address() {
    let called = |text: &str| Author::parse(text).unwrap().called().to_owned();
    assert_eq!(
        ["Ann Example <ann@example.org>", "ann", "ann@example.org", "\"\" <ann@example.org>"].map(called),
        ["Ann Example", "ann", "ann@example.org", "ann@example.org"]
    );
}

#[test]
fn what_names_nobody_is_no_author() {
    let long = "x".repeat(AUTHOR_BYTES_MAX + 1);
    for text in ["", "  ", "<>", " <> ", "two\nlines", "\u{1b}[2J", long.as_str()] {
        assert_eq!(Author::parse(text), None, "{text:?}");
    }
    assert!(Author::parse(&long[1..]).is_some());
    assert_eq!(author_key("two\nlines"), "two\nlines");
}

#[test]
fn a9_11_a15_05_a_build_interests_its_blamelist_and_then_whom_the_builder_names() {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let blamelist = texts(&["Ann <ann@example.org>", "bob"]);
    let named = texts(&["Sheriff <sheriff@example.org>", "ANN@example.org", "bob"]);
    let all = texts(&["Ann <ann@example.org>", "bob", "Sheriff <sheriff@example.org>"]);
    assert_eq!(interested(&blamelist, &named), all);
}

#[test]
fn an_attribute_that_does_not_fit_is_refused_with_the_mend() {
    let refused = |text: &str| Attribute::parse(text).unwrap_err().to_string();
    assert_eq!(
        refused("ann"),
        "attribute \"ann\" has no kind; write KIND:VALUE, such as email:ann@example.org or irc:ann"
    );
    for text in ["IRC:ann", ":ann", "1rc:ann", "i rc:ann", &format!("{}:x", "k".repeat(33))] {
        assert!(refused(text).contains("take 1 to 32 lower-case letters, digits and dashes"), "{text}");
    }
    for text in ["irc:", "irc: ann", "irc:a\u{7}", &format!("irc:{}", "x".repeat(513))] {
        assert!(refused(text).contains("take 1 to 512 without control characters"), "{text}");
    }
    assert_eq!(refused("email:ann"), "`email` is \"ann\", which is no address; write it as ann@example.org");
}

#[test]
fn authors_are_one_space_of_keys_and_every_other_kind_is_one_of_its_own() {
    let key = |text: &str| Attribute::parse(text).unwrap().key();
    assert_eq!(key("git:Ann <Ann@Example.org>"), key("email:ann@example.org"));
    assert_eq!(key("svn:ann"), key("author:ann"));
    assert_ne!(key("svn:ann"), key("irc:ann"));
    // An author of the name of a login is not who logs in.
    assert_ne!(key("author:ann"), key("user:ann"));
}

#[test]
fn a_person_is_meant_by_id_by_attribute_or_by_the_value_of_one() {
    assert_eq!(PersonRef::parse("7"), PersonRef::Id(PersonId(7)));
    assert_eq!(PersonRef::parse("irc:ann_"), PersonRef::Attribute(Attribute::new("irc", "ann_").unwrap()));
    for text in ["Ann <ann@example.org>", "Ann: she", "-1", ""] {
        assert_eq!(PersonRef::parse(text), PersonRef::Any(text.to_owned()));
    }
}
