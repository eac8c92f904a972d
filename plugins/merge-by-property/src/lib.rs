//! The merge plugin `merge-by-property`: requests share a build only where chosen properties are the same.
//!
//! The host's own rule of merging looks away from properties that come with changes, since the newest change's are built; this is for those
//! of them that decide what a build does.

mod config;

use config::Config;
use stampmill_sdk::{Fault, Merge, Plugin, Request, register};

/// The host takes no longer key. What does not fit is built by itself: a shortened one could be that of another.
const KEY_BYTES_MAX: usize = 256;

/// The plugin.
#[derive(Debug)]
pub struct MergeByProperty(Config);

impl Plugin for MergeByProperty {
    type Config = Config;

    fn new(config: Config) -> Result<MergeByProperty, Fault> {
        if config.properties.is_empty() {
            return Err(Fault::refused("`properties` is empty: name at least one property"));
        }
        Ok(MergeByProperty(config))
    }
}

impl Merge for MergeByProperty {
    fn key(&self, request: &Request) -> Result<Option<String>, Fault> {
        let key: Vec<String> = self.0.properties.iter().map(|name| part(name, request.property(name))).collect();
        Ok(Some(key.join(", ")).filter(|key| key.len() <= KEY_BYTES_MAX))
    }
}

/// The value is JSON, so that a text has its quotes and nothing that is set looks like something that is not.
fn part(name: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("{name} = {value}"),
        None => format!("no {name}"),
    }
}

register!(merge: MergeByProperty);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::Setting;
    use stampmill_sdk::serde_json::{Value, json};

    fn key(properties: &[(&str, Value)]) -> Option<String> {
        let plugin = MergeByProperty::new(Config { properties: vec!["suite".to_owned(), "arch".to_owned()] });
        let properties = properties.iter().map(|(name, value)| Setting::new(*name, value)).collect();
        plugin.expect("a plugin").key(&Request { properties, ..Request::default() }).expect("a key")
    }

    #[test]
    fn the_key_is_what_the_chosen_properties_are() {
        let fast = key(&[("suite", json!("fast")), ("other", json!(1))]);
        assert_eq!(fast.as_deref(), Some("suite = \"fast\", no arch"));
        assert_ne!(fast, key(&[("suite", json!("slow"))]));
        assert_ne!(key(&[("suite", json!(null))]), key(&[]), "not set is something else than null");
        assert_ne!(key(&[("suite", json!("1"))]), key(&[("suite", json!(1))]));
    }

    #[test]
    fn what_is_too_long_for_a_key_is_built_by_itself() {
        assert_eq!(key(&[("suite", json!("x".repeat(300)))]), None);
    }

    #[test]
    fn no_property_at_all_is_a_mistake() {
        assert!(MergeByProperty::new(Config { properties: Vec::new() }).is_err());
    }
}
