//! The step `trigger`.

use crate::around::Place;
use serde_json::{Value, json};
use stampmill_runtime::{BuildFacts, Outcome, TriggerSpec, TriggerVersion};

async fn run(place: &Place, config: Value) -> Result<Outcome, String> {
    let grant = json!({"trigger": ["deploy", "docs"]});
    let mut step = place.start("trigger", config, grant).await.map_err(|error| error.to_string())?;
    step.run().await.map_err(|error| error.to_string())
}

fn place() -> Place {
    let place = Place::new();
    place.set_triggerable("deploy", Outcome::Warnings);
    place.set_triggerable("docs", Outcome::Failure);
    let properties = [("tarball".to_owned(), json!({"name": "a.tar"}))].into();
    place.set_facts(BuildFacts { properties, ..BuildFacts::default() });
    place
}

#[tokio::test]
async fn buildsets_go_on_by_themselves_with_what_was_set_and_copied() {
    let place = place();
    let config = json!({
        "schedulers": ["deploy", "docs"], "latest": true, "versions": {"core": {"branch": "next"}},
        "set": {"target": ["a", 1]}, "copy": ["tarball", "nothing"],
    });
    assert_eq!(run(&place, config).await, Ok(Outcome::Success));
    assert_eq!(place.summary(), "deploy (buildset 1), docs (buildset 2)");
    let version = TriggerVersion { branch: Some("next".to_owned()), revision: None };
    let properties = [("target".to_owned(), json!(["a", 1])), ("tarball".to_owned(), json!({"name": "a.tar"}))];
    let of = |scheduler: &str| TriggerSpec {
        scheduler: scheduler.to_owned(),
        latest: true,
        versions: [("core".to_owned(), version.clone())].into(),
        properties: properties.clone().into(),
        detached: true,
    };
    assert_eq!(place.triggered(), [of("deploy"), of("docs")]);
}

#[tokio::test]
async fn the_step_ends_as_the_worst_buildset_that_counts() {
    for (config, outcome) in [
        (json!({"schedulers": ["deploy", "docs"], "wait": true}), Outcome::Failure),
        (json!({"schedulers": ["deploy", "docs"], "wait": true, "unimportant": ["docs"]}), Outcome::Warnings),
    ] {
        let place = place();
        assert_eq!(run(&place, config.clone()).await, Ok(outcome), "{config}");
        assert_eq!(place.summary(), "deploy (buildset 1): warnings, docs (buildset 2): failure");
        assert!(place.triggered().iter().all(|it| !it.detached && !it.latest));
    }
}

#[tokio::test]
async fn what_is_not_granted_is_not_triggered() {
    let place = place();
    place.set_triggerable("secret-deploy", Outcome::Success);
    let error = run(&place, json!({"schedulers": ["secret-deploy"]})).await.unwrap_err();
    assert!(error.contains("scheduler `secret-deploy` is not granted"), "{error}");
    assert_eq!(place.triggered(), []);
}
