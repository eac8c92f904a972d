//! Attack 4: after a checkout with a credential, the credential is nowhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::ensure;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stampmill_e2e::{Place, Repository};
use tokio::net::TcpListener;

use super::house::{House, Plan, plain, with_a_text};

const TOKEN: &str = "tok-3n-never-to-be-seen-0815";

/// Serves the files of a bare repository, as any web server can, to whoever has the token; answers its origin, and counts who had it.
async fn serve(bare: PathBuf) -> anyhow::Result<(String, Arc<AtomicUsize>)> {
    let expected = format!("Basic {}", STANDARD.encode(format!("bot:{TOKEN}")));
    let let_in = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&let_in);
    let answer = move |request: Request| {
        let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes().to_vec());
        let path = bare.join(request.uri().path().trim_start_matches("/app.git/"));
        let known = authorization.is_some_and(|value| value == expected.as_bytes());
        let response: Response = match (known, std::fs::read(path)) {
            (false, _) => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response()
            }
            (true, Ok(body)) => body.into_response(),
            (true, Err(_)) => StatusCode::NOT_FOUND.into_response(),
        };
        count.fetch_add(usize::from(known), Ordering::Relaxed);
        async move { response }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        // It ends with the test.
        let _ = axum::serve(listener, Router::new().fallback(answer)).await;
    });
    Ok((address, let_in))
}

/// ArtiPACKED: the checkout left a token in `.git/config`, and the work directory was uploaded.
#[tokio::test(flavor = "multi_thread")]
async fn attack_4_after_a_checkout_with_a_credential_the_token_is_nowhere() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::named(place.path(), "app")?;
    repository.commit("Add it", &[("file", "of the repository\n")], "Ann <ann@example.org>")?;
    let served = std::process::Command::new("git").arg("update-server-info").current_dir(&repository.bare).status()?;
    ensure!(served.success());
    let (address, let_in) = serve(repository.bare.clone()).await?;
    std::fs::write(place.path().join("forge-token"), format!("{TOKEN}\n"))?;
    let checkout = format!(
        "[[job.step]]\nname = \"checkout\"\nplugin = \"git\"\n\
         config = {{ codebase = \"app\", repository = \"http://{address}/app.git\", credential = {{ user = \"bot\", secret = \"forge-token\" }} }}\n\
         grant = {{ command = [\"git\"], net = [\"{address}\"], secret = [\"forge-token\"] }}\n"
    );
    let search = "cat file\ncat .git/config\nls -A $HOME\n/bin/sh -c 'export -p'\ngit remote -v\n\
                  $H scan tok-3n- never\ntar -cf /tmp/upload.tar . && grep -c to-be-seen /tmp/upload.tar || echo no token in the archive";
    let jobs = [("app", format!("{checkout}{}", plain("search", search)))];
    let more = "[secret.forge-token]\nfile = \"forge-token\"\n\
                [codebases]\nplugin = \"repository-map\"\nconfig = { \"PLACE/app.git\" = \"app\" }\n";
    let house = House::open(place, Plan { jobs: &jobs, more: more.to_owned(), limits: "" }).await?;
    let encoded = STANDARD.encode(format!("bot:{TOKEN}"));
    for seat in house.seats.clone() {
        let before = let_in.load(Ordering::Relaxed);
        let log = house.says("app", seat, 1, "success").await?;
        ensure!(let_in.load(Ordering::Relaxed) > before, "the token was used");
        ensure!(log.contains("of the repository") && log.contains("no token in the archive"), "{seat:?}: {log}");
        let build = house.last("app", seat).await?;
        let checked = house.log(&build, 0, "stdio").await?;
        for said in [&log, &checked, &house.host.log()] {
            ensure!(!said.contains(TOKEN) && !said.contains(&encoded), "{seat:?}: {said}");
        }
        ensure!(house.work(seat, "app").join(".git/config").exists(), "this is where it would be");
        for kept in [house.state(seat), house.place.path().join("data")] {
            let found = with_a_text(&kept, &[TOKEN, &encoded]);
            ensure!(found.is_empty(), "{seat:?}: {found:?}");
        }
    }
    house.close().await
}
