//! The containers: what is published, what they may use, what they are told, which images they come from.

use std::{collections::BTreeMap, process::Command};

use serde_json::{Map, Value};

use crate::{text, yaml};

const SERVICES: [&str; 8] = [
    "mobile-app",
    "auth",
    "restaurant-availability",
    "payment-gateway",
    "restaurant-orders",
    "delivery-assignment",
    "tracking",
    "notification",
];

/// All containers of a profile by name, with what they extend merged in.
fn containers(profile: &str) -> BTreeMap<String, Map<String, Value>> {
    let mut all = BTreeMap::new();
    for file in ["compose.yaml", "compose.scale.yaml"] {
        for (name, service) in yaml(file)["services"].as_object().unwrap() {
            if service["profiles"] == serde_json::json!([profile]) {
                all.insert(name.clone(), extended(service.as_object().unwrap(), file));
            }
        }
    }
    assert!(all.len() > 10, "{profile}");
    all
}

fn extended(service: &Map<String, Value>, file: &str) -> Map<String, Value> {
    let (base_file, base) = match service.get("extends") {
        None => return service.clone(),
        Some(Value::String(name)) => (file, name.as_str()),
        Some(from) => (from["file"].as_str().unwrap(), from["service"].as_str().unwrap()),
    };
    let mut whole = extended(yaml(base_file)["services"][base].as_object().unwrap(), base_file);
    merge(&mut whole, service);
    whole
}

