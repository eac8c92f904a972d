//! Git, started so that nothing in a repository, and nothing in its name, becomes code or an option.
//!
//! Not a Git of our own: it only makes command lines for the `git` program, for plugins that poll or check out. It needs the permission
//! `command`. Every command line made here ignores configuration from outside, runs no hook, asks nobody for a password, and speaks only
//! the protocols that its repository's address names. Credentials reach the commands that talk to the remote, as environment of that one
//! command: they are in no file.

use crate::command::CommandLine;
use crate::config::SecretName;
use crate::{Fault, schemars};
use schemars::JsonSchema;
use serde::Deserialize;

/// The address of a repository, looked at before it is given to Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    address: String,
    local: bool,
}

/// A name and password, or token, for a repository served by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credential {
    /// The user's name; forges that take tokens say which to use, often `x-access-token` or `oauth2`.
    pub user: String,
    /// The name of the secret with the password or token.
    pub secret: SecretName,
}

const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

impl Repository {
    /// Reads an address: `https://…`, `http://…`, `ssh://…`, `git://…`, `file://…`, `user@host:path` or an absolute path.
    pub fn parse(address: &str) -> Result<Repository, Fault> {
        let refuse = |why: &str| Err(Fault::refused(format!("repository `{}`: {why}", redact(address))));
        if address.is_empty() || address.starts_with('-') || address.chars().any(char::is_control) {
            return refuse("is not an address: give a URL or an absolute path");
        }
        let word = address.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if address[word..].starts_with("::") {
            return refuse("names a transport program, which is not allowed: give a URL or an absolute path");
        }
        if let Some((scheme, rest)) = address.split_once("://") {
            return Self::parse_url(address, scheme, rest);
        }
        if address.starts_with('/') {
            return Ok(Repository { address: address.to_owned(), local: true });
        }
        match address.split_once(':') {
            Some((host, path))
                if !host.contains('/') && is_host(host) && !path.is_empty() && !path.starts_with('-') =>
            {
                Ok(Repository { address: address.to_owned(), local: false })
            }
            _ => refuse("is relative: give a URL or an absolute path"),
        }
    }

    fn parse_url(address: &str, scheme: &str, rest: &str) -> Result<Repository, Fault> {
        let refuse = |why: &str| Err(Fault::refused(format!("repository `{}`: {why}", redact(address))));
        if !SCHEMES.contains(&scheme) {
            return refuse("has an unknown scheme: use https, http, ssh, git or file");
        }
        let local = scheme == "file";
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if local {
            return match rest.starts_with('/') {
                true => Ok(Repository { address: address.to_owned(), local }),
                false => refuse("is not an absolute path: write file:///path"),
            };
        }
        if !is_host(authority) {
            return refuse("has no right host");
        }
        if let Some((user, _)) = authority.rsplit_once('@')
            && (scheme.starts_with("http") || user.contains(':'))
        {
            return refuse("carries a name or password: leave it out and give `credential`");
        }
        Ok(Repository { address: address.to_owned(), local })
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.address
    }

    /// Whether it is a directory of this machine, which the operator grants with `read = ["…"]`.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// `https://host:port`, for an address with a scheme.
    fn origin(&self) -> Option<&str> {
        let (scheme, rest) = self.address.split_once("://")?;
        let authority = rest.find('/').unwrap_or(rest.len());
        Some(&self.address[..scheme.len() + 3 + authority])
    }
}

/// Whether `[user@]host[:port]` has no part that a program could take for an option.
fn is_host(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    !host.is_empty()
        && !host.starts_with('-')
        && !authority.starts_with('-')
        && !authority.contains(char::is_whitespace)
}

/// Checks the name of a branch, tag or whole reference by the rules of `git check-ref-format`, and that it is no option.
pub fn check_ref(name: &str) -> Result<(), Fault> {
    let forbidden = |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let wrong = name.is_empty()
        || name == "@"
        || name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.contains(forbidden)
        || ["..", "//", "@{"].iter().any(|part| name.contains(part))
        || name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock"));
    match wrong {
        true => Err(Fault::refused(format!("`{}` is not a name of a git reference", name.escape_debug()))),
        false => Ok(()),
    }
}

