//! Third parties that misbehave as ordered, are killed, or cannot start.

use super::*;
#[tokio::test]
async fn a_withheld_reply_leaves_a_charge_that_the_same_key_finds() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let withheld =
        world.charge("A", "tok_visa").header("x-misbehave", "withhold").timeout(Duration::from_millis(300));
    assert!(withheld.send().await.unwrap_err().is_timeout());
    eventually("the charge is there", || async {
        world.get("/card-network/charges").await["charges"].get(0).cloned()
    })
    .await;
    let found = world.get("/card-network/charges?idempotency_key=A").await;
    assert_eq!(read(world.charge("A", "tok_visa").send().await).await.1["charge_id"], found["charge_id"]);
    world.stop().await;
}

#[tokio::test]
async fn a_hang_is_logged_at_once_and_does_nothing() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let hung = tokio::spawn(world.charge("A", "tok_visa").header("x-misbehave", "hang").send());
    let entry = eventually("the log shows the request", || async {
        let log = world.get(&format!("/card-network/logs?trace_id={TRACE}")).await;
        log["entries"].get(0).cloned()
    })
    .await;
    assert_eq!((&entry["outcome"], &entry["status"]), (&json!("hang"), &Value::Null));
    assert_eq!(world.get("/card-network/charges").await["charges"], json!([]));
    // Stopping ends even those who would never be answered.
    world.stop().await;
    assert_eq!(hung.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn work_begun_is_finished_when_the_caller_hangs_up_during_the_latency() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let slow =
        world.charge("A", "tok_visa").header("x-misbehave", "latency=3s").timeout(Duration::from_secs(1));
    assert!(slow.send().await.unwrap_err().is_timeout());
    eventually("the charge is there", || async {
        let charges = world.get("/card-network/charges").await;
        charges["charges"].get(0).cloned()
    })
    .await;
    let log = world.get("/card-network/logs").await;
    assert_eq!(log["entries"].as_array().unwrap().len(), 1);
    assert_eq!(log["entries"][0]["outcome"], "charged, latency=3s");
    world.stop().await;
}

#[tokio::test]
async fn errors_and_wrong_answers_come_as_ordered() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let error = world.charge("A", "tok_visa").header("x-misbehave", "error=503").send().await.unwrap();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    let wrong = world.charge("A", "tok_visa").header("x-misbehave", "wrong").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::OK);
    assert!(serde_json::from_str::<Value>(&wrong.text().await.unwrap()).is_err());
    assert_eq!(world.get("/card-network/charges").await["charges"].as_array().unwrap().len(), 1);
    let (status, body) = read(world.charge("A", "tok_visa").header("x-misbehave", "sulk").send().await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["message"].as_str().unwrap().contains("withhold"));
    world.stop().await;
}

#[tokio::test]
async fn a_schedule_misbehaves_where_it_matches_and_alike_for_the_same_seed() {
    let schedule =
        "rules:\n- {partner: courier-fleet, match: {zone: old-harbour}, probability: 0.5, do: refuse}";
    let mut runs = Vec::new();
    for _ in 0..2 {
        let data = tempfile::tempdir().unwrap();
        let world = start(data.path(), schedule, 42).await;
        let mut refused = Vec::new();
        for n in 0..20 {
            for zone in ["old-harbour", "riverside"] {
                let order = format!("{zone}-{n}");
                let body = json!({"order_id": order, "zone": zone});
                let (status, _) =
                    read(world.post("/courier-fleet/assignments", &order, &body).send().await).await;
                if status == StatusCode::CONFLICT {
                    refused.push(order);
                }
            }
        }
        runs.push(refused);
        world.stop().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].iter().all(|order| order.starts_with("old-harbour")));
    assert!((3..18).contains(&runs[0].len()));
}

#[tokio::test]
async fn each_attempt_of_one_refund_is_drawn_anew() {
    let data = tempfile::tempdir().unwrap();
    let schedule = "rules: [{partner: card-network, probability: 0.5, do: error=503}]";
    let world = start(data.path(), schedule, 7).await;
    let charge = eventually("a charge", async || {
        let (status, charge) = read(world.charge("A", "tok_visa").send().await).await;
        status.is_success().then_some(charge)
    });
    let path = format!("/card-network/charges/{}/refunds", charge.await["charge_id"].as_str().unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let body = json!({"amount_minor": 20000, "reason": "courier_timeout"});
        seen.insert(world.post(&path, "refund-A", &body).send().await.unwrap().status().is_success());
    }
    assert_eq!(seen.len(), 2, "some attempts fail and some do not");
    world.stop().await;
}

#[tokio::test]
async fn a_world_that_was_killed_remembers_charges_keys_and_logs() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let (_, before) = read(world.charge("A", "tok_visa").send().await).await;
    // No shutdown and no checkpoint: what a kill leaves is the file and its write-ahead log.
    world.server.abort();
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(data.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let world = start(copy.path(), "", 0).await;
    assert_eq!(read(world.charge("A", "tok_visa").send().await).await.1["charge_id"], before["charge_id"]);
    assert_eq!(world.get("/logs?order_id=A").await["entries"].as_array().unwrap().len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn logs_keep_their_limit_and_the_newest() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    for n in 0..2100 {
        let reply =
            world.charge(&n.to_string(), "tok_visa").header("x-misbehave", "error=503").send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let entries = world.get("/logs?limit=10000").await["entries"].clone();
    let entries = entries.as_array().unwrap();
    assert!((1024..1024 + 512).contains(&entries.len()), "{}", entries.len());
    assert_eq!(entries.last().unwrap()["order_id"], "2099");
    world.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_an_unusable_folder_are_named() {
    let data = tempfile::tempdir().unwrap();
    let world = start(data.path(), "", 0).await;
    let listen = world.url.trim_start_matches("http://").parse().unwrap();
    let taken = Options { listen, data: data.path().to_owned(), ..Options::default() };
    assert!(Partners::bind(taken).await.err().unwrap().to_string().contains("WAYBILL_LISTEN"));
    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let unusable = Options { listen, data: file, ..Options::default() };
    assert!(Partners::bind(unusable).await.err().unwrap().to_string().contains("WAYBILL_DATA"));
    world.stop().await;
}
