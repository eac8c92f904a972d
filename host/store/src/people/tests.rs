//! People: by changes, and by an administrator.

use std::sync::Arc;

use stampmill_engine::Write;
use stampmill_model::{Change, ChangeId, PersonRef, SeenChange, Steady};
use tempfile::TempDir;

use super::*;
use crate::reader::Page;
use crate::samples::{bare_change, user};

fn open() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn change(id: u64, author: &str) -> Change {
    let seen = SeenChange { author: author.to_owned(), ..SeenChange::default() };
    Change { id: ChangeId(id), arrived_at: Wall(100 * id), seen, ..bare_change() }
}

fn commit(store: &Store, changes: &[(u64, &str)]) {
    let writes: Vec<_> = changes.iter().map(|(id, author)| Write::Change(Arc::new(change(*id, author)))).collect();
    store.commit(&writes, Steady(1)).unwrap();
}

fn attribute(text: &str) -> Attribute {
    Attribute::parse(text).unwrap()
}

/// Everybody, whoever became known first first: id, name, attributes.
fn people(store: &Store) -> Vec<(u64, String, Vec<String>)> {
    let mut people = store.read().unwrap().people(None, 1_000).unwrap().items;
    people.reverse();
    let shown = |held: &Attribute| held.to_string();
    people.into_iter().map(|it| (it.id.0, it.name, it.attributes.iter().map(shown).collect())).collect()
}

fn known(id: u64, name: &str, attributes: &[&str]) -> (u64, String, Vec<String>) {
    (id, name.to_owned(), attributes.iter().map(|text| (*text).to_owned()).collect())
}

fn find(store: &Store, text: &str) -> Vec<u64> {
    let found = store.read().unwrap().find_people(&PersonRef::parse(text)).unwrap();
    found.into_iter().map(|id| id.0).collect()
}

fn changes_of(store: &Store, id: u64, before: Option<u64>, limit: usize) -> (Vec<u64>, Option<u64>) {
    let reader = store.read().unwrap();
    let person = reader.person(PersonId(id)).unwrap().unwrap();
    let Page { items, next } = reader.changes_of(&person, before.map(ChangeId), limit).unwrap();
    (items.iter().map(|change| change.id.0).collect(), next.map(|id| id.0))
}

#[test]
fn a2_09_the_author_of_a_change_is_added_once_and_matched_from_then_on() {
    let (_directory, store) = open();
    commit(&store, &[(1, "Ann Example <ann@example.org>"), (2, "bob"), (3, "A. Example <Ann@Example.ORG>")]);
    commit(&store, &[(4, "bob"), (5, "ann@example.org"), (6, ""), (7, "two\nlines")]);
    let both = [known(1, "Ann Example", &["email:ann@example.org"]), known(2, "bob", &["author:bob"])];
    assert_eq!(people(&store), both);
    assert_eq!(store.read().unwrap().person(PersonId(1)).unwrap().unwrap().since, Wall(100));
    assert_eq!(changes_of(&store, 1, None, 9), (vec![5, 3, 1], None));
    assert_eq!(changes_of(&store, 1, None, 2), (vec![5, 3], Some(3)));
    assert_eq!(changes_of(&store, 1, Some(3), 2), (vec![1], None));
    assert_eq!(changes_of(&store, 2, None, 2), (vec![4, 2], None));
}