/// The whole reference of a branch: `refs/heads/main` for `main`; what begins with `refs/` is whole already.
pub fn branch_ref(branch: &str) -> Result<String, Fault> {
    check_ref(branch)?;
    Ok(if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") })
}

/// Whether this is a whole object name, SHA-1 or SHA-256.
pub fn is_object_name(revision: &str) -> bool {
    matches!(revision.len(), 40 | 64) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The object name that a command such as `git rev-parse` printed, on a line by itself.
///
/// # Errors
/// When it printed anything else.
pub fn printed_object(stdout: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(stdout.strip_suffix(b"\n").unwrap_or(stdout)) {
        Ok(name) if is_object_name(name) => Ok(name.to_owned()),
        _ => {
            let shown: String = String::from_utf8_lossy(stdout).chars().take(100).collect();
            Err(Fault::broken(format!("git answers `{}`, which is no name of an object", shown.escape_debug())))
        }
    }
}

/// Makes command lines for one repository.
#[derive(Debug, Clone)]
pub struct Git {
    repository: Repository,
    credential: Option<Credential>,
    global_config: Option<String>,
}

/// Set for every command.
const SETTINGS: [&str; 11] = [
    "protocol.ext.allow=never",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "safe.directory=*",
    "credential.helper=",
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
];

/// The credential helper: a constant text; name and password are in its environment.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$STAMPMILL_GIT_USER" "$STAMPMILL_GIT_PASSWORD"; }; f"#;

impl Git {
    /// For this repository.
    pub fn new(repository: Repository, credential: Option<Credential>) -> Git {
        Git { repository, credential, global_config: None }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// A command that writes the file for [`Git::with_global_config`]. Git writes it itself, so that the sandbox's user can read it.
    pub fn write_global_config(&self, path: &str) -> CommandLine {
        self.local_command().args(["config", "--file", path, "--replace-all", "safe.directory", "*"])
    }

    /// Uses this file, by absolute path, as the user's configuration. A repository of this machine belongs to another user than the
    /// sandbox's, and the program at the other end of a local path takes no `-c` settings.
    #[must_use]
    pub fn with_global_config(mut self, absolute_path: impl Into<String>) -> Git {
        self.global_config = Some(absolute_path.into());
        self
    }

    /// A command that does not talk to the remote: `git` with everything before the subcommand.
    pub fn local_command(&self) -> CommandLine {
        let mut line = CommandLine::new("git");
        for setting in SETTINGS {
            line = line.arg("-c").arg(setting);
        }
        let mut protocols = "http:https:ssh:git".to_owned();
        if self.repository.local {
            protocols.push_str(":file");
        }
        line.environment("GIT_CONFIG_NOSYSTEM", "1")
            .environment("GIT_CONFIG_GLOBAL", self.global_config.as_deref().unwrap_or("/dev/null"))
            .environment("GIT_TERMINAL_PROMPT", "0")
            .environment("GIT_ALLOW_PROTOCOL", protocols)
            .environment("GIT_NO_REPLACE_OBJECTS", "1")
            .environment("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes")
            .environment("LC_ALL", "C.UTF-8")
    }

    /// A command that talks to the remote: the credential is in its environment, for the repository's own origin.
    pub fn remote_command(&self) -> CommandLine {
        let line = self.local_command();
        let (Some(credential), Some(origin)) = (&self.credential, self.repository.origin()) else {
            return line;
        };
        line.arg("-c")
            .arg(format!("credential.{origin}.helper={HELPER}"))
            .environment("STAMPMILL_GIT_USER", &credential.user)
            .secret_environment("STAMPMILL_GIT_PASSWORD", &*credential.secret)
    }
}

/// Git's own words for what went wrong, from its standard error: one line, without names and passwords.
pub fn explain(stderr: &[u8]) -> String {
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said =
        lines().find(|line| line.starts_with("fatal:")).or_else(|| lines().find(|line| line.starts_with("error:")));
    let line = said.or_else(|| lines().next_back()).unwrap_or("no message");
    let line = line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")).unwrap_or(line);
    redact(&line.chars().take(MOST).collect::<String>())
}

/// Hides what stands between `://` and `@`.
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"').unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(mark) => {
                shown.push_str("***");
                &after[mark..]
            }
            None => after,
        };
    }
    shown + rest
}

