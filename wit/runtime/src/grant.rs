//! What the operator allows one use of a plugin, and the question whether an argument is within it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::egress::is_place;
use crate::records::Fault;

/// What one use of a plugin may do; nothing by default. The names are those of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grant {
    /// Programs: a bare name, an absolute path, a path below the work directory, or `*` for any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Hosts and ports that these programs may reach; see [`crate::egress`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub net: Vec<String>,
    /// Paths that these programs may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<PathBuf>,
    /// Paths that these programs may write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<PathBuf>,
    /// Origins (`https://host` or `https://host:port`) that requests may go to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Secrets by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
    /// Secrets that may be attached to requests, each with the origins that get to see it. The plugin itself never does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credential: BTreeMap<String, Vec<String>>,
    /// Triggerable schedulers by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trigger: Vec<String>,
}

/// A value of a grant that can't be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadValue {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) why: String,
}

impl Grant {
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        let named = self.credential.values().flatten().map(|value| ("credential", value));
        for (key, value) in self.http.iter().map(|value| ("http", value)).chain(named) {
            origin(value).map_err(|why| BadValue { key, value: value.clone(), why })?;
        }
        if let Some(place) = self.net.iter().find(|place| !is_place(place)) {
            let why = "a host and a port such as `git.example:443` are expected".to_owned();
            return Err(BadValue { key: "net", value: place.clone(), why });
        }
        for program in &self.command {
            if program.is_empty() || program.contains('\0') {
                let why = "the name or path of a program is expected, or `*`".to_owned();
                return Err(BadValue { key: "command", value: program.clone(), why });
            }
        }
        Ok(())
    }

    /// Whether this program may be started. The name is compared as it stands: `git` grants neither `./git` nor `/tmp/git`.
    pub(crate) fn allows_program(&self, program: &str) -> Result<(), Fault> {
        if self.command.iter().any(|granted| granted == "*" || granted == program) {
            return Ok(());
        }
        Err(refused("program", program, &format!("command = [{program:?}]")))
    }

    /// Whether the secret may be used in a command or revealed.
    pub(crate) fn allows_secret(&self, name: &str) -> Result<(), Fault> {
        if self.secret.iter().any(|granted| granted == name) {
            return Ok(());
        }
        Err(refused("secret", name, &format!("secret = [{name:?}]")))
    }

    /// Whether a buildset of this scheduler may be made.
    pub(crate) fn allows_trigger(&self, scheduler: &str) -> Result<(), Fault> {
        if self.trigger.iter().any(|granted| granted == scheduler) {
            return Ok(());
        }
        Err(refused("scheduler", scheduler, &format!("trigger = [{scheduler:?}]")))
    }

    /// Whether a request may go there; the URL is the parsed one that will be sent.
    pub(crate) fn allows_url(&self, url: &Url) -> Result<(), Fault> {
        let wanted = url.origin().ascii_serialization();
        if self.http.iter().any(|granted| origin(granted).is_ok_and(|granted| granted == wanted)) {
            return Ok(());
        }
        Err(refused("origin", &wanted, &format!("http = [{wanted:?}]")))
    }

    /// Whether the secret may be attached to a request there. A secret bound under `credential` goes to its own origins only.
    pub(crate) fn allows_credential(&self, name: &str, url: &Url) -> Result<(), Fault> {
        let Some(origins) = self.credential.get(name) else { return self.allows_secret(name) };
        let wanted = url.origin().ascii_serialization();
        if origins.iter().any(|granted| origin(granted).is_ok_and(|granted| granted == wanted)) {
            return Ok(());
        }
        Err(Fault::Refused(format!(
            "credential `{name}` is not granted for `{wanted}`; the grant `credential = {{ {name:?} = [{wanted:?}] }}` would allow it"
        )))
    }
}

fn refused(what: &str, name: &str, grant: &str) -> Fault {
    Fault::Refused(format!("{what} `{name}` is not granted; the grant `{grant}` would allow it"))
}

/// Scheme, host and port in the one spelling that comparisons use; `None` for what is no origin of HTTP.
pub fn canonical_origin(text: &str) -> Option<String> {
    origin(text).ok()
}

