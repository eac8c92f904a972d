//! The step `set-property`: sets one property of the build, for the steps after it. It starts no command.

mod config;

use config::Config;
use stampmill_sdk::{Fault, Outcome, Plugin, Step, properties, register, running_build};

/// Longest value in a summary.
const SHOWN_CHARS: usize = 80;

/// The step.
#[derive(Debug)]
pub struct SetProperty(Config);

impl Plugin for SetProperty {
    type Config = Config;

    fn new(config: Config) -> Result<SetProperty, Fault> {
        match config.property.trim().is_empty() {
            true => Err(Fault::refused("`property` is empty: name the property")),
            false => Ok(SetProperty(config)),
        }
    }
}

impl Step for SetProperty {
    fn run(&self) -> Result<Outcome, Fault> {
        properties::set(&self.0.property, &self.0.value)?;
        running_build::summary(&summary(&self.0));
        Ok(Outcome::Success)
    }
}

fn summary(config: &Config) -> String {
    let value = config.value.to_string();
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{} = {}…", config.property, &value[..end]),
        None => format!("{} = {value}", config.property),
    }
}

register!(step: SetProperty);

#[cfg(test)]
mod tests {
    use super::*;
    use stampmill_sdk::serde_json::json;

    #[test]
    fn the_summary_shows_the_value_but_not_all_of_a_long_one() {
        let config = |value| Config { property: "p".to_owned(), value };
        assert_eq!(summary(&config(json!({"a": [1, 2.5, null]}))), r#"p = {"a":[1,2.5,null]}"#);
        assert_eq!(summary(&config(json!("é".repeat(200)))).chars().count(), "p = ".len() + SHOWN_CHARS + 1);
    }

    #[test]
    fn a_property_has_a_name() {
        let unnamed = Config { property: " ".to_owned(), value: json!(1) };
        assert!(matches!(SetProperty::new(unnamed), Err(Fault::Refused(_))));
    }
}
