//! What an operator may get wrong, and a volume that is full: one clear line, or a system that stays up and goes on by
//! itself. Nothing that was paid is lost.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Executor};

use crate::{
    customer::{Customer, PIZZA, SOUP, SUSHI},
    engines::{Postgres, is_root},
    harness::{Ended, Fleet, NOBODY_RIDES, eventually, http, run, waybill},
    small::{fill, volume},
};

/// No line may show it.
const PASSWORD: &str = "hunter2";

/// Runs `auth` until it ends, without root's right to read what is closed to it.
async fn auth(settings: &[(&str, &str)]) -> Ended {
    let mut command = waybill(["service", "auth"]);
    if is_root() {
        let ours = command;
        command = Command::new("setpriv");
        command.arg("--bounding-set=-dac_override,-dac_read_search").arg(ours.get_program());
        command.args(ours.get_args());
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
    command.env("WAYBILL_LISTEN", "127.0.0.1:0").env("OTEL_SDK_DISABLED", "true");
    command.envs(settings.iter().copied());
    run(command).await
}

/// `auth` does not start, for the reason `words`, in one line on stderr.
async fn refused(settings: &[(&str, &str)], status: i32, words: &[&str]) {
    let ended = auth(settings).await;
    let said = ended.stderr.trim_end();
    assert_eq!(ended.status.code(), Some(status), "{settings:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{settings:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{settings:?}: {word:?} is not in {said}");
    }
    assert!(!said.contains(PASSWORD) && !ended.stdout.contains(PASSWORD), "{said}{}", ended.stdout);
    let lines = ended.stdout.lines().count();
    assert!(lines <= 5, "{settings:?}: {lines} lines of log: {}", ended.stdout);
}

#[tokio::test]
async fn a_setting_that_cannot_be_used_is_one_line_that_names_it_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (empty, nonsense, missing, is_folder) = (path("empty"), path("nonsense"), path("missing"), path(""));
    std::fs::write(&empty, "\n").unwrap();
    std::fs::write(&nonsense, "this is no database, and long enough to be told from one\n".repeat(100))
        .unwrap();
    let sqlite = format!("sqlite://{nonsense}");
    let below_a_file = format!("sqlite://{nonsense}/auth.db");
    let a_folder = format!("sqlite://{is_folder}");
    for (name, value, words) in [
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "must begin with sqlite:// or postgres://"),
        ("DATABASE_URL", "postgres://u:hunter2@h", "names no database"),
        ("DATABASE_URL_FILE", missing.as_str(), "name a readable file"),
        ("DATABASE_URL_FILE", &is_folder, "name a readable file"),
        ("DATABASE_URL_FILE", &empty, "the file is empty"),
        ("NATS_URL", "http://h:4222", "write nats://host:4222"),
        ("NATS_URL_FILE", &missing, "name a readable file"),
        ("NATS_URL_FILE", &empty, "the file is empty"),
        ("NATS_CREDS", &missing, "name a .creds file"),
    ] {
        refused(&[(name, value)], 2, &[name, words]).await;
    }
    for (url, words) in [
        (&sqlite, "name another file"),
        (&below_a_file, "choose a writable one"),
        (&a_folder, "in a folder that may be written"),
    ] {
        refused(&[("DATABASE_URL", url)], 1, &["DATABASE_URL=sqlite://", words]).await;
    }
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_one_line_that_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "postgres://u:hunter2@h/d").unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&secret, closed).unwrap();
    refused(
        &[("DATABASE_URL_FILE", secret.to_str().unwrap())],
        2,
        &["DATABASE_URL_FILE", "Permission denied"],
    )
    .await;
}

#[tokio::test]
async fn a_database_server_that_refuses_or_is_not_there_is_one_line_without_the_password() {
    let nobody = "postgres://u:hunter2@127.0.0.1:1/d";
    let nowhere = "postgres://u:hunter2@no-such-host.invalid/d";
    tokio::join!(
        async {
            let words = ["DATABASE_URL=postgres://u:***@", "is the server up"];
            refused(&[("DATABASE_URL", nobody)], 1, &words).await;
        },
        async {
            let words = ["no-such-host.invalid", "are host and port right"];
            refused(&[("DATABASE_URL", nowhere)], 1, &words).await;
        },
    );
    let Some(server) = Postgres::start() else { return };
    let missing = server.url("no_such_database").replace("not-asked-for", PASSWORD);
    refused(&[("DATABASE_URL", &missing)], 1, &["no_such_database", "createdb"]).await;
    let url = server.url("postgres");
    demand_a_password(&url).await;
    let wrong = url.replace("waybill:not-asked-for", "locked:hunter2");
    refused(
        &[("DATABASE_URL", &wrong)],
        1,
        &["DATABASE_URL=postgres://locked:***@", "check user and password"],
    )
    .await;
}

