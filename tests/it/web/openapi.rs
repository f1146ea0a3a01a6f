//! The OpenAPI document: sound, fresh, complete, and what is answered fits it.

use std::collections::BTreeSet;
use std::path::Path;

use lastmile::model::Id;
use serde_json::{Value, json};

use super::bed::{Ask, Bed, Filled};

fn document() -> Value {
    serde_json::from_str(&lastmile::web::openapi()).unwrap()
}

/// `GET /path` of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(at)) = map.get("$ref") {
                found.insert(at.clone());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

/// A validator for one of the document's schemas; its references lead into the document.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    jsonschema::draft202012::options().build(&whole).unwrap()
}

#[test]
fn the_document_is_sound() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for at in found {
        assert!(document.pointer(at.strip_prefix('#').unwrap()).is_some(), "{at}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        validator(&document, schema);
        assert!(schema.get("description").is_some() || schema.get("allOf").is_some(), "{name} is not described");
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{method} {path} is not described");
        for class in ["4XX", "5XX"] {
            let kind = &operation["responses"][class]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(kind, "#/components/schemas/Problem", "{method} {path}");
        }
        for name in path.split('{').skip(1).map(|p| p.split('}').next().unwrap()) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|p| p["in"] == "path" && p["name"] == name && p["required"] == true), "{path}");
        }
    }
}

/// What the router has under /api/ is what the document has: the table of routes takes its paths from the documentation.
#[test]
fn every_route_of_the_api_is_documented() {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/api/mod.rs")).unwrap();
    let routed: BTreeSet<&str> = source
        .lines()
        .filter_map(|l| l.trim().strip_prefix(".route(&"))
        .map(|l| l.split("::__path_").nth(1).unwrap().split("::").next().unwrap())
        .collect();
    let plain: Vec<&str> = source.lines().filter(|l| l.trim().starts_with(".route(\"")).collect();
    assert_eq!(plain.len(), 1, "only the document itself has a path of its own: {plain:?}");
    let document = document();
    let documented = operations(&document);
    let documented: BTreeSet<&str> = documented.iter().map(|(_, _, o)| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(routed, documented);
    let others = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/mod.rs")).unwrap();
    assert!(!others.contains(".route(\"/api/"), "the API's routes stand in api/mod.rs");
}

/// A call of each operation that succeeds.
fn calls(filled: &Filled, refused: Id, replayable: &str, found: &[Id]) -> Vec<(&'static str, String, Value)> {
    let (sales, lims) = (&filled.sales, &filled.lims);
    vec![
        ("overview", "/overview".to_owned(), Value::Null),
        ("assignments", "/assignments?limit=2&parked=false".to_owned(), Value::Null),
        ("assignment", format!("/assignments/{}", sales.open.assignment), Value::Null),
        ("assignment", format!("/assignments/{}", sales.unclear.assignment), Value::Null),
        ("operations", "/operations".to_owned(), Value::Null),
        ("errands", "/errands?which=parked&limit=1".to_owned(), Value::Null),
        ("errands", "/errands?which=unclear".to_owned(), Value::Null),
        ("quarantine", "/quarantine".to_owned(), Value::Null),
        ("kpi", "/kpi?days=90".to_owned(), Value::Null),
        ("kpi_assignments", "/kpi/assignments?which=overdue".to_owned(), Value::Null),
        ("reconcile", "/reconcile".to_owned(), Value::Null),
        ("repair", format!("/findings/{}/repair", found[1]), json!({})),
        ("dismiss", format!("/findings/{}/dismiss", found[0]), json!({})),
        ("begin_reconcile", "/reconcile".to_owned(), json!({})),
        ("evidence", "/evidence?days=90".to_owned(), Value::Null),
        ("evidence", format!("/evidence?q={}", sales.open.assignment), Value::Null),
        ("exports", "/exports".to_owned(), Value::Null),
        ("reports", "/reports".to_owned(), Value::Null),
        ("retry", format!("/errands/{}/retry", sales.parked.errand), json!({})),
        ("ticket", format!("/errands/{}/ticket", sales.unclear.errand), json!({"id": "7", "number": "IAM-7"})),
        ("no_ticket", format!("/errands/{}/no-ticket", lims.unclear.errand), json!({})),
        ("drop_errand", format!("/errands/{refused}/drop"), json!({})),
        ("decide", format!("/assignments/{}/decide", lims.open.assignment), json!({"outcome": "rejected", "reason": "no"})),
        ("unpark", format!("/assignments/{}/unpark", lims.parked.assignment), json!({})),
        ("replay", format!("/quarantine/{}/replay", replayable), json!({})),
        ("discard", format!("/quarantine/{}/discard", filled.quarantined), json!({})),
    ]
}

#[tokio::test]
async fn what_is_answered_fits_the_document_and_what_is_documented_is_answered() {
    let bed = Bed::new("", true).await;
    let (filled, held) = (bed.filled().await, bed.held().await);
    let refused = bed.refused_report(filled.sales.open.assignment).await;
    let found = bed.found(&["1", "11"]).await;
    bed.mend().await;
    let document = document();
    let served = bed.call(Ask::get("/api/v1/openapi.json")).await;
    assert_eq!(served.json(), document);
    let mut missing: BTreeSet<String> =
        operations(&document).iter().map(|(_, _, o)| o["operationId"].as_str().unwrap().to_owned()).collect();
    for (id, path, body) in calls(&filled, refused, &held, &found) {
        let (method, _, operation) = operations(&document).into_iter().find(|(_, _, o)| o["operationId"] == id).unwrap();
        let path = format!("/api/v1{path}");
        if !body.is_null() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert!(validator(&document, schema).is_valid(&body), "{id}: {body}");
        }
        let ask = if method == "GET" { Ask::get(&path) } else { Ask::json(&path, &body) };
        let answer = bed.call(ask).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let validator = validator(&document, schema);
        let body = answer.json();
        let wrong: Vec<String> = validator.iter_errors(&body).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(wrong.is_empty(), "{id}: {wrong:#?}");
        missing.remove(id);
    }
    assert!(missing.is_empty(), "documented, but not tried here: {missing:?}");
    let problem = bed.call(Ask::get("/api/v1/assignments?limit=0")).await.json();
    assert!(validator(&document, &json!({"$ref": "#/components/schemas/Problem"})).is_valid(&problem));
}

/// Strange values for every documented parameter and body: an answer that the document allows, never a 5xx.
#[tokio::test]
async fn nothing_that_is_sent_makes_the_server_fail() {
    let bed = Bed::new("", true).await;
    bed.filled().await;
    let strange =
        ["", "0", "-1", "99999999999999999999", "%00", "%FF", "null", "true", "zzzzzzzzzzzzz", "%27%20OR%201=1", "☃%E2%98%83"];
    for (method, path, operation) in operations(&document()) {
        for value in strange.iter().filter(|v| v.is_ascii()) {
            let at = path.split('/').map(|p| if p.starts_with('{') { *value } else { p }).collect::<Vec<_>>().join("/");
            let mut asked = vec![at.clone()];
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query") {
                asked.push(format!("{at}?{}={value}", parameter["name"].as_str().unwrap()));
            }
            for path in asked {
                let bodies = [json!({}), json!([]), json!({"id": value, "reason": value, "outcome": value}), json!(value)];
                let asks =
                    if method == "GET" { vec![Ask::get(&path)] } else { bodies.iter().map(|b| Ask::json(&path, b)).collect() };
                for ask in asks {
                    let answer = bed.call(ask).await;
                    assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.body);
                    if answer.status != 200 {
                        answer.code();
                    }
                }
            }
        }
    }
}