/// As [`canonical_origin`], with what is wrong.
fn origin(text: &str) -> Result<String, String> {
    let expected = "an origin such as `https://host` or `https://host:8443` is expected";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare || !anonymous {
        return Err(expected.to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let grant: Grant = serde_json::from_str("{}").unwrap();
        assert_eq!(grant, Grant::default());
        assert!(grant.allows_program("git").is_err());
        assert!(grant.allows_secret("key").is_err());
        assert!(grant.allows_url(&url("https://a.example/")).is_err());
        assert!(grant.allows_trigger("deploy").is_err());
        assert!(serde_json::from_str::<Grant>(r#"{"comand":["git"]}"#).is_err());
    }

    #[test]
    fn a_program_is_compared_as_it_stands() {
        let grant = Grant {
            command: vec!["git".to_owned(), "/usr/bin/make".to_owned(), "./configure".to_owned()],
            ..Grant::default()
        };
        for program in ["git", "/usr/bin/make", "./configure"] {
            assert!(grant.allows_program(program).is_ok(), "{program}");
        }
        for program in ["./git", "/usr/bin/git", "make", "git ", "GIT", "sub/../git", "", "configure", "*"] {
            assert!(grant.allows_program(program).is_err(), "{program}");
        }
        let any = Grant { command: vec!["*".to_owned()], ..Grant::default() };
        assert!(any.allows_program("./anything").is_ok());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port_and_no_trick_makes_it_another() {
        let grant = Grant {
            http: vec!["https://api.example".to_owned(), "http://127.0.0.1:8080".to_owned()],
            ..Grant::default()
        };
        for allowed in
            ["https://api.example/x?y", "https://API.example:443/", "http://127.0.0.1:8080/", "http://0x7f.1:8080/"]
        {
            assert!(grant.allows_url(&url(allowed)).is_ok(), "{allowed}");
        }
        for refused in [
            "http://api.example/",
            "https://api.example:444/",
            "https://api.example@evil.example/",
            "https://api.example.evil.example/",
            "https://evil.example/https://api.example",
            "https://evil.example\\@api.example/",
            "https://api.example%2eevil.example/",
            "http://127.0.0.1/",
            "http://[::ffff:127.0.0.1]:8080/",
            "file:///etc/passwd",
        ] {
            if let Ok(url) = Url::parse(refused) {
                let error = grant.allows_url(&url).unwrap_err().to_string();
                assert!(error.contains("http = ["), "{refused}: {error}");
            }
        }
    }

    #[test]
    fn a_bound_credential_goes_to_its_own_origin_and_is_no_secret_to_reveal() {
        let grant = Grant {
            http: vec!["https://a.example".to_owned(), "https://b.example".to_owned()],
            credential: BTreeMap::from([("token".to_owned(), vec!["https://a.example".to_owned()])]),
            ..Grant::default()
        };
        assert!(grant.allows_credential("token", &url("https://a.example/x")).is_ok());
        assert!(grant.allows_credential("token", &url("https://b.example/x")).is_err());
        assert!(grant.allows_credential("other", &url("https://a.example/x")).is_err());
        assert!(grant.allows_secret("token").is_err());
    }

    #[test]
    fn a_grant_that_can_not_be_meant_is_found() {
        for bad in
            ["api.example", "https://api.example/path", "https://user@api.example", "ftp://api.example", "https://"]
        {
            let grant = Grant { http: vec![bad.to_owned()], ..Grant::default() };
            assert_eq!(grant.check().unwrap_err().value, bad);
        }
        for bad in ["git.example", "*.example:443", "git.example:0", "10.0.0.0/40:22"] {
            let grant = Grant { net: vec![bad.to_owned()], ..Grant::default() };
            assert_eq!(grant.check().unwrap_err().value, bad);
        }
        assert!(Grant { command: vec![String::new()], ..Grant::default() }.check().is_err());
        assert!(Grant { http: vec!["https://api.example/".to_owned()], ..Grant::default() }.check().is_ok());
    }
}