#[test]
fn a_host_that_was_killed_has_the_same_people_under_the_same_ids() {
    let (directory, store) = open();
    commit(&store, &[(1, "bob"), (2, "Ann <ann@example.org>")]);
    store.add_person("Cy", &[attribute("irc:cy")], Wall(5)).unwrap();
    commit(&store, &[(3, "dan"), (1, "bob")]);
    commit(&store, &[(4, "eve"), (5, "dan")]);
    let before = people(&store);
    assert_eq!(before.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // What the directory holds while the store is open is what a kill leaves.
    let copy = tempfile::tempdir().unwrap();
    for file in ["stampmill.redb", "stampmill.journal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let again = Store::open(copy.path()).unwrap();
    assert_eq!(people(&again), before);
    assert_eq!(changes_of(&again, 4, None, 9), (vec![5, 3], None));
}

#[test]
fn a9_02_somebody_is_found_by_any_of_their_attributes() {
    let (_directory, store) = open();
    let attributes = ["git:Ann Example <ann@example.org>", "irc:ann_", "svn:aexample"].map(attribute);
    store.add_person("Ann", &attributes, Wall(5)).unwrap();
    for text in [
        "1",
        "irc:ann_",
        "ann_",
        "svn:aexample",
        "aexample",
        "email:ann@example.org",
        "ANN@example.org",
        "Somebody Else <ann@example.org>",
        "git:Ann Example <ann@example.org>",
    ] {
        assert_eq!(find(&store, text), [1], "{text}");
    }
    for text in ["2", "irc:aexample", "ann", "matrix:ann_", ""] {
        assert!(find(&store, text).is_empty(), "{text}");
    }
    // Whoever commits as one of them is her.
    commit(&store, &[(1, "aexample"), (2, "Ann <ann@example.org>")]);
    assert_eq!((people(&store).len(), changes_of(&store, 1, None, 9).0), (1, vec![2, 1]));
    // One word may be different things of different people.
    store.add_person("Bob", &[attribute("matrix:ann_")], Wall(5)).unwrap();
    assert_eq!((find(&store, "ann_"), find(&store, "irc:ann_")), (vec![1, 2], vec![1]));
}

#[test]
fn an_attribute_that_is_somebody_elses_is_refused_with_whose_and_nothing_is_kept() {
    let (_directory, store) = open();
    commit(&store, &[(1, "Ann <ann@example.org>"), (2, "bob")]);
    let before = people(&store);
    let patch = PersonPatch {
        name: Some("Robert".to_owned()),
        add: ["irc:bob", "git:Bob <ANN@example.org>"].map(attribute).into(),
        remove: vec![attribute("author:bob")],
    };
    assert_eq!(
        store.update_person(PersonId(2), &patch).unwrap_err().to_string(),
        "git:Bob <ANN@example.org> belongs to Ann (person 1) already; remove it there, or merge the two"
    );
    let refused = store.add_person("Cy", &patch.add, Wall(1)).unwrap_err();
    assert!(matches!(refused, PersonError::Taken { holder: PersonId(1), .. }), "{refused}");
    assert_eq!(people(&store), before);
    assert!(find(&store, "irc:bob").is_empty());
}

#[test]
fn what_is_changed_of_a_person_holds_for_their_next_change() {
    let (_directory, store) = open();
    commit(&store, &[(1, "Ann <ann@example.org>")]);
    let new = PersonPatch {
        name: Some("Ann Example".to_owned()),
        add: ["git:Ann <ann@example.org>", "email:ann@home.example", "email:ann@example.org"].map(attribute).into(),
        remove: vec![],
    };
    store.update_person(PersonId(1), &new).unwrap();
    let all = ["email:ann@example.org", "git:Ann <ann@example.org>", "email:ann@home.example"];
    assert_eq!(people(&store), [known(1, "Ann Example", &all)]);
    commit(&store, &[(2, "ann@home.example")]);
    assert_eq!(changes_of(&store, 1, None, 9).0, [2, 1]);

    // One of two attributes that are the same goes, and she is found by the other.
    let less = |text: &str| PersonPatch { remove: vec![attribute(text)], ..PersonPatch::default() };
    store.update_person(PersonId(1), &less("email:ann@example.org")).unwrap();
    assert_eq!(find(&store, "ann@example.org"), [1]);
    store.update_person(PersonId(1), &less("email:ann@home.example")).unwrap();
    commit(&store, &[(3, "Ann At Home <ann@home.example>")]);
    assert_eq!(people(&store)[1], known(2, "Ann At Home", &["email:ann@home.example"]));
    assert_eq!(
        store.update_person(PersonId(1), &less("irc:ann")).unwrap_err().to_string(),
        "Ann Example (person 1) has no attribute irc:ann"
    );
}

#[test]
fn two_who_turn_out_to_be_one_are_merged_and_stay_so() {
    let (_directory, store) = open();
    commit(&store, &[(1, "Ann <ann@home.example>"), (2, "Ann Example <ann@example.org>"), (3, "bob")]);
    store.merge_people(PersonId(1), PersonId(2)).unwrap();
    let one = known(2, "Ann Example", &["email:ann@example.org", "email:ann@home.example"]);
    assert_eq!(people(&store), [one.clone(), known(3, "bob", &["author:bob"])]);
    assert_eq!(store.read().unwrap().person(PersonId(2)).unwrap().unwrap().since, Wall(100));
    commit(&store, &[(4, "Ann <ann@home.example>"), (5, "Ann <ann@example.org>")]);
    assert_eq!(people(&store)[0], one);
    assert_eq!(changes_of(&store, 2, None, 9).0, [5, 4, 2, 1]);
    let refused = |from, into| store.merge_people(PersonId(from), PersonId(into)).unwrap_err().to_string();
    assert_eq!(refused(2, 2), "person 2 can't be merged with themselves; name two");
    assert_eq!(refused(1, 2), "there is no person 1");
    assert_eq!(refused(2, 9), "there is no person 9");
}

#[test]
fn somebody_who_was_removed_comes_back_with_a_new_change_alone_and_under_another_id() {
    let (_directory, store) = open();
    commit(&store, &[(1, "ann"), (2, "bob")]);
    store.remove_person(PersonId(2)).unwrap();
    assert!(matches!(store.remove_person(PersonId(2)), Err(PersonError::Unknown(PersonId(2)))));
    // The change is written anew with each decision on it.
    commit(&store, &[(2, "bob")]);
    assert_eq!(people(&store), [known(1, "ann", &["author:ann"])]);
    commit(&store, &[(3, "bob")]);
    assert_eq!(people(&store)[1], known(3, "bob", &["author:bob"]));
    assert_eq!(changes_of(&store, 3, None, 9).0, [3, 2]);
}

#[test]
fn a_login_is_linked_by_its_name_alone_and_is_parted_from_the_person_when_it_goes() {
    let (_directory, store) = open();
    let link = PersonPatch { add: vec![attribute("user:ann")], ..PersonPatch::default() };
    commit(&store, &[(1, "ann")]);
    assert_eq!(
        store.update_person(PersonId(1), &link).unwrap_err().to_string(),
        "there is no user `ann` who may log in; `stampmill user list` shows who is"
    );
    store.put_user(&user("ann")).unwrap();
    assert!(find(&store, "user:ann").is_empty(), "an author of the name of a login is not who logs in");
    let ann = store.add_person("Ann", &link.add, Wall(1)).unwrap();
    commit(&store, &[(2, "ann"), (3, "user:ann")]);
    assert_eq!((find(&store, "user:ann"), find(&store, "author:ann")), (vec![ann.id.0], vec![1]));
    assert!(changes_of(&store, ann.id.0, None, 9).0.is_empty());
    store.delete_user("ann").unwrap();
    assert!(find(&store, "user:ann").is_empty());
    assert_eq!(people(&store)[1], known(2, "Ann", &[]));
}

#[test]
fn nobody_has_more_attributes_and_there_are_no_more_people_than_fit() {
    let (_directory, store) = open();
    let many = |kind: &str, count: usize| -> Vec<_> {
        (0..count).map(|number| Attribute::new(kind, &format!("a{number}")).unwrap()).collect()
    };
    let refused = store.add_person("Ann", &many("irc", PERSON_ATTRIBUTES_MAX + 1), Wall(1)).unwrap_err();
    assert!(refused.to_string().starts_with("Ann would have 65 attributes and may have 64;"), "{refused}");
    let ann = store.add_person("Ann", &many("irc", PERSON_ATTRIBUTES_MAX), Wall(1)).unwrap().id;
    let bob = store.add_person("Bob", &many("svn", 1), Wall(1)).unwrap().id;
    assert!(matches!(store.merge_people(bob, ann), Err(PersonError::TooManyAttributes { wanted: 65, .. })));
    assert_eq!(people(&store).len(), 2);

    store
        .write(|transaction| {
            let mut rows = transaction.open_table(PEOPLE)?;
            for id in 3..=PEOPLE_MAX {
                rows.insert(id, [].as_slice())?;
            }
            Ok(())
        })
        .unwrap();
    let full = store.add_person("Cy", &[], Wall(1)).unwrap_err();
    assert_eq!(full.to_string(), "there are 100000 people already, which is the most; remove some");
    commit(&store, &[(1, "cy"), (2, "a0")]);
    assert!(find(&store, "author:cy").is_empty());
    assert_eq!(changes_of(&store, bob.0, None, 9).0, [2], "changes are taken as ever");
}

#[test]
fn a_database_that_has_never_heard_of_people_has_none_and_can_keep_some() {
    let (_directory, store) = open();
    store
        .write(|transaction| {
            transaction.delete_table(PEOPLE)?;
            Ok(transaction.delete_table(PEOPLE_BY)?)
        })
        .unwrap();
    assert!(people(&store).is_empty() && find(&store, "ann").is_empty() && find(&store, "1").is_empty());
    commit(&store, &[(1, "ann")]);
    assert_eq!(find(&store, "ann"), [1]);
}
