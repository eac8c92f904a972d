//! `person`: who makes changes. Through the host when one runs, else in its store.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use stampmill_model::Attribute;
use stampmill_service::{PersonPatch, PersonView};

use super::arguments::PersonCommand;
use super::desk::{Desk, list, time};
use super::failure::Failure;
use super::output::{clean, say, say_json, table};
use super::wire::{List, Person, read};

/// Lists and changes people.
pub(crate) async fn person(command: PersonCommand) -> anyhow::Result<ExitCode> {
    match command {
        PersonCommand::List { json, target } => {
            let answer = Desk::open(&target).await?.people().await?;
            if json { say_json(&answer) } else { list_people(read(answer)?) }?;
        }
        PersonCommand::Show { who, json, target } => {
            let answer = Desk::open(&target).await?.person(&who).await?;
            if json { say_json(&answer) } else { show(&read(answer)?) }?;
        }
        PersonCommand::Add { name, attributes, target } => {
            let attributes = parsed(&attributes)?;
            show(&Desk::open(&target).await?.add_person(&name, &attributes).await?)?;
        }
        PersonCommand::Update { who, name, add, remove, target } => {
            let patch = PersonPatch { name, add: parsed(&add)?, remove: parsed(&remove)? };
            if patch == PersonPatch::default() {
                return Err(Failure::refused("nothing is to change; use --name, --add or --remove".to_owned()));
            }
            show(&Desk::open(&target).await?.update_person(&who, &patch).await?)?;
        }
        PersonCommand::Merge { from, into, target } => {
            show(&Desk::open(&target).await?.merge_people(&from, &into).await?)?;
        }
        PersonCommand::Remove { who, target } => {
            Desk::open(&target).await?.remove_person(&who).await?;
            say(format!("{} is forgotten", clean(&who)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parsed(texts: &[String]) -> anyhow::Result<Vec<Attribute>> {
    texts.iter().map(|text| Attribute::parse(text).map_err(|error| Failure::refused(error.to_string()))).collect()
}

fn list_people(people: List<Person>) -> anyhow::Result<()> {
    if people.items.is_empty() {
        eprintln!("nobody has made a change yet");
        return Ok(());
    }
    let row = |person: Person| {
        let last = person.last_change.map(|change| change.arrived_at).unwrap_or_default();
        let known: Vec<String> = person.attributes.iter().map(ToString::to_string).collect();
        vec![person.id.to_string(), person.name, last, known.join(", ")]
    };
    let rows: Vec<Vec<String>> = people.items.into_iter().map(row).collect();
    table(&["ID", "NAME", "LAST CHANGE", "KNOWN BY"], &rows)
}

fn show(person: &Person) -> anyhow::Result<()> {
    say(format!("person {}: {}", person.id, clean(&person.name)))?;
    for attribute in &person.attributes {
        say(format!("  {}", clean(&attribute.to_string())))?;
    }
    match &person.last_change {
        Some(change) => say(format!("  last change {} of {}", change.id, clean(&change.arrived_at))),
        None => Ok(()),
    }
}

impl Desk {
    /// All of them, in the shape of one page.
    async fn people(&self) -> anyhow::Result<Value> {
        let host = match self {
            Self::Host(host) => host,
            Self::Store(accounts) => return Ok(list(accounts.people()?, shape)),
        };
        let (mut people, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let query: Vec<(&str, String)> = cursor.into_iter().map(|cursor| ("cursor", cursor)).collect();
            let mut page = host.get(&["people"], &query).await?;
            people.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(json!({ "items": people, "next": null }));
            }
        }
    }

    async fn person(&self, who: &str) -> anyhow::Result<Value> {
        match self {
            Self::Host(host) => host.get(&["people", who], &[]).await,
            Self::Store(accounts) => Ok(shape(accounts.person(who)?)),
        }
    }

    async fn add_person(&self, name: &str, attributes: &[Attribute]) -> anyhow::Result<Person> {
        read(match self {
            Self::Host(host) => {
                host.post(&["people"], &json!({ "name": name, "attributes": sent(attributes) })).await?
            }
            Self::Store(accounts) => shape(accounts.add_person(name, attributes)?),
        })
    }

    async fn update_person(&self, who: &str, patch: &PersonPatch) -> anyhow::Result<Person> {
        read(match self {
            Self::Host(host) => {
                let mut body =
                    Map::from_iter([("add".to_owned(), sent(&patch.add)), ("remove".to_owned(), sent(&patch.remove))]);
                body.extend(patch.name.as_ref().map(|name| ("name".to_owned(), name.as_str().into())));
                host.patch(&["people", who], &Value::Object(body)).await?
            }
            Self::Store(accounts) => shape(accounts.update_person(who, patch)?),
        })
    }

    async fn merge_people(&self, from: &str, into: &str) -> anyhow::Result<Person> {
        read(match self {
            Self::Host(host) => host.post(&["people", into, "merge"], &json!({ "from": from })).await?,
            Self::Store(accounts) => shape(accounts.merge_people(from, into)?),
        })
    }

    async fn remove_person(&self, who: &str) -> anyhow::Result<()> {
        match self {
            Self::Host(host) => host.delete(&["people", who]).await.map(drop),
            Self::Store(accounts) => Ok(accounts.remove_person(who).map(drop)?),
        }
    }
}

fn sent(attributes: &[Attribute]) -> Value {
    attributes.iter().map(|held| json!({ "kind": held.kind(), "value": held.value() })).collect()
}

fn shape(view: PersonView) -> Value {
    let PersonView { person, last_change } = view;
    json!({
        "id": person.id.0,
        "name": person.name,
        "attributes": sent(&person.attributes),
        "since": time(person.since),
        "last_change": last_change.map(|change| json!({ "id": change.id.0, "arrived_at": time(change.arrived_at) })),
    })
}
