//! `plugin inspect` and `plugin list`: looking at components without running anything of them.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use stampmill_runtime::Inspection;

use super::arguments::PluginCommand;
use super::failure::Failure;
use super::output::{clean, say, say_json, table};
use crate::config::{bundled, permission_names, read_component};

/// Looks at plugins.
pub(crate) fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::Inspect { plugin, config, json } => inspect(&plugin, &config, json)?,
        PluginCommand::List { config, json } => list(&config, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A component and where it was found.
struct Found {
    name: String,
    source: String,
    inspection: Inspection,
}

fn inspect(plugin: &str, config: &Path, as_json: bool) -> anyhow::Result<()> {
    let found = find(plugin, config)?;
    if as_json {
        return say_json(&shape(&found));
    }
    let Inspection { digest, manifest, imports, exports, bytes } = &found.inspection;
    say(format!("{} {} ({})", manifest.id, clean(&manifest.version), manifest.kind))?;
    say(format!("  {}", clean(&manifest.summary)))?;
    say(format!("  {}, {bytes} bytes, sha256 {digest}", clean(&found.source)))?;
    let asks = permission_names(&found.inspection);
    say(format!("  asks for: {}", if asks.is_empty() { "nothing".to_owned() } else { asks.join(", ") }))?;
    say(format!("  imports: {}", imports.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ")))?;
    say(format!("  exports: {}", exports.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", ")))?;
    say("\nconfiguration (JSON Schema):")?;
    say_json(&manifest.config_schema)?;
    for example in &manifest.examples {
        say("\nexample:")?;
        say_json(example)?;
    }
    Ok(())
}

fn shape(found: &Found) -> Value {
    let Inspection { digest, manifest, imports, exports, bytes } = &found.inspection;
    json!({
        "name": found.name,
        "source": found.source,
        "id": manifest.id,
        "version": manifest.version,
        "kind": manifest.kind.as_str(),
        "summary": manifest.summary,
        "digest": digest.to_string(),
        "bytes": bytes,
        "asks": permission_names(&found.inspection),
        "imports": imports,
        "exports": exports,
        "config-schema": manifest.config_schema,
        "examples": manifest.examples,
    })
}

/// A path when it looks like one, else a plugin that the configuration names, else one of this program.
fn find(plugin: &str, config: &Path) -> anyhow::Result<Found> {
    if plugin.contains('/') || plugin.ends_with(".wasm") {
        return from_file(plugin, Path::new(plugin));
    }
    let own = own_plugins(config);
    if let Some((name, path)) = own.iter().find(|(name, _)| name == plugin) {
        return from_file(name, path);
    }
    match bundled().find(|bundled| bundled.name == plugin) {
        Some(found) => inspected(plugin, "in this program".to_owned(), found.bytes),
        None => {
            let mut names: Vec<String> = bundled().map(|bundled| bundled.name.to_owned()).collect();
            names.extend(own.into_iter().map(|(name, _)| name));
            Err(Failure::refused(format!(
                "there is no plugin `{plugin}`; there are {}, or name a component file by its path",
                names.join(", ")
            )))
        }
    }
}

fn from_file(name: &str, path: &Path) -> anyhow::Result<Found> {
    let shown = path.display().to_string();
    let bytes = read_component(path).map_err(|error| Failure::refused(format!("{shown} can't be read: {error}")))?;
    inspected(name, shown, &bytes)
}

fn inspected(name: &str, source: String, bytes: &[u8]) -> anyhow::Result<Found> {
    match stampmill_runtime::inspect(bytes) {
        Ok(inspection) => Ok(Found { name: name.to_owned(), source, inspection }),
        Err(error) => Err(Failure::refused(format!("{source}: {error}"))),
    }
}

/// Names and paths that the configuration gives to plugins; an error elsewhere in it is no hindrance.
fn own_plugins(config: &Path) -> Vec<(String, std::path::PathBuf)> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let Ok(table) = toml::from_str::<toml::Table>(&text) else { return Vec::new() };
    let plugins = table.get("plugin").and_then(toml::Value::as_table);
    let folder = config.parent().unwrap_or(Path::new(""));
    let own =
        |(name, plugin): (&String, &toml::Value)| Some((name.clone(), folder.join(plugin.get("file")?.as_str()?)));
    plugins.into_iter().flatten().filter_map(own).collect()
}

fn list(config: &Path, as_json: bool) -> anyhow::Result<()> {
    let own = own_plugins(config);
    let mut found = Vec::new();
    for (name, path) in &own {
        match from_file(name, path) {
            Ok(plugin) => found.push(plugin),
            Err(error) => eprintln!("plugin `{name}`: {error}"),
        }
    }
    for plugin in bundled().filter(|plugin| !own.iter().any(|(name, _)| name == plugin.name)) {
        found.push(inspected(plugin.name, "in this program".to_owned(), plugin.bytes)?);
    }
    if as_json {
        let items: Vec<Value> = found.iter().map(shape).collect();
        return say_json(&json!({ "items": items, "next": null }));
    }
    let row = |found: &Found| {
        let manifest = &found.inspection.manifest;
        vec![
            found.name.clone(),
            manifest.kind.to_string(),
            permission_names(&found.inspection).join(", "),
            found.source.clone(),
            manifest.summary.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    table(&["PLUGIN", "KIND", "ASKS FOR", "FROM", "SUMMARY"], &rows)
}