/// Makes the user `locked`, who must give a password.
async fn demand_a_password(url: &str) {
    sqlx::any::install_default_drivers();
    let mut server = AnyConnection::connect(url).await.unwrap();
    let row = sqlx::query("SELECT current_setting('hba_file')").fetch_one(&mut server).await.unwrap();
    let file: String = sqlx::Row::get(&row, 0);
    let rules = "('host all locked all scram-sha-256'), ('host all all all trust')";
    for statement in [
        "CREATE ROLE locked LOGIN PASSWORD 'another'".to_owned(),
        format!("COPY (VALUES {rules}) TO '{file}'"),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        server.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let closed = url.replace("waybill:not-asked-for", "locked:wrong");
    eventually("the rule is in force", async || match AnyConnection::connect(&closed).await {
        Err(sqlx::Error::Database(_)) => Ok(()),
        Err(e) => Err(e.to_string()),
        Ok(_) => Err("let in".to_owned()),
    })
    .await;
}

/// A service by itself, ended with the test.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn a_service_starts_without_its_nats_is_ready_and_says_so_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = waybill(["service", "tracking"]);
    command
        .env("WAYBILL_LISTEN", "127.0.0.1:0")
        .env("DATABASE_URL", format!("sqlite://{}/tracking.db", folder.path().display()))
        .env("NATS_URL", "nats://u:hunter2@127.0.0.1:1")
        .env("OTEL_SDK_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&log).unwrap());
    let _alone = Alone(command.spawn().unwrap());
    let said = || std::fs::read_to_string(&log).unwrap();
    let address = eventually("it listens", async || {
        let text = said();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["message"] == "listening");
        line.and_then(|line| line["fields"]["address"].as_str().map(str::to_owned)).ok_or(text)
    });
    let url = format!("http://{}/readyz", address.await);
    eventually("ready, and NATS is said to be away", async || {
        let told: Value = http().get(&url).send().await.map_err(|e| e.to_string())?.json().await.unwrap();
        let want = json!({"status": "ready", "nats": "away: messages wait"});
        if told == want { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    eventually("it is said", async || if said().contains("NATS") { Ok(()) } else { Err(said()) }).await;
    // Long enough for some attempts: they are not told one by one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let lines = said().lines().filter(|line| line.contains("NATS")).count();
    assert!((1..=2).contains(&lines) && !said().contains(PASSWORD), "{}", said());
}

const FULL: &str = "bad_input::a_full_volume_under_the_databases_costs_no_order_that_was_taken";

#[tokio::test]
async fn a_full_volume_under_the_databases_costs_no_order_that_was_taken() {
    let Some(folder) = volume(FULL, 64) else { return };
    let fleet = on(&folder).await;
    let customer = Customer::of(&fleet).await;
    let mut taken = vec![customer.order(SUSHI).await.id];
    customer.until(&taken[0], "delivered").await;
    let before = pids(&fleet);

    // Orders are on their way when it fills up, and some come while it is full.
    for dish in [PIZZA, SUSHI, SOUP] {
        taken.push(customer.order(dish).await.id);
    }
    let ballast = fill(&folder);
    let account = json!({ "name": "late", "password": "correct horse" });
    eventually("it is full", async || {
        let reply = customer.ask(reqwest::Method::POST, "/accounts", Some(&account)).await.status();
        if reply == 503 { Ok(()) } else { Err(reply.to_string()) }
    })
    .await;
    for dish in [SUSHI, PIZZA, SOUP].repeat(3) {
        match customer.try_order(dish).await {
            Ok(id) => taken.push(id),
            Err(status) => assert_eq!(status, 503, "nothing but: not now"),
        }
    }
    std::fs::remove_file(ballast).unwrap();

    eventually("orders are taken again", async || match customer.try_order(SUSHI).await {
        Ok(id) => {
            taken.push(id);
            Ok(())
        }
        Err(status) => Err(status.to_string()),
    })
    .await;
    for id in &taken {
        at_rest(&customer, id).await;
    }
    assert_eq!(pids(&fleet), before, "nobody was restarted");
    nothing_owed(&fleet).await;
}

/// A fleet whose services keep their databases on the volume of `folder`, all but the front door, which takes orders all the
/// same; what else it writes lies elsewhere, too.
async fn on(folder: &Path) -> Fleet {
    let url = |service: &str| format!("{service}:DATABASE_URL=sqlite://{}/{service}.db", folder.display());
    let urls: Vec<_> = crate::backend::SERVICES.into_iter().filter(|s| *s != "mobile-app").map(url).collect();
    let mut arguments = vec!["--env", NOBODY_RIDES];
    arguments.extend(urls.iter().flat_map(|url| ["--env", url.as_str()]));
    Fleet::with(&arguments).await
}

fn pids(fleet: &Fleet) -> Vec<Option<i32>> {
    crate::backend::SERVICES.map(|service| fleet.pid(service)).into()
}

/// Delivered, or the money is back, or none was taken.
async fn at_rest(customer: &Customer, id: &str) {
    eventually(&format!("{id} comes to rest"), async || {
        let state = customer.state(id).await?;
        let rest = ["delivered", "refunded", "failed", "declined"].contains(&state.as_str());
        if rest { Ok(()) } else { Err(state) }
    })
    .await;
}

/// By the books: all that was paid was delivered or went back.
async fn nothing_owed(fleet: &Fleet) {
    eventually("nothing is owed", async || {
        let mut command = waybill(["lost", "--json", "--endpoints"]);
        command.arg(fleet.data().join("endpoints.json"));
        let told: Value = serde_json::from_str(&run(command).await.stdout).map_err(|e| e.to_string())?;
        let books = &told["reconciliation"]["books"];
        let open = ["under_way", "stopped", "undecided"].map(|term| books[term]["count"].clone());
        let paid = books["paid"]["count"].as_u64().unwrap_or_default();
        if open == [json!(0), json!(0), json!(0)] && paid > 1 { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
}
