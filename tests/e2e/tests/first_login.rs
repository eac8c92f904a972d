//! The first login: whoever starts a host without users is told how to make one, and is not told again.

use nix::sys::signal::Signal;
use stampmill_e2e::{Host, Place, Repository, command, main_job};

#[tokio::test]
async fn the_first_start_says_how_to_make_the_first_login_and_later_ones_do_not() -> anyhow::Result<()> {
    let place = Place::new()?;
    let repository = Repository::make(place.path())?;
    std::fs::write(
        place.path().join("stampmill.toml"),
        main_job(&repository.bare, "http://127.0.0.1:9/report", "true"),
    )?;
    let to_type = format!("stampmill user add NAME --role admin --data {}", place.path().join("data").display());
    let host = Host::start(place.path(), "host").await?;
    host.end(Signal::SIGTERM).await?;
    let log = std::fs::read_to_string(place.path().join("host.log"))?;
    assert_eq!(log.matches(&to_type).count(), 1, "host: {log}");

    let up = Host::start(place.path(), "up").await?;
    let typed: Vec<&str> = to_type.split(' ').skip(1).map(|word| if word == "NAME" { "ann" } else { word }).collect();
    let password = "correct horse battery staple\n".repeat(2);
    let said = command::typed_with(place.path(), &typed, &password).await?;
    assert_eq!(said.code, 0, "{said:?}");
    up.end(Signal::SIGTERM).await?;
    let log = std::fs::read_to_string(place.path().join("host.log"))?;
    assert_eq!(log.matches(&to_type).count(), 2, "up: {log}");

    for start in ["host", "up"] {
        let host = Host::start(place.path(), start).await?;
        host.end(Signal::SIGTERM).await?;
        let log = std::fs::read_to_string(place.path().join("host.log"))?;
        assert_eq!(log.matches("no user yet").count(), 2, "{start}: there is a user: {log}");
    }
    Ok(())
}
