//! The pages as people meet them: through their router, with a store in a temporary directory, a host that remembers what it was asked, and
//! texts as hostile as a repository can make them.

#[expect(dead_code, reason = "the pages change nothing that is looked up in the store")]
#[path = "../../../host/service/tests/fake/house.rs"]
mod house;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use house::{HOSTILE, House};
use stampmill_service::{Access, Action, Ask, Peer, Permission, Role};
use stampmill_ui::routes::{Route, routes};
use tower::ServiceExt as _;

const PEER: Peer = Peer::Tcp(std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000));

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn send(house: &House, method: &str, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(form.to_owned())).unwrap();
    request.extensions_mut().insert(PEER);
    let (parts, body) = stampmill_ui::router(house.service.clone()).oneshot(request).await.unwrap().into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.into()).unwrap() }
}

async fn get(house: &House, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(house, "GET", path, headers, "").await
}

fn address(route: &Route) -> String {
    let name = match route.path {
        path if path.contains("change-sources") => "app",
        path if path.contains("schedulers") => "force",
        path if path.contains("workers") => "w1",
        _ => "linux",
    };
    let id = if ["changes", "steps", "people"].iter().any(|word| route.path.contains(word)) { "1" } else { "2" };
    route.path.replace("{name}", name).replace("{id}", id).replace("{step}", "1").replace("{log}", "stdio")
}

/// Every page that shows something, with those of one kind that look different.
fn every_page() -> Vec<String> {
    let pages = routes().into_iter().filter(|route| !route.is_form && !route.path.starts_with("/static"));
    let mut pages: Vec<String> = pages.map(|route| address(&route)).collect();
    for more in [
        "/builds/1",
        "/buildsets/1",
        "/buildsets/3",
        "/builders/windows",
        "/builds/1/steps/1/logs/empty",
        "/builds/2/steps/1/logs/stdio",
    ] {
        pages.push(more.into());
    }
    pages
}

#[tokio::test]
async fn no_page_lets_a_repository_run_or_restyle_anything() {
    let house = House::new(Access::default());
    let bearer = format!("Bearer {}", house.token(Role::Admin));
    for page in every_page() {
        let answer = get(&house, &page, &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}");
        let text = &answer.text;
        assert!(!text.contains("<script>"), "{page}: unescaped");
        assert!(!text.contains("<b>bold"), "{page}: unescaped");
        assert!(!text.contains("=\"javascript:"), "{page}: a link that runs");
        assert!(!text.contains(" style=") && !text.contains("<style"), "{page}: inline style");
        assert!(!text.contains(" onclick") && !text.contains(" onload"), "{page}: inline script");
        assert_eq!(text.matches("<script").count(), 1, "{page}: only our own script, by address");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'")
                && policy.contains("script-src 'self';")
                && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(
            text.matches("Mill &amp; &lt;i&gt;Co").count(),
            2,
            "{page}: the host's title, in the tab and the bar"
        );
        assert!(text.len() < 30_000, "{page} has {} bytes", text.len());
    }
}

#[tokio::test]
async fn hostile_texts_are_shown_as_they_are() {
    let house = House::new(Access::default());
    let bearer = format!("Bearer {}", house.token(Role::Viewer));
    let shown = HOSTILE.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    for page in [
        "/",
        "/builders/linux",
        "/builds/1",
        "/buildsets/3",
        "/changes",
        "/changes/1",
        "/people",
        "/people/1",
        "/schedulers",
        "/workers",
        "/plugins",
    ] {
        let answer = get(&house, page, &[("authorization", &bearer)]).await;
        assert!(answer.text.contains(&shown), "{page}: {}", answer.text);
    }
}

