//! People: by the commits of a real repository, and by the command line.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use stampmill_e2e::command::{typed, typed_with};
use stampmill_e2e::{Host, Listener, Place, Repository, main_job};

use super::{fine, refused, up};

const SHERIFF: &str = "Sheriff <sheriff@example.org>";

/// Who is known, by name and by what, whoever became known last first.
async fn people(host: &Host) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let list = fine(host, &["person", "list", "--json"]).await?.json()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |person: &Value| {
        let held = person["attributes"].as_array().into_iter().flatten();
        let held = held.map(|held| format!("{}:{}", text(&held["kind"]), text(&held["value"])));
        (text(&person["name"]), held.collect())
    };
    Ok(list["items"].as_array().context("a list")?.iter().map(shown).collect())
}

fn known(name: &str, attributes: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), attributes.iter().map(|text| (*text).to_owned()).collect())
}

#[tokio::test]
async fn a2_09_a9_04_a9_11_authors_of_commits_become_people_and_a_sheriff_is_told_of_their_builds() -> anyhow::Result<()>
{
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    let mut listener = Listener::start().await?;
    let config = main_job(&repository.bare, &listener.url, "true")
        .replace("[[builder]]\n", &format!("[[builder]]\ninterested = [\"{SHERIFF}\", \"ANN@example.org\"]\n"));
    let host = Host::up(place.path(), &config).await?;
    host.polled("app").await?;
    // A user whose name is that of an author gets nothing by it, and neither does the author.
    let said = typed_with(&host.place, &["user", "add", "bob", "--role", "admin"], "correct horse battery").await?;
    ensure!(said.code == 0, "{said:?}");

    let commit = |n: u32, author: &str| repository.commit(&format!("Change {n}"), &[("a", &format!("{n}\n"))], author);
    commit(1, "Ann Example <ann@example.org>")?;
    commit(2, "Ann <Ann@Example.ORG>")?;
    commit(3, "bob <bob@example.org>")?;
    let newest = commit(4, "A. Example <ann@home.example>")?;
    let build = host.finished_build_of(&newest).await?;
    let (ann, home) =
        (known("Ann Example", &["email:ann@example.org"]), known("A. Example", &["email:ann@home.example"]));
    let bob = known("bob", &["email:bob@example.org"]);
    assert_eq!(people(&host).await?, [home, bob.clone(), ann]);

    let merge = ["person", "merge", "ann@home.example", "ann@example.org"];
    let said = fine(&host, &merge).await?;
    ensure!(
        said.out.starts_with("person 1: Ann Example\n  email:ann@example.org\n  email:ann@home.example\n"),
        "{said:?}"
    );
    let again = commit(5, "Ann At Home <ann@HOME.example>")?;
    let last = host.finished_build_of(&again).await?;
    let one = known("Ann Example", &["email:ann@example.org", "email:ann@home.example"]);
    assert_eq!(people(&host).await?, [bob, one]);
    let changes = host.get("/api/v1/changes?person=ann@example.org").await?;
    let ids: Vec<u64> = changes["items"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_u64()).collect();
    assert_eq!(ids, [5, 4, 2, 1], "{changes:#}");
    let users = fine(&host, &["user", "list", "--json"]).await?.json()?;
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users:#}");
    let said = host.typed(&["person", "show", "user:bob"]).await?;
    refused(&["person", "show", "user:bob"], &said, 2, &["nobody is known as `user:bob`"]);

    // The sheriff, and Ann by any of her names, once.
    for build in [&build, &last] {
        let interested: Vec<&str> =
            build["interested"].as_array().context("a list")?.iter().filter_map(Value::as_str).collect();
        let count = |part: &str| interested.iter().filter(|text| text.to_lowercase().contains(part)).count();
        ensure!(count("sheriff@") == 1 && count("ann@example.org") == 1, "{build:#}");
        ensure!(!build["blamelist"].to_string().contains("sheriff"), "{build:#}");
        loop {
            let report = listener.next().await?;
            if report["event"] == "build-finished" && report["build"]["id"] == build["id"] {
                assert_eq!(report["build"]["interested"], build["interested"]);
                break;
            }
        }
    }
    let page = host.text(&format!("/builds/{}", last["id"])).await?;
    for part in
        ["<dt>Blamelist</dt><dd><a href=\"/people/1\">Ann At Home</a></dd>", "<dt>Also interested</dt><dd>Sheriff, "]
    {
        ensure!(page.contains(part), "{part} is not in {page}");
    }
    host.end(Signal::SIGTERM).await?;
    Ok(())
}

