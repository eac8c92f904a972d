//! What steps may do here at most. The effective right of a step is what its plugin asks for, what the operator of the host grants it, and what
//! the worker allows, all three; the last is enforced here.

use std::path::{Component, Path};

use serde::Deserialize;
use stampmill_model::Grant;

/// The most that a worker allows. The default lets steps start any program in the sandbox and use secrets that the host gives them, and
/// nothing outside the sandbox: no network, no path of the machine, no request.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Allow {
    /// Programs, as in a grant; `*` is any.
    pub command: Vec<String>,
    /// `host:port`; `*` is any, `*:443` any host, `*.example:443` any host below `example`, `host:*` any port.
    pub net: Vec<String>,
    /// Directories whose content may be granted for reading; `*` is any.
    pub read: Vec<String>,
    /// Directories whose content may be granted for writing; `*` is any.
    pub write: Vec<String>,
    /// Origins that may be asked; `*` is any.
    pub http: Vec<String>,
    /// Secrets that this worker may be trusted with; `*` is any.
    pub secret: Vec<String>,
    /// Plugins that may run, by the name that the host's configuration gives them; `*` is any.
    pub plugin: Vec<String>,
}

impl Default for Allow {
    fn default() -> Self {
        let any = || vec!["*".to_owned()];
        Self {
            command: any(),
            net: Vec::new(),
            read: Vec::new(),
            write: Vec::new(),
            http: Vec::new(),
            secret: any(),
            plugin: any(),
        }
    }
}

/// A right that was granted and that the worker does not allow.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this worker does not allow {key} {value:?}; `[allow] {key} = [{value:?}]` in its configuration would")]
pub struct NotAllowed {
    /// Which kind of right.
    pub key: &'static str,
    /// Which one.
    pub value: String,
}

impl Allow {
    /// Everything that the host grants: for a worker of the same operator on the same machine.
    #[must_use]
    pub fn everything() -> Self {
        let any = || vec!["*".to_owned()];
        Self { command: any(), net: any(), read: any(), write: any(), http: any(), secret: any(), plugin: any() }
    }

    /// The part of a grant that this worker allows, or what it does not. A grant of any program is cut to what is allowed; everything else must
    /// be allowed as it stands, so that a step never runs with less than its author reckoned with.
    ///
    /// # Errors
    /// The first right that is not allowed.
    pub fn effective(&self, plugin: &str, grant: &Grant) -> Result<Grant, NotAllowed> {
        all("plugin", &[plugin.to_owned()], &self.plugin, |value, allowed| value == allowed)?;
        let command = if grant.command.iter().any(|program| program == "*") {
            self.command.clone()
        } else {
            all("command", &grant.command, &self.command, |value, allowed| value == allowed)?;
            grant.command.clone()
        };
        all("net", &grant.net, &self.net, net_covers)?;
        all("read", &grant.read, &self.read, path_covers)?;
        all("write", &grant.write, &self.write, path_covers)?;
        all("http", &grant.http, &self.http, |value, allowed| {
            value.trim_end_matches('/').eq_ignore_ascii_case(allowed.trim_end_matches('/'))
        })?;
        let secrets: Vec<String> = grant.secrets().cloned().collect();
        all("secret", &secrets, &self.secret, |value, allowed| value == allowed)?;
        Ok(Grant { command, ..grant.clone() })
    }
}

fn all(
    key: &'static str,
    granted: &[String],
    allowed: &[String],
    covers: impl Fn(&str, &str) -> bool,
) -> Result<(), NotAllowed> {
    let covered = |value: &str| allowed.iter().any(|allowed| allowed == "*" || covers(value, allowed));
    match granted.iter().find(|value| !covered(value)) {
        None => Ok(()),
        Some(value) => Err(NotAllowed { key, value: value.clone() }),
    }
}

fn net_covers(value: &str, allowed: &str) -> bool {
    let (Some((host, port)), Some((allowed_host, allowed_port))) = (value.rsplit_once(':'), allowed.rsplit_once(':'))
    else {
        return false;
    };
    let host = host.to_ascii_lowercase();
    let allowed_host = allowed_host.to_ascii_lowercase();
    let host_fits = match allowed_host.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => suffix.starts_with('.') && host.ends_with(suffix) && host.len() > suffix.len(),
        None => host == allowed_host,
    };
    host_fits && (allowed_port == "*" || allowed_port == port)
}