#[tokio::test]
async fn without_its_permission_no_page_shows_and_no_form_does_anything() {
    let house = House::new(Access::default());
    let tokens = Role::ALL.map(|role| (role, format!("Bearer {}", house.token(role))));
    for route in routes() {
        let Permission::Needs(action) = route.permission else { continue };
        let (method, path) = (if route.is_form { "POST" } else { "GET" }, address(&route));
        let nobody = send(&house, method, &path, &[], "").await;
        if route.is_form {
            assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_ne!(action, Action::Read, "{path}: a form needs more than reading");
        } else {
            assert_eq!(nobody.status, StatusCode::SEE_OTHER, "{path}");
            assert!(nobody.headers["location"].to_str().unwrap().starts_with("/login?next=%2F"), "{path}");
            assert_eq!(nobody.text, "", "{path}");
        }
        for (role, bearer) in &tokens {
            house.host.asked();
            let answer = send(&house, method, &path, &[("authorization", bearer)], "").await;
            if *role < action.least_role() {
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} as {role}");
                assert_eq!(house.host.asked(), (vec![], vec![]), "{path} as {role}");
            } else {
                assert!(
                    [StatusCode::OK, StatusCode::SEE_OTHER].contains(&answer.status),
                    "{path} as {role}: {}",
                    answer.status
                );
            }
        }
    }
}

#[tokio::test]
async fn a_cross_site_form_is_refused_even_with_a_login() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Admin).await;
    let token = format!("csrf={csrf}");
    let own = [("cookie", cookie.as_str()), ("host", "ci.example"), ("origin", "http://ci.example")];
    let evil = [("cookie", cookie.as_str()), ("host", "ci.example"), ("origin", "http://evil.example")];
    let none = [("cookie", cookie.as_str()), ("host", "ci.example")];
    for route in routes().into_iter().filter(|route| route.is_form && route.path != "/logout") {
        let path = address(&route);
        for (headers, form) in [(&evil[..], token.as_str()), (&none, &token), (&own, ""), (&own, "csrf=wrong")] {
            let answer = send(&house, "POST", &path, headers, form).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?} {form}");
        }
        assert_eq!(house.host.asked(), (vec![], vec![]), "{path}");
        let answer = send(&house, "POST", &path, &own, &token).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{path}");
        house.host.asked();
    }
}

#[tokio::test]
async fn a_force_form_asks_for_what_was_typed() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Developer).await;
    let own = [("cookie", cookie.as_str()), ("host", "ci.example"), ("origin", "http://ci.example")];
    let page = get(&house, "/builders/linux", &own).await.text;
    assert!(page.contains(&format!("value=\"{csrf}\"")) && page.contains("name=\"codebases.app.branch\""), "{page}");

    let form = format!(
        "csrf={csrf}&scheduler=force&reason=a+%26+b&codebases.app.branch=fix%2Fx&codebases.app.revision=&properties=a%3D1%0D%0Ab%3D+x%3Dy"
    );
    let answer = send(&house, "POST", "/builders/linux/force", &own, &form).await;
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, "/buildsets/3"));
    let asked = house.host.asked().0;
    let [Ask::Force(force)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((force.reason.as_str(), force.owner.as_str()), ("a & b", "developer"));
    assert_eq!((force.stamps["app"].branch.as_deref(), force.stamps["app"].revision.as_deref()), (Some("fix/x"), None));
    assert_eq!((&force.properties["a"].value, &force.properties["b"].value), (&"1".into(), &"x=y".into()));

    let answer = send(&house, "POST", "/builders/linux/force", &own, &format!("csrf={csrf}&properties=nonsense")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("write name=value"), "{}", answer.text);
}