fn merge(base: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// MiB that all containers of a profile may use together.
fn memory(profile: &str) -> u64 {
    let mut sum = 0;
    for (name, service) in containers(profile) {
        let deploy = service.get("deploy").unwrap_or_else(|| panic!("{name} has no limits"));
        let limits = &deploy["resources"]["limits"];
        let limit = limits["memory"].as_str().and_then(|m| m.strip_suffix('M')?.parse::<u64>().ok());
        assert!(limits["cpus"].is_string() && limits["pids"].is_number(), "{name}: {limits}");
        sum += limit.unwrap_or_else(|| panic!("{name}: {limits}")) * deploy["replicas"].as_u64().unwrap_or(1);
    }
    sum
}

#[test]
fn the_memory_that_the_documents_promise_is_the_sum_of_the_limits() {
    for (profile, file) in [("laptop", "compose.yaml"), ("scale", "compose.scale.yaml")] {
        let sum = memory(profile).to_string();
        let told = format!("{},{} MiB", &sum[..1], &sum[1..]);
        assert!(text(file).contains(&told), "{file} should say {told}");
        assert!(text("README.md").contains(&told), "README.md should say {told} for {profile}");
    }
}

#[test]
fn only_what_a_person_opens_is_published_and_only_on_loopback() {
    for (profile, opened) in [("laptop", vec!["16686", "8080"]), ("scale", vec!["16686", "5601", "8080"])] {
        let mut published = Vec::new();
        for (name, service) in containers(profile) {
            for port in service.get("ports").and_then(Value::as_array).into_iter().flatten() {
                let port = port.as_str().unwrap();
                assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
                published.push(port.rsplit(':').next().unwrap().to_owned());
            }
        }
        published.sort();
        assert_eq!(published, opened, "{profile}");
    }
}

#[test]
fn every_container_is_without_privileges_and_ours_write_only_to_their_volumes() {
    for profile in ["laptop", "scale"] {
        for (name, service) in containers(profile) {
            assert_eq!(service["cap_drop"][0], "ALL", "{name}");
            assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
            assert!(service.contains_key("restart"), "{name}");
            if service["image"].as_str().unwrap().contains("waybill") {
                assert_eq!(service["read_only"], true, "{name}");
            }
        }
    }
}

#[test]
fn every_image_is_pinned() {
    // Their digests could not be looked up; the files say so.
    const BY_VERSION: [&str; 2] = ["jaegertracing/jaeger:2.13.0", "docker.elastic.co/kibana/kibana:8.19.19"];
    for profile in ["laptop", "scale"] {
        for (name, service) in containers(profile) {
            let image = service["image"].as_str().unwrap();
            let default = image.split_once(":-").map_or(image, |(_, rest)| rest.trim_end_matches('}'));
            let digest = default.split_once("@sha256:").is_some_and(|(_, d)| d.len() == 64);
            assert!(digest || default == "waybill:dev" || BY_VERSION.contains(&default), "{name}: {default}");
        }
    }
    assert!(text("Dockerfile").contains("ARG RUST_IMAGE=rust:1.95.0-alpine3.22@sha256:"));
}

#[test]
fn a_services_own_otel_env_is_the_last_word_on_its_telemetry() {
    for (profile, prefix) in [("laptop", ""), ("scale", "scale-")] {
        let all = containers(profile);
        for name in SERVICES {
            let service = &all[&format!("{prefix}{name}")];
            let files = service["env_file"].as_array().unwrap();
            assert_eq!(files.last().unwrap(), &format!("services/{name}/otel.env"), "{name}");
            let environment = service["environment"].as_object().unwrap();
            // What stands under `environment` would win over both files.
            assert!(!environment.keys().any(|k| k.starts_with("OTEL_")), "{name}");
        }
    }
}

#[test]
fn every_service_but_the_front_door_has_a_replica_and_shares_engines_with_it() {
    let all = containers("scale");
    for name in SERVICES {
        let service = &all[&format!("scale-{name}")];
        let expected = if name == "mobile-app" { 1 } else { 2 };
        assert_eq!(service["deploy"]["replicas"], expected, "{name}");
        assert_eq!(service["environment"]["DATABASE_URL_FILE"], "/run/secrets/database-url", "{name}");
        assert_eq!(service["environment"]["NATS_URL_FILE"], "/run/secrets/nats-url", "{name}");
        assert_eq!(service["networks"]["default"]["aliases"][0], name);
        assert!(service.get("volumes").is_none(), "{name}: two replicas must not share a file");
    }
}

#[test]
fn who_asks_from_inside_knows_every_service_jaeger_and_nats() {
    for (file, name, profile, jaeger) in [
        ("compose.yaml", "ask", "laptop", "jaeger"),
        ("compose.scale.yaml", "scale-ask", "scale", "jaeger-query"),
    ] {
        let ask = extended(yaml(file)["services"][name].as_object().unwrap(), file);
        let all = containers(profile);
        assert!(all.contains_key(jaeger), "{jaeger}");
        assert_eq!(ask["environment"]["WAYBILL_JAEGER_URL"], format!("http://{jaeger}:16686"));
        for service in SERVICES {
            let variable = format!("{}_URL", service.to_uppercase().replace('-', "_"));
            assert_eq!(ask["environment"][&variable], format!("http://{service}:8080"), "{name}");
        }
        let auth = if profile == "scale" { "scale-auth" } else { "auth" };
        let nats = |of: &Map<String, Value>| of["environment"].get("NATS_URL_FILE").cloned();
        assert_eq!(nats(&ask), nats(&all[auth]), "{name}");
        // `up` starts none of the two, and a question that takes much memory ends no service.
        assert_eq!((&ask["profiles"][0], &ask["restart"]), (&"ask".into(), &"no".into()), "{name}");
        assert!(ask["deploy"]["resources"]["limits"]["memory"].is_string(), "{name}");
    }
}

#[test]
fn every_container_that_ends_is_waited_for_since_up_would_take_its_end_for_a_failure() {
    for profile in ["laptop", "scale"] {
        let all = containers(profile);
        let awaited = |name: &str| {
            all.values().any(|s| {
                s.get("depends_on")
                    .is_some_and(|on| on[name]["condition"] == "service_completed_successfully")
            })
        };
        for (name, service) in &all {
            let ends =
                service["restart"] == "no" || service["restart"].as_str().unwrap().starts_with("on-failure");
            assert!(!ends || awaited(name), "{profile}: nobody waits for the end of {name}");
        }
    }
}

#[test]
fn the_first_order_waits_for_both_tiers_and_jaeger() {
    for (profile, door, errand) in
        [("laptop", "mobile-app", "telemetry"), ("scale", "scale-mobile-app", "scale-telemetry")]
    {
        let all = containers(profile);
        assert_eq!(all[door]["depends_on"][errand]["condition"], "service_completed_successfully");
        let asked = all[errand]["command"].to_string();
        for (name, service) in &all {
            let image = service["image"].as_str().unwrap();
            if image.contains("COLLECTOR_IMAGE") || image.contains("JAEGER_IMAGE") {
                assert!(asked.contains(&format!("http://{name}:13133/")), "{errand} does not ask {name}");
            }
        }
    }
}

#[test]
fn the_secrets_that_are_mounted_are_those_that_the_script_makes() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("make");
    std::fs::write(&script, text("deploy/secrets/make")).unwrap();
    let run = || assert!(Command::new("bash").arg(&script).output().unwrap().status.success());
    run();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let password = read("postgres-password");
    run();
    assert_eq!(read("postgres-password"), password, "a second run keeps what there is");
    for (name, secret) in yaml("compose.scale.yaml")["secrets"].as_object().unwrap() {
        let file = secret["file"].as_str().unwrap().strip_prefix("deploy/secrets/").unwrap();
        assert!(!read(file).trim().is_empty(), "{name}");
    }
    for name in SERVICES {
        let url = read(&format!("database-{name}"));
        assert_eq!(url.trim(), format!("postgres://waybill:{}@postgres:5432/{name}", password.trim()));
        assert!(
            text("deploy/postgres/databases.sql").contains(&format!("CREATE DATABASE \"{name}\"")),
            "{name}"
        );
    }
}