fn path_covers(value: &str, allowed: &str) -> bool {
    let value = Path::new(value);
    let climbs = value.components().any(|part| part == Component::ParentDir);
    value.is_absolute() && !climbs && value.starts_with(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(key: &str, value: &str) -> Grant {
        let mut grant = Grant::default();
        let values = vec![value.to_owned()];
        match key {
            "command" => grant.command = values,
            "net" => grant.net = values,
            "read" => grant.read = values,
            "write" => grant.write = values,
            "http" => grant.http = values,
            "secret" => grant.secret = values,
            "credential" => grant.credential = [(value.to_owned(), vec!["https://a.example".to_owned()])].into(),
            other => panic!("no right `{other}`"),
        }
        grant
    }

    fn allow(key: &str, value: &str) -> Allow {
        toml::from_str(&format!("{key} = [{value:?}]")).unwrap()
    }

    #[test]
    fn what_is_allowed_passes_as_it_stands() {
        for (key, value, allowed) in [
            ("command", "git", "git"),
            ("command", "git", "*"),
            ("net", "crates.example:443", "crates.example:443"),
            ("net", "Crates.example:443", "crates.EXAMPLE:443"),
            ("net", "a.b.example:443", "*.example:443"),
            ("net", "a.example:443", "*:443"),
            ("net", "a.example:8080", "a.example:*"),
            ("net", "a.example:8080", "*"),
            ("read", "/srv/git/app.git", "/srv/git"),
            ("write", "/srv/cache", "/srv/cache/"),
            ("http", "https://a.example/", "https://a.example"),
            ("secret", "key", "key"),
        ] {
            let asked = grant(key, value);
            assert_eq!(allow(key, allowed).effective("p", &asked), Ok(asked), "{key} {value} {allowed}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_named_with_the_mend() {
        for (key, value, allowed) in [
            ("command", "git", "make"),
            ("command", "./git", "git"),
            ("net", "crates.example:444", "crates.example:443"),
            ("net", "example:443", "*.example:443"),
            ("net", "badexample:443", "*.example:443"),
            ("net", "a.example.evil:443", "*.example:443"),
            ("net", "a.example", "a.example:443"),
            ("read", "/srv/gitty", "/srv/git"),
            ("read", "/srv/git/../../etc", "/srv/git"),
            ("read", "srv/git", "/srv/git"),
            ("http", "http://a.example", "https://a.example"),
            ("secret", "other", "key"),
        ] {
            let refused = allow(key, allowed).effective("p", &grant(key, value)).unwrap_err();
            assert_eq!((refused.key, refused.value.as_str()), (key, value), "{allowed}");
            assert!(refused.to_string().contains("in its configuration would"));
        }
    }

    #[test]
    fn a_credential_is_a_secret_that_the_worker_is_trusted_with() {
        let asked = grant("credential", "token");
        assert_eq!(allow("secret", "token").effective("p", &asked), Ok(asked.clone()));
        let refused = allow("secret", "other").effective("p", &asked).unwrap_err();
        assert_eq!((refused.key, refused.value.as_str()), ("secret", "token"));
    }

    #[test]
    fn the_default_lets_nothing_out_of_the_sandbox() {
        for (key, value) in [("net", "a:1"), ("read", "/srv"), ("write", "/srv"), ("http", "https://a")] {
            assert!(Allow::default().effective("p", &grant(key, value)).is_err(), "{key}");
            assert!(Allow::everything().effective("p", &grant(key, value)).is_ok(), "{key}");
        }
        assert!(Allow::default().effective("p", &grant("command", "git")).is_ok());
    }

    #[test]
    fn a_grant_of_any_program_is_cut_to_what_is_allowed() {
        let effective = allow("command", "git").effective("p", &grant("command", "*")).unwrap();
        assert_eq!(effective.command, ["git"]);
    }

    #[test]
    fn a_plugin_that_is_not_allowed_does_not_run() {
        let allow = allow("plugin", "shell");
        assert!(allow.effective("shell", &Grant::default()).is_ok());
        assert_eq!(allow.effective("git", &Grant::default()).unwrap_err().key, "plugin");
    }
}
