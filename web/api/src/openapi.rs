//! The description of the API in OpenAPI 3.1, made from the table of routes. `openapi.json` beside this crate is checked in and compared by
//! test.

use axum::Json;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use stampmill_service::Permission;

use crate::routes::{Answers, Route, routes};
use crate::wire;

/// The description.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = SchemaGenerator::new(settings);
    let error = generator.subschema_for::<wire::ErrorBody>().to_value();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation(&route, &mut generator, &error);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.verb.as_str().to_lowercase()] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    schemas.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stampmill",
            "version": "1",
            "description": "Times are RFC 3339 in UTC. Lists go on with the query `cursor`, given as `next`. A request that changes something needs a \
                bearer token, or a session with the header `x-stampmill-csrf` sent by a page of the same origin.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": stampmill_service::SESSION_COOKIE },
            },
        },
    })
}

pub(crate) async fn serve() -> Json<Value> {
    static DOCUMENT: std::sync::LazyLock<Value> = std::sync::LazyLock::new(document);
    Json(DOCUMENT.clone())
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut parameters = path_parameters(route.path);
    if let Some(query) = route.query {
        parameters.extend(query_parameters(query(generator), generator));
    }
    let (status, content) = match route.answers {
        Answers::Json(status, schema) => {
            (status.to_string(), json!({ "application/json": { "schema": schema(generator).to_value() } }))
        }
        Answers::Text => ("200".to_owned(), json!({ "text/plain": { "schema": { "type": "string" } } })),
        Answers::Events => ("200".to_owned(), json!({ "text/event-stream": { "schema": { "type": "string" } } })),
        Answers::Plugin => ("2XX".to_owned(), json!({ "text/plain": { "schema": { "type": "string" } } })),
    };
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": {
            (status): { "description": "All is well.", "content": content },
            "4XX": { "description": "Mend what is sent, or log in.", "content": { "application/json": { "schema": error } } },
            "5XX": { "description": "The host's fault.", "content": { "application/json": { "schema": error } } },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(body) = route.body {
        operation["requestBody"] =
            json!({ "content": { "application/json": { "schema": body(generator).to_value() } } });
    }
    if let Permission::Needs(action) = route.permission {
        operation["security"] = json!([{ "token": [] }, { "session": [] }]);
        operation["x-least-role"] = json!(action.least_role().as_str());
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.trim_start_matches("/api/v1").split(['/', '-', '.']).filter(|word| !word.is_empty());
    let words = words.map(|word| word.trim_matches(['{', '}']));
    std::iter::once(route.verb.as_str().to_lowercase()).chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| {
            let numeric = match name {
                "number" | "step" => true,
                "id" => !path.contains("/tokens/"),
                _ => false,
            };
            let schema = if numeric { json!({ "type": "integer", "minimum": 0 }) } else { json!({ "type": "string" }) };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect()
}

/// The fields of a query's type, each as a parameter of its own.
fn query_parameters(schema: Schema, generator: &mut SchemaGenerator) -> Vec<Value> {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|at| at.rsplit('/').next()).map(str::to_owned);
    // The type itself is not part of the description, only its fields are.
    let resolved = match name.and_then(|name| generator.definitions_mut().remove(&name)) {
        Some(definition) => definition,
        None => schema.to_value(),
    };
    let Some(fields) = resolved.get("properties").and_then(Value::as_object) else { return Vec::new() };
    fields
        .iter()
        .map(|(name, field)| {
            let mut schema = field.clone();
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
        })
        .collect()
}