#[test]
fn both_collector_tiers_know_each_other_and_the_first_samples_nothing() {
    let routing = yaml("deploy/collector/routing.yaml");
    let balancer = &routing["exporters"]["loadbalancing"];
    assert_eq!(balancer["routing_key"], "traceID");
    let second = balancer["resolver"]["dns"]["hostname"].as_str().unwrap();
    let tier = containers("scale");
    let members: Vec<_> = tier
        .iter()
        .filter(|(_, s)| s.get("networks").is_some_and(|n| n["default"]["aliases"][0] == second))
        .collect();
    assert_eq!(members.len(), 2);
    for (name, member) in members {
        assert!(member["command"][0].as_str().unwrap().ends_with("/collector-sampling.yaml"), "{name}");
    }
    assert!(yaml("collector-sampling.yaml")["processors"].get("tail_sampling").is_some());
    for (name, pipeline) in routing["service"]["pipelines"].as_object().unwrap() {
        for (role, section) in
            [("receivers", "receivers"), ("processors", "processors"), ("exporters", "exporters")]
        {
            for part in pipeline[role].as_array().unwrap() {
                let part = part.as_str().unwrap();
                assert!(routing[section].get(part).is_some(), "{name}: {part} is not configured");
                assert!(!part.contains("sampling"), "{name}: {part}");
            }
        }
    }
}

#[test]
fn what_stands_in_for_the_first_tier_differs_in_two_exporters_and_their_filters_alone() {
    let real = yaml("deploy/collector/routing.yaml");
    let mut standin = yaml("tests/compose/standin/routing.yaml");
    standin["processors"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("filter/"));
    for part in ["/receivers", "/processors", "/extensions", "/exporters/prometheus", "/service/telemetry"] {
        assert!(real.pointer(part).is_some(), "{part}");
        assert_eq!(standin.pointer(part), real.pointer(part), "{part}");
    }
    let queue = real.pointer("/exporters/loadbalancing/protocol/otlp").unwrap();
    for exporter in ["otlp_grpc~11", "otlp_grpc~12"] {
        for key in ["retry_on_failure", "sending_queue", "timeout"] {
            let theirs = standin.pointer(&format!("/exporters/{exporter}/{key}")).unwrap();
            assert_eq!(theirs, &queue[key], "{exporter}: {key}");
        }
    }
}