/// A file name as the contract carries it: text if it is UTF-8, else quoted as Git prints it (`"caf\351"`).
pub fn file_name(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' => quoted.push_str("\\\""),
            b'\\' => quoted.push_str("\\\\"),
            7 => quoted.push_str("\\a"),
            8 => quoted.push_str("\\b"),
            b'\t' => quoted.push_str("\\t"),
            b'\n' => quoted.push_str("\\n"),
            11 => quoted.push_str("\\v"),
            12 => quoted.push_str("\\f"),
            b'\r' => quoted.push_str("\\r"),
            0x20..=0x7e => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_addresses_are_taken_as_they_stand() {
        for (address, local) in [
            ("https://git.example/app.git", false),
            ("https://git.example:8443/$(touch${IFS}x)/app.git", false),
            ("ssh://git@git.example/app.git", false),
            ("git@git.example:team/app.git", false),
            ("git://git.example/app", false),
            ("/srv/git/app.git", true),
            ("file:///srv/git/app.git", true),
        ] {
            let read = Repository::parse(address).unwrap_or_else(|fault| panic!("{address}: {fault}"));
            assert_eq!((read.as_str(), read.is_local()), (address, local));
        }
    }

    #[test]
    fn an_address_that_is_an_option_a_program_or_a_password_is_refused() {
        for address in [
            "",
            "--upload-pack=touch x",
            "-oProxyCommand=touch x",
            "ext::sh -c touch% x",
            "fd::17/foo",
            "ftp://git.example/app",
            "ssh://-oProxyCommand=touch/x",
            "ssh://git@-oProxyCommand=touch/x",
            "-oProxyCommand=x:path",
            "git@-host:path",
            "app.git",
            "../app.git",
            "file://app.git",
            "https:///app.git",
            "https://user:pw@git.example/app.git",
            "https://token@git.example/app.git",
            "ssh://git:pw@git.example/app.git",
            "https://git.example/a\nb",
        ] {
            assert!(matches!(Repository::parse(address), Err(Fault::Refused(_))), "{address}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_password() {
        let fault = Repository::parse("https://ann:hunter2@git.example/app.git").expect_err("it has a password");
        assert!(!fault.reason().contains("hunter2"), "{fault}");
    }

    #[test]
    fn reference_names_follow_gits_rules() {
        for name in ["main", "feature/x", "refs/tags/v1.0", "$(touch${IFS}x)", "caf\u{e9}", "a-b", "`x`"] {
            assert_eq!(check_ref(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "@",
            "-b",
            "--upload-pack=x",
            "/a",
            "a/",
            "a..b",
            "a b",
            "a:b",
            "a^",
            "a~1",
            "x@{1}",
            "a.lock",
            ".a",
            "a/.b",
            "a\nb",
            "*",
        ] {
            assert!(check_ref(name).is_err(), "{name}");
        }
        assert_eq!(branch_ref("main").as_deref(), Ok("refs/heads/main"));
        assert_eq!(branch_ref("refs/tags/v1").as_deref(), Ok("refs/tags/v1"));
    }

    #[test]
    fn a_credential_is_in_the_environment_of_remote_commands_alone_and_bound_to_the_origin() {
        let credential = Credential { user: "bot".to_owned(), secret: "forge-token".into() };
        let git =
            Git::new(Repository::parse("https://git.example:8443/app.git").expect("an address"), Some(credential));
        let shown = format!("{:?}", git.local_command());
        assert!(!shown.contains("forge-token") && !shown.contains("STAMPMILL_GIT"), "{shown}");
        let remote = git.remote_command();
        assert!(
            remote.argv().iter().any(|word| word.starts_with("credential.https://git.example:8443.helper=!")),
            "{remote:?}"
        );
        assert!(format!("{remote:?}").contains("forge-token"));
        assert!(remote.argv().iter().all(|word| !word.contains("forge-token")), "{remote:?}");
    }

    #[test]
    fn the_file_protocol_is_for_local_repositories() {
        let allowed = |address: &str| {
            let git = Git::new(Repository::parse(address).expect("an address"), None);
            let line = git.local_command();
            line.plain_environment().find(|(name, _)| *name == "GIT_ALLOW_PROTOCOL").map(|(_, value)| value.to_owned())
        };
        assert_eq!(allowed("https://git.example/app").as_deref(), Some("http:https:ssh:git"));
        assert_eq!(allowed("/srv/git/app").as_deref(), Some("http:https:ssh:git:file"));
    }

    #[test]
    fn what_git_prints_is_an_object_name_or_a_fault() {
        let (short, long) = ("0".repeat(40), "aB".repeat(32));
        assert_eq!(printed_object(format!("{short}\n").as_bytes()), Ok(short.clone()));
        assert_eq!(printed_object(long.as_bytes()), Ok(long));
        for other in ["", "\n", "HEAD\n", &short[1..], &format!("{short}\n{short}\n"), &format!(" {short}\n"), "--all"]
        {
            assert!(matches!(printed_object(other.as_bytes()), Err(Fault::Broken(_))), "{other:?}");
        }
        assert!(matches!(printed_object(&[0xe9; 40]), Err(Fault::Broken(_))));
    }

    #[test]
    fn gits_message_is_one_line_without_passwords() {
        let said = explain(b"warning: x\nfatal: unable to access 'https://ann:pw@git.example/app/': 503\nmore\n");
        assert_eq!(said, "unable to access 'https://***@git.example/app/': 503");
        assert_eq!(explain(b""), "no message");
        assert_eq!(redact("a https://u:p@ss@h/x://y@z"), "a https://***@h/x://***@z");
    }

    #[test]
    fn file_names_are_text_or_quoted_as_git_does() {
        assert_eq!(file_name("caf\u{e9}/\nx".as_bytes()), "caf\u{e9}/\nx");
        assert_eq!(file_name(b"caf\xe9\n\"\\"), r#""caf\351\n\"\\""#);
    }
}
