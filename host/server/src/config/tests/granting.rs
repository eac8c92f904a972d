//! Secrets, credentials and limits of single uses: what is taken, and what each mistake says.

use stampmill_model::{Milliseconds, PluginLimits};

use super::bad_input::{holds, only};
use super::{Folder, errors, plugins, warnings};
use crate::config::{ConfigError, Finding, Loaded, load};

/// With the plugins that are in the binary.
fn loaded(text: &str) -> Loaded {
    load(&Folder::with(text).config()).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

/// What is wrong, with the plugins that are in the binary.
fn wrong(text: &str) -> Vec<Finding> {
    match load(&Folder::with(text).config()) {
        Err(ConfigError::Wrong(findings)) => findings,
        other => panic!("{other:?}"),
    }
}

const WEBHOOK: &str = r#"[secret.chat]
env = "CHAT"
[[reporter]]
plugin = "webhook"
on = ["build-finished"]
config = { url = "https://chat.example/hook", credential = "chat" }
grant = { http = ["https://chat.example"], credential = { chat = ["https://chat.example"] } }
"#;

#[test]
fn a_credential_is_granted_for_its_origins() {
    let loaded = loaded(WEBHOOK);
    let grant = &loaded.reporters.values().next().unwrap().grant;
    assert_eq!(grant.credential, [("chat".to_owned(), vec!["https://chat.example".to_owned()])].into());
    assert!(grant.secret.is_empty(), "the plugin itself sees nothing");
    assert!(loaded.warnings.iter().all(|warning| warning.message().contains("CHAT")), "{:?}", loaded.warnings);
}

#[test]
fn a_credential_must_be_defined() {
    let text = WEBHOOK.replace("[secret.chat]", "[secret.chatt]");
    only(&text, (7, 59), "is granted the secret `chat`, which is not defined", "did you mean `chatt`?");
}

#[test]
fn a_credential_is_for_origins_that_may_be_asked() {
    let only = |from: &str, to: &str, place, message: &str, mend: &str| {
        let text = WEBHOOK.replacen(from, to, 1);
        assert_ne!(text, WEBHOOK);
        only(&text, place, message, mend);
    };
    let bound = "chat = [\"https://chat.example\"]";
    only(bound, "chat = []", (7, 66), "shows the secret `chat` to no origin", "write `chat = [\"https://host\"]`");
    only(bound, "chat = [\"https://chat.example/hook\"]", (7, 67), "an origin such as", "");
    let elsewhere = "chat = [\"https://chat.example\", \"https://evil.example\"]";
    only(bound, elsewhere, (7, 91), "may not ask there", "add `\"https://evil.example\"` to `http` of the grant");
    let rows = [
        ("[\"chat\"]", (7, 57), "a table is expected", "credential = { NAME = ["),
        ("{ chat = \"https://chat.example\" }", (7, 66), "a list of texts is expected", "write `chat = ["),
    ];
    for (credential, place, message, mend) in rows {
        // It also lacks what its configuration names.
        let found = errors(&WEBHOOK.replace("{ chat = [\"https://chat.example\"] }", credential));
        let wrong_type = found.iter().find(|finding| finding.message().contains(message));
        holds(wrong_type.unwrap_or_else(|| panic!("{found:?}")), place, "`c", mend);
    }
}

/// Port and case are compared as they are when the request is sent.
#[test]
fn an_origin_has_one_spelling() {
    let text = WEBHOOK.replace("chat = [\"https://chat.example\"]", "chat = [\"https://CHAT.example:443/\"]");
    loaded(&text);
}

#[test]
fn a_credential_that_is_named_and_not_granted_is_shown_with_the_line_to_add() {
    let text = WEBHOOK.replace(", credential = { chat = [\"https://chat.example\"] }", "");
    let findings = wrong(&text);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let message = "`config.credential` of reporter `webhook` names the credential `chat`, which it is not granted";
    holds(&findings[0], (6, 60), message, "add `credential = { chat = [\"https://chat.example\"] }` to the grant");
    // A secret that the plugin may see may be attached too.
    loaded(&text.replace("\"https://chat.example\"] }", "\"https://chat.example\"], secret = [\"chat\"] }"));
}

#[test]
fn a_secret_that_is_shown_is_no_hidden_credential() {
    let text = WEBHOOK.replace("grant = { ", "grant = { secret = [\"chat\"], ");
    let warnings = warnings(&text);
    let doubled = warnings.iter().find(|warning| warning.message().contains("both as `credential` and as `secret`"));
    holds(doubled.unwrap_or_else(|| panic!("{warnings:?}")), (7, 78), "reporter `webhook`", "under `credential` alone");
}

const HOOK: &str = r#"[secret.key]
env = "KEY"
[[change-source]]
name = "h"
plugin = "hook"
config = { repositories = ["*"], insecure = true }
"#;

#[test]
fn a_hook_that_checks_no_signature_needs_no_secret() {
    for plugin in ["hook", "github-hook"] {
        let text = HOOK.replace("plugin = \"hook\"", &format!("plugin = \"{plugin}\""));
        let source = &loaded(&text).change_sources[&"h".into()];
        assert_eq!(source.grant, stampmill_model::Grant::default());
    }
}

#[test]
fn a_secret_that_is_named_and_not_granted_is_shown_with_the_line_to_add() {
    for plugin in ["hook", "github-hook"] {
        let text = HOOK.replace("insecure = true", "secret = \"key\"").replace("\"hook\"", &format!("\"{plugin}\""));
        let findings = wrong(&text);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let message = "`config.secret` of change source `h` names the secret `key`, which it is not granted";
        holds(&findings[0], (6, 43), message, "add `grant = { secret = [\"key\"] }`");
        loaded(&format!("{text}grant = {{ secret = [\"key\"] }}\n"));
        let findings = wrong(&format!("{text}grant = {{ secret = [] }}\n"));
        holds(&findings[0], (6, 43), message, "add `secret = [\"key\"]` to the grant");
    }
}

#[test]
fn secrets_of_steps_are_found_wherever_they_are_named() {
    let step = |plugin: &str, config: &str| {
        format!(
            "[[job]]\nname = \"c\"\n[[job.step]]\nplugin = \"{plugin}\"\nconfig = {config}\ngrant = {{ command = [\"*\"] }}\n"
        )
    };
    let shell = step("shell", "{ command = [\"x\"], secret-environment = { TOKEN = \"key\" } }");
    holds(&wrong(&shell)[0], (5, 60), "`config.secret-environment.TOKEN` of step `shell`", "add `secret = [\"key\"]`");
    let git = step("git", "{ credential = { user = \"bot\", secret = \"key\" } }");
    holds(&wrong(&git)[0], (5, 50), "`config.credential.secret` of step `git`", "add `secret = [\"key\"]`");
    // Which secret a build fills in is known when it runs, and the runtime decides then.
    loaded(&shell.replace("\"key\"", "\"${{ props.which }}\""));
}

/// A plugin that doesn't say where its configuration names secrets is not believed to need none.
#[test]
fn a_plugin_that_does_not_say_where_it_names_secrets_needs_one() {
    let text = "[[change-source]]\nname = \"s\"\nplugin = \"sealed\"\n";
    only(text, (3, 10), "asks for `secret`, and nothing of it is granted", "add `grant = { secret = [\"NAME\"] }`");
}

const LIMITED: &str = r#"[[change-source]]
name = "app"
plugin = "git-poller"
config = { repository = "https://git.example/app.git" }
grant = { command = ["git"] }
limits = { memory = "128MiB", time = "20m", compute = "5s", host-call = "90s" }
"#;

fn limits_of(text: &str) -> PluginLimits {
    loaded(text).change_sources[&"app".into()].limits
}

#[test]
fn a_use_of_a_plugin_has_the_limits_that_are_set_for_it() {
    let minutes = |minutes: u64| Some(Milliseconds::from_seconds(minutes * 60));
    let expected = PluginLimits {
        memory_bytes: Some(128 << 20),
        time: minutes(20),
        compute: Some(Milliseconds::from_seconds(5)),
        host_call: Some(Milliseconds::from_seconds(90)),
    };
    assert_eq!(limits_of(LIMITED), expected);
    let unset = LIMITED.replace("limits = {", "# {");
    assert_eq!(limits_of(&unset), PluginLimits::default(), "the defaults of the kind are in force");
    // The default of a poller's call is longer than this maximum, its memory smaller.
    let capped = format!("{unset}[limits]\nplugin-time = \"1m\"\nplugin-memory = \"1GiB\"\n");
    assert_eq!(limits_of(&capped), PluginLimits { time: minutes(1), ..PluginLimits::default() });
}

#[test]
fn a_limit_above_the_maximum_of_the_host_is_an_error_with_the_maximum() {
    let beyond = |from: &str, to: &str, column, message: &str, mend: &str| {
        only(&LIMITED.replace(from, to), (6, column), message, mend);
    };
    beyond("128MiB", "2GiB", 21, "`limits.memory` of change source `app` is 2GiB", "raise `plugin-memory`");
    beyond("20m", "2h", 38, "`plugin-time` of `[limits]` allows 1h", "write `time = \"1h\"` or less");
    beyond("\"5s\"", "\"11m\"", 55, "`limits.compute`", "raise `plugin-compute`");
    beyond("90s", "11m", 73, "`limits.host-call`", "raise `plugin-host-call`");
    let raised = format!("{}[limits]\nplugin-memory = \"2GiB\"\n", LIMITED.replace("128MiB", "2GiB"));
    assert_eq!(limits_of(&raised).memory_bytes, Some(2 << 30));
    only("[limits]\nplugin-memory = \"5GiB\"\n", (2, 17), "`plugin-memory` of `limits` is no size", "");
}

#[test]
fn limits_that_can_not_be_meant_are_shown() {
    only(&LIMITED.replace("\"5s\"", "5"), (6, 55), "a length of time is expected", "compute = \"5s\"");
    only(&LIMITED.replace("\"5s\"", "\"1ms\""), (6, 55), "at least 10ms is expected", "");
    only(
        &LIMITED.replace("memory =", "memroy ="),
        (6, 12),
        "unknown key `memroy` in the limits",
        "did you mean `memory`?",
    );
    let step = "[[job]]\nname = \"c\"\n[[job.step]]\nplugin = \"shell\"\ngrant = { command = [\"*\"] }\nlimits = { memory = \"8MiB\", time = \"5s\" }\n";
    only(step, (6, 36), "means nothing: a step's time is its `timeout`", "write `timeout = \"5s\"` beside `plugin`");
    let folder = Folder::with(&step.replace(", time = \"5s\"", ""));
    let loaded = folder.load(&plugins()).unwrap();
    assert_eq!(loaded.jobs["c"].steps[0].limits.memory_bytes, Some(8 << 20), "the worker is told");
    assert_eq!(errors("[codebases]\nplugin = \"repository-map\"\nlimits = 5\n").len(), 1);
}

const DEPLOYING: &str = r#"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["linux"]
[[scheduler]]
name = "deploy"
kind = "triggerable"
builders = ["linux"]
[[job]]
name = "test"
[[job.step]]
plugin = "trigger"
config = { schedulers = ["deploy"] }
grant = { trigger = ["deploy"] }
[[builder]]
name = "linux"
job = "test"
"#;

#[test]
fn a_scheduler_is_granted_to_steps_that_may_trigger_it() {
    let loaded = loaded(DEPLOYING);
    assert_eq!(loaded.engine.builders[0].job.steps[0].grant.trigger, ["deploy"]);
}

#[test]
fn what_may_be_triggered_is_a_triggerable_scheduler_that_is_granted() {
    let rows = [
        ("{ trigger = [\"deploy\"] }", "{ trigger = [\"depoly\"] }", "which is not there", "did you mean `deploy`?"),
        ("{ trigger = [\"deploy\"] }", "{ trigger = [\"by-hand\"] }", "of another kind", "kind = \"triggerable\""),
        (
            "grant = { trigger = [\"deploy\"] }",
            "",
            "nothing of it is granted",
            "add `grant = { trigger = [\"deploy\"] }`",
        ),
        ("config = { schedulers = [\"deploy\"] }", "config = { schedulers = [] }", "`config.schedulers`", ""),
        (
            "kind = \"triggerable\"",
            "kind = \"triggerable\"\nbranch = \"main\"",
            "for kind `triggerable`",
            "with the codebase",
        ),
    ];
    for (from, to, message, mend) in rows {
        let text = DEPLOYING.replacen(from, to, 1);
        assert_ne!(text, DEPLOYING);
        let found = wrong(&text);
        let [one] = found.as_slice() else { panic!("{to}: {found:?}") };
        let shown = one.render(false);
        assert!(shown.contains(message) && shown.contains(mend), "{to}: {shown}");
    }
}
