//! `waybill doctor` over real fleets: what ails their telemetry is named with the service, an example and the remedy; a
//! sound one is called sound.

use serde_json::{Value, json};

use crate::{
    customer::{Customer, SUSHI},
    harness::{Fleet, eventually, run, waybill},
};

async fn doctor(fleet: &Fleet) -> (Option<i32>, Value) {
    let mut command = waybill(["doctor", "--json", "--endpoints"]);
    command.arg(fleet.data().join("endpoints.json"));
    let ended = run(command).await;
    let told =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}{}", ended.stdout, ended.stderr));
    (ended.status.code(), told)
}

/// Of a fleet whose telemetry is sound.
pub(crate) async fn finds_nothing(fleet: &Fleet) {
    let (status, told) = doctor(fleet).await;
    assert_eq!((status, &told["findings"]), (Some(0), &json!([])));
    assert_eq!(told["services"].as_object().unwrap().len(), 8);
    let settings = told["services"]["auth"]["settings"].as_array().unwrap();
    let delay = settings.iter().find(|s| s["name"] == "OTEL_BSP_SCHEDULE_DELAY").unwrap();
    assert_eq!((&delay["value"], &delay["source"]), (&json!("500"), &json!("environment")));
}

#[tokio::test]
async fn dropped_context_silence_and_odd_settings_are_named_with_the_remedy() {
    let ailing = [
        "tracking:OTEL_TRACES_EXPORTER=none",
        "payment-gateway:OTEL_PROPAGATORS=none",
        "auth:OTEL_TRACE_SAMPLER=always_on",
        "notification:OTEL_EXPORTER_OTLP_HEADERS=x-api-key=s3cret",
    ];
    let mut arguments = Vec::new();
    ailing.iter().for_each(|setting| arguments.extend(["--env", *setting]));
    let fleet = Fleet::with(&arguments).await;
    let customer = Customer::of(&fleet).await;
    for _ in 0..2 {
        let order = customer.order(SUSHI).await;
        customer.until(&order.id, "delivered").await;
    }
    let found = |told: &Value, kind: &str, service: &str| {
        let all = told["findings"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|f| f["kind"] == kind && f["service"] == service)
    };
    let (status, told) = eventually("all that ails it is found", || async {
        let (status, told) = doctor(&fleet).await;
        let wanted = [
            ("silent", "tracking"),
            ("odd_setting", "tracking"),
            ("context_dropped", "payment-gateway"),
            ("odd_setting", "payment-gateway"),
            ("odd_setting", "auth"),
        ];
        match wanted.iter().find(|(kind, service)| found(&told, kind, service).is_none()) {
            None => Ok((status, told)),
            Some(missing) => Err(format!("{missing:?} not in {told}")),
        }
    })
    .await;
    assert_eq!(status, Some(1));
    assert!(!told.to_string().contains("s3cret"), "no secret is shown");
    let dropped = found(&told, "context_dropped", "payment-gateway").unwrap();
    assert!(dropped["link"].as_str().unwrap().contains("/trace/"), "{dropped}");
    assert!(dropped["remedy"].as_str().unwrap().contains("OTEL_PROPAGATORS"), "{dropped}");
    let odd = found(&told, "odd_setting", "auth").unwrap();
    assert!(odd["says"].as_str().unwrap().contains("misspelt"), "{odd}");
}

#[tokio::test]
async fn a_store_that_is_away_is_no_finding() {
    let ended = run(waybill(["doctor", "--jaeger", "http://127.0.0.1:1"])).await;
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
}
