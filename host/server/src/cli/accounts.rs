//! `user`, `token` and `worker-token`: through the host when one runs, else in its store.

use std::path::Path;
use std::process::ExitCode;

use stampmill_service::Role;

use super::arguments::{Target, TokenCommand, UserCommand, WorkerTokenArgs};
use super::desk::Desk;
use super::failure::Failure;
use super::output::{clean, say, say_json, table};
use super::prompt::new_password;
use super::wire::{List, Token, User, read};

/// People who may log in.
pub(crate) async fn user(command: UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add { name, role, target } => {
            let desk = Desk::open(&target).await?;
            let password = new_password(&name)?;
            desk.add_user(&name, password, role.into()).await?;
            say(format!("user {} may log in as {}", clean(&name), Role::from(role).as_str()))?;
        }
        UserCommand::List { json, target } => list_users(&target, json).await?,
        UserCommand::Remove { name, target } => {
            Desk::open(&target).await?.remove_user(&name).await?;
            say(format!("user {} is removed, with sessions and tokens", clean(&name)))?;
        }
        UserCommand::Password { name, target } => {
            let desk = Desk::open(&target).await?;
            let password = new_password(&name)?;
            desk.set_password(&name, password).await?;
            say(format!("the password of {} is set; earlier sessions have ended", clean(&name)))?;
        }
        UserCommand::Role { name, role, target } => {
            Desk::open(&target).await?.set_role(&name, role.into()).await?;
            say(format!("user {} is now {}", clean(&name), Role::from(role).as_str()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_users(target: &Target, as_json: bool) -> anyhow::Result<()> {
    let answer = Desk::open(target).await?.users().await?;
    if as_json {
        return say_json(&answer);
    }
    let users: List<User> = read(answer)?;
    if users.items.is_empty() {
        eprintln!("no users; add one with `stampmill user add NAME --role admin`");
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        users.items.into_iter().map(|user| vec![user.name, user.role, user.created_at]).collect();
    table(&["NAME", "ROLE", "SINCE"], &rows)
}

/// Tokens of programs.
pub(crate) async fn token(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create { name, role, user, days, target } => {
            let desk = Desk::open(&target).await?;
            let secret = desk.add_token(&name, user.as_deref(), role.into(), days).await?;
            eprintln!("the token `{}`, shown this once; give it with --token or STAMPMILL_TOKEN:", clean(&name));
            say(secret)?;
        }
        TokenCommand::List { json, target } => list_tokens(&target, json).await?,
        TokenCommand::Revoke { id, target } => {
            Desk::open(&target).await?.revoke_token(&id).await?;
            say(format!("token {} opens nothing any more", clean(&id)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_tokens(target: &Target, as_json: bool) -> anyhow::Result<()> {
    let answer = Desk::open(target).await?.tokens().await?;
    if as_json {
        return say_json(&answer);
    }
    let tokens: List<Token> = read(answer)?;
    let row = |token: Token| {
        let role = token.role.unwrap_or_default();
        let end = token.expires_at.unwrap_or_else(|| "never".to_owned());
        vec![token.id, token.name, token.kind, token.holder, role, token.created_at, end]
    };
    let rows: Vec<Vec<String>> = tokens.items.into_iter().map(row).collect();
    table(&["ID", "NAME", "KIND", "HOLDER", "ROLE", "SINCE", "ENDS"], &rows)
}

/// The token by which a worker connects.
pub(crate) async fn worker_token(args: WorkerTokenArgs) -> anyhow::Result<ExitCode> {
    let desk = Desk::open(&args.target).await?;
    if desk.is_store() {
        // A running host knows its workers; without one the configuration is asked.
        worker_is_configured(&args.worker, &args.config)?;
    }
    let secret = desk.add_worker_token(&args.worker).await?;
    let worker = clean(&args.worker);
    eprintln!("the token of worker `{worker}`, shown this once; put it into the worker's `token-file`:");
    say(secret)?;
    Ok(ExitCode::SUCCESS)
}

/// Looks no further than at names, so that a configuration with an error elsewhere is no hindrance.
fn worker_is_configured(worker: &str, config: &Path) -> anyhow::Result<()> {
    let shown = config.display();
    let text = std::fs::read_to_string(config).map_err(|error| {
        Failure::refused(format!(
            "the configuration {shown}, which must have the worker, can't be read: {error}; name it with --config"
        ))
    })?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|_| Failure::refused(format!("{shown} is no TOML; `stampmill check` says where")))?;
    let workers = table.get("worker").and_then(toml::Value::as_array).into_iter().flatten();
    let mut names = workers.filter_map(|worker| worker.get("name")?.as_str());
    if names.any(|name| name == worker) {
        return Ok(());
    }
    Err(Failure::refused(format!("{shown} has no worker `{worker}`; add `[[worker]]` with `name = {worker:?}`")))
}