#[tokio::test]
async fn a9_02_a_person_is_known_by_many_things_with_and_without_a_host() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (_repository, host) = up(&place).await?;
    let data = format!("--data={}", place.path().join("data").display());
    let add = ["person", "add", "Ann Example", "git:Ann Example <ann@example.org>", "irc:ann_", "svn:aexample"];
    let shown = "person 1: Ann Example\n  git:Ann Example <ann@example.org>\n  irc:ann_\n  svn:aexample";
    assert_eq!(fine(&host, &add).await?.out.trim_end(), shown);
    for who in ["1", "irc:ann_", "ann_", "aexample", "Ann@example.org", "A. <ann@example.org>"] {
        assert_eq!(fine(&host, &["person", "show", who]).await?.out.trim_end(), shown, "{who}");
    }
    let change = ["change", "--author", "aexample", "--repository", "/r", "--branch", "dev", "--revision", "7"];
    fine(&host, &change).await?;
    assert!(fine(&host, &["person", "show", "1"]).await?.out.contains("\n  last change 1 of "));
    let list = fine(&host, &["person", "list"]).await?.out;
    assert!(list.starts_with("ID  NAME         LAST CHANGE") && list.contains("irc:ann_, svn:aexample"), "{list}");

    // Refused with whose it is, with a host and without.
    let taken = ["person", "add", "Eve", "email:ann@example.org"];
    let words = ["email:ann@example.org belongs to Ann Example (person 1)", "merge the two"];
    refused(&taken, &host.typed(&taken).await?, 2, &words);
    let developer = format!("--token={}", host.token("dev", "developer").await?);
    let elsewhere = Place::new()?;
    let said = typed(elsewhere.path(), &["person", "remove", "1", "--host", &host.url, &developer]).await?;
    refused(&["person", "remove"], &said, 2, &["dev is a developer", "needs the role admin"]);
    let link = ["person", "update", "1", "--add", "user:ann"];
    refused(&link, &host.typed(&link).await?, 2, &["there is no user `ann`", "stampmill user list"]);
    host.end(Signal::SIGTERM).await?;

    let alone = async |arguments: &[&str]| typed(place.path(), &[arguments, &[&data]].concat()).await;
    refused(&taken, &alone(&taken).await?, 2, &words);
    let said = typed_with(place.path(), &["user", "add", "ann", &data], "correct horse battery").await?;
    ensure!(said.code == 0, "{said:?}");
    let said =
        alone(&["person", "update", "ann_", "--name", "Ann", "--add", "user:ann", "--remove", "svn:aexample"]).await?;
    ensure!(
        said.out.starts_with("person 1: Ann\n  git:Ann Example <ann@example.org>\n  irc:ann_\n  user:ann\n"),
        "{said:?}"
    );
    let other = alone(&["person", "add", "Bob", "author:bob"]).await?;
    ensure!(other.code == 0, "{other:?}");
    let merged = alone(&["person", "merge", "bob", "user:ann"]).await?;
    ensure!(merged.code == 0 && merged.out.contains("  author:bob\n"), "{merged:?}");
    let list = alone(&["person", "list", "--json"]).await?.json()?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");
    assert_eq!(list["items"][0]["last_change"], Value::Null, "{list:#}");
    // A login that goes takes itself along, and nothing else.
    ensure!(alone(&["user", "remove", "ann"]).await?.code == 0);
    let ann = alone(&["person", "show", "1", "--json"]).await?.json()?;
    let kinds: Vec<&Value> = ann["attributes"].as_array().into_iter().flatten().map(|held| &held["kind"]).collect();
    assert_eq!(kinds, [&json!("git"), &json!("irc"), &json!("author")]);
    let said = alone(&["person", "remove", "irc:ann_"]).await?;
    ensure!(said.code == 0 && said.out.contains("irc:ann_ is forgotten"), "{said:?}");
    refused(&["person", "show", "1"], &alone(&["person", "show", "1"]).await?, 2, &["nobody is known as `1`"]);
    Ok(())
}
