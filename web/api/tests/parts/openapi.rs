//! The description that is checked in is the one that the code gives.

use stampmill_api::openapi::document;
use stampmill_api::routes::routes;

/// Set to write the description anew: `STAMPMILL_UPDATE=1 cargo test -p stampmill-api openapi`.
const UPDATE: &str = "STAMPMILL_UPDATE";

#[test]
fn the_description_that_is_checked_in_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let text = format!("{:#}\n", document());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == text,
        "openapi.json is not that of the code; write it with {UPDATE}=1 cargo test -p stampmill-api openapi"
    );
}

#[test]
fn the_description_has_every_route_and_every_schema_that_it_names() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    for route in routes() {
        let operation = &document["paths"][route.path][route.verb.as_str().to_lowercase()];
        assert_eq!(operation["summary"], route.summary, "{}", route.path);
        let named = route.path.matches('{').count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        assert_eq!(parameters.iter().filter(|parameter| parameter["in"] == "path").count(), named, "{}", route.path);
    }
    let text = document.to_string();
    for piece in text.split("\"$ref\":\"").skip(1) {
        let pointer = piece.split('"').next().unwrap().trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