#[tokio::test]
async fn a_login_sets_a_cookie_and_leads_back_and_a_wrong_one_does_not() {
    let house = House::new(Access::default());
    house.log_in(Role::Viewer).await;
    let own = [("host", "ci.example"), ("origin", "http://ci.example")];
    let wrong = send(&house, "POST", "/login", &own, "name=viewer&password=wrong+horse&next=%2Fbuilds%2F1").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text.contains("name or password is wrong") && !wrong.headers.contains_key("set-cookie"));

    let right = send(&house, "POST", "/login", &own, "name=viewer&password=correct+horse&next=%2Fbuilds%2F1").await;
    assert_eq!((right.status, right.headers["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, "/builds/1"));
    let cookie = right.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    let page = get(&house, "/builds/1", &[("cookie", cookie)]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text.contains("Log out") && !page.text.contains("Rebuild"),
        "a viewer sees no button that is not for viewers"
    );

    let away = send(&house, "POST", "/login", &own, "name=viewer&password=correct+horse&next=%2F%2Fevil.example").await;
    assert_eq!(away.headers["location"], "/");
    let cross = send(
        &house,
        "POST",
        "/login",
        &[("host", "ci.example"), ("origin", "http://evil.example")],
        "name=viewer&password=correct+horse",
    )
    .await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn style_and_script_are_kept_by_browsers_under_a_name_of_their_content() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    let page = get(&house, "/", &[("host", "localhost")]).await.text;
    for start in ["/static/style.", "/static/live.", "/static/icon."] {
        let at = page.find(start).unwrap();
        let path = page[at..].split('"').next().unwrap();
        let answer = get(&house, path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("immutable"), "{path}");
    }
    assert_eq!(get(&house, "/static/style.0.css", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_log_page_has_numbered_lines_and_goes_on() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    let local = [("host", "localhost")];
    let first = get(&house, "/builds/1/steps/1/logs/stdio", &local).await.text;
    assert!(first.contains("id=\"L1\"") && first.contains("id=\"L200\"") && !first.contains("id=\"L201\""));
    assert!(
        first.contains("?first=201") && first.contains("data-lines=\"1000\"") && first.contains("data-ended=\"true\"")
    );
    let last = get(&house, "/builds/1/steps/1/logs/stdio?first=99999", &local).await.text;
    assert!(last.contains("id=\"L1000\"") && last.contains("error: &lt;b&gt;bold&lt;/b&gt;"), "{last}");
    let growing = get(&house, "/builds/2/steps/1/logs/stdio", &local).await.text;
    assert!(growing.contains("data-lines=\"3\"") && growing.contains("data-ended=\"false\""), "{growing}");
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    for path in [
        "/builds/99",
        "/builds/x",
        "/changes/99",
        "/buildsets/99",
        "/builders/linus",
        "/nothing",
        "/builds/1/steps/1/logs/nothing",
    ] {
        let answer = get(&house, path, &[("host", "localhost")]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text.contains("Nothing here"), "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
    }
}

#[tokio::test]
async fn the_schedulers_page_shows_what_each_waits_with_and_a_button_to_those_who_may() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Operator).await;
    let own = [("cookie", cookie.as_str()), ("host", "ci.example"), ("origin", "http://ci.example")];
    let page = get(&house, "/schedulers", &own).await.text;
    let card = |page: &str, name: &str| {
        let from =
            page.split(&format!("id=\"scheduler-{name}\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
        from.split("</article>").next().unwrap().to_owned()
    };
    let (quick, force, night) = (card(&page, "quick"), card(&page, "force"), card(&page, "night"));
    assert!(quick.contains("Disabled by ann: &lt;script&gt;") && quick.contains("3 changes wait"), "{quick}");
    assert!(quick.contains("action=\"/schedulers/quick/enable\"") && !quick.contains("/disable"), "{quick}");
    assert!(force.contains(">force<") && force.contains("when a person asks"), "{force}");
    assert!(force.contains("action=\"/schedulers/force/disable\"") && !force.contains("/enable"), "{force}");
    assert!(night.contains("Next at 2026-03-01 12:00:00 UTC"), "{night}");
    let viewer = format!("Bearer {}", house.token(Role::Developer));
    let seen = get(&house, "/schedulers", &[("authorization", &viewer)]).await.text;
    assert!(seen.contains("Disabled by ann") && !seen.contains("<button"), "{seen}");

    for (path, form) in [("/schedulers/force/disable", "&reason=a+%26+b"), ("/schedulers/quick/enable", "")] {
        let answer = send(&house, "POST", path, &own, &format!("csrf={csrf}{form}")).await;
        assert_eq!(
            (answer.status, &answer.headers["location"]),
            (StatusCode::SEE_OTHER, &"/schedulers".parse().unwrap())
        );
    }
    let disabled = Ask::DisableScheduler { scheduler: "force".into(), by: "operator".into(), reason: "a & b".into() };
    assert_eq!(house.host.asked().0, [disabled, Ask::EnableScheduler("quick".into())]);
    let unknown = send(&house, "POST", "/schedulers/quikc/enable", &own, &format!("csrf={csrf}")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.text.contains("did you mean"), "{}", unknown.text);
    assert_eq!(house.host.asked().0, []);
}

#[tokio::test]
async fn the_workers_page_shows_how_well_each_fences_programs_in() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    let page = get(&house, "/workers", &[("host", "localhost")]).await.text;
    let card = |name: &str| {
        let from = page.split(&format!("id=\"worker-{name}\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
        from.split("</article>").next().unwrap().to_owned()
    };
    let (whole, lacking, unknown) = (card("w1"), card("w2"), card("w3"));
    assert!(whole.contains(">sandboxed<") && whole.contains("every required mechanism"), "{whole}");
    assert!(whole.contains("landlock") && whole.contains("✓ yes") && !whole.contains("✗ no"), "{whole}");
    assert!(!whole.contains("<details open"), "{whole}");
    assert!(
        lacking.contains(">degraded<") && lacking.contains("some mechanism of the sandbox is missing"),
        "{lacking}"
    );
    assert!(lacking.contains("landlock") && lacking.contains("✗ no") && !lacking.contains("✓ yes"), "{lacking}");
    assert!(lacking.contains("<details open"), "what is missing is shown at once: {lacking}");
    assert!(!unknown.contains("tier") && !unknown.contains("landlock"), "nothing is made up: {unknown}");
}

#[tokio::test]
async fn the_workers_page_shows_who_paused_one_and_a_button_to_those_who_may() {
    let house = House::new(Access::default());
    let (cookie, csrf) = house.log_in(Role::Operator).await;
    let own = [("cookie", cookie.as_str()), ("host", "ci.example"), ("origin", "http://ci.example")];
    let page = get(&house, "/workers", &own).await.text;
    let paused = page.split("id=\"worker-w2\"").nth(1).unwrap().split("</article>").next().unwrap();
    assert!(paused.contains("Paused by ann: &lt;script&gt;"), "{paused}");
    assert!(paused.contains("action=\"/workers/w2/resume\"") && !paused.contains("/pause"), "{paused}");
    assert!(page.contains("action=\"/workers/w1/pause\"") && !page.contains("/workers/w1/resume"), "{page}");
    let developer = format!("Bearer {}", house.token(Role::Developer));
    let seen = get(&house, "/workers", &[("authorization", &developer)]).await.text;
    assert!(seen.contains("Paused by ann") && !seen.contains("<button"), "{seen}");
    for (path, form) in [("/workers/w1/pause", "&reason=a+disk"), ("/workers/w2/resume", "")] {
        let answer = send(&house, "POST", path, &own, &format!("csrf={csrf}{form}")).await;
        assert_eq!((answer.status, &answer.headers["location"]), (StatusCode::SEE_OTHER, &"/workers".parse().unwrap()));
    }
    let paused = Ask::PauseWorker { worker: "w1".into(), by: "operator".into(), reason: "a disk".into() };
    assert_eq!(house.host.asked().0, [paused, Ask::ResumeWorker("w2".into())]);
}

#[tokio::test]
async fn the_plugins_page_shows_kind_digest_and_what_is_asked_and_granted() {
    let house = House::new(Access { reading_open: true, ..Access::default() });
    let page = get(&house, "/plugins", &[("host", "localhost")]).await.text;
    for shown in [
        "<h2>shell</h2>",
        ">step<",
        &format!("title=\"SHA-256 {}\"", "0123456789abcdef".repeat(4)),
        "stampmill:host/command@0.1.0",
        "step compile of job c-project",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let asks = page.split("Asks for").nth(1).unwrap().split("</p>").next().unwrap();
    assert!(asks.contains(">command<"), "{asks}");
    let granted = page.split("Granted").nth(1).unwrap().split("</table>").next().unwrap();
    assert!(granted.contains("command: ") && granted.contains("<code>make</code>"), "{granted}");
    assert!(!granted.contains("net: ") && !granted.contains("secret: "), "and nothing else: {granted}");
}
