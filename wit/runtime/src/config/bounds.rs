//! Bounds on a schema, which a plugin's author wrote and the host evaluates: it may neither run in circles nor multiply without end.

use std::collections::HashMap;

use serde_json::Value;

/// References in one schema; schemas made from Rust types have one for each named type.
const REFERENCES_MAX: usize = 64;
/// Nesting of one schema as it is written.
const NESTING_MAX: usize = 32;
/// Schemas that one place of the configuration is held against.
const EXPANDED_MAX: u64 = 10_000;

/// Keywords that hold the same place of the configuration against further schemas.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
/// Ways to point elsewhere that a plugin's schema has no use for.
const REFUSED: [&str; 6] = ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// Says what is out of bounds.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut references = 0;
    walk(schema, 0, &mut references)?;
    if references > REFERENCES_MAX {
        return Err(format!("it has {references} references, and at most {REFERENCES_MAX} are taken"));
    }
    expand_everywhere(schema, &mut Expansion { root: schema, known: HashMap::new() })
}

fn walk(node: &Value, depth: usize, references: &mut usize) -> Result<(), String> {
    if depth > NESTING_MAX {
        return Err(format!("it is nested deeper than {NESTING_MAX}"));
    }
    match node {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(target) if key == "$ref" => {
                        *references += 1;
                        if target != "#" && !target.starts_with("#/") {
                            return Err(format!(
                                "`$ref` is `{target}`: it may point inside the schema only (`#/$defs/…`)"
                            ));
                        }
                    }
                    Some(_) if REFUSED.contains(&key.as_str()) && !(key == "$id" && depth == 0) => {
                        return Err(format!("`{key}` is not supported in a plugin's schema: use `$ref` and `$defs`"));
                    }
                    _ => {}
                }
                walk(value, depth + 1, references)?;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, depth + 1, references)),
        _ => Ok(()),
    }
}

fn expand_everywhere<'a>(node: &'a Value, expansion: &mut Expansion<'a>) -> Result<(), String> {
    match node {
        Value::Object(map) => {
            expansion.cost(node)?;
            map.values().try_for_each(|value| expand_everywhere(value, expansion))
        }
        Value::Array(items) => items.iter().try_for_each(|item| expand_everywhere(item, expansion)),
        _ => Ok(()),
    }
}

struct Expansion<'a> {
    root: &'a Value,
    /// By address in the schema; `None` while it is being counted.
    known: HashMap<*const Value, Option<u64>>,
}

impl<'a> Expansion<'a> {
    /// How many schemas this one stands for at one place. Recursion ends: a reference met again before it is counted is a circle.
    fn cost(&mut self, node: &'a Value) -> Result<u64, String> {
        let Value::Object(map) = node else { return Ok(1) };
        let key: *const Value = node;
        match self.known.get(&key) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err("it refers to itself without going deeper into the configuration".to_owned()),
            None => {}
        }
        self.known.insert(key, None);
        let mut total: u64 = 1;
        if let Some(Value::String(target)) = map.get("$ref") {
            // Written plainly, so that what is counted here is what the validator follows.
            let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
            let found = pointer.and_then(|pointer| self.root.pointer(pointer));
            let found = found.ok_or_else(|| format!("`$ref` is `{target}`, which leads nowhere"))?;
            total = total.saturating_add(self.cost(found)?);
        }
        let branches = IN_PLACE.iter().filter_map(|key| map.get(*key));
        for branch in branches {
            match branch {
                Value::Array(items) => {
                    for item in items {
                        total = total.saturating_add(self.cost(item)?);
                    }
                }
                one => total = total.saturating_add(self.cost(one)?),
            }
        }
        for dependent in map.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(|map| map.values())
        {
            total = total.saturating_add(self.cost(dependent)?);
        }
        if total > EXPANDED_MAX {
            return Err(format!("its references multiply to more than {EXPANDED_MAX} schemas at one place"));
        }
        self.known.insert(key, Some(total));
        Ok(total)
    }
}
