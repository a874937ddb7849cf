//! The documents under `docs/` are what the types in `src/contract/` say. `UPDATE_DOCUMENTS=1` writes them anew.

use std::path::Path;

use openclaw_weixin_sidecar::contract::{self, ContractError, ErrorData, ErrorKind, METHODS, NOTIFICATIONS};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Compares `value` with the file, or writes the file where the environment asks for it.
fn check(file: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/{file} is not what src/contract/ says; run `make contract` and commit the result");
}

fn generator(definitions: &'static str) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = definitions.into();
    settings.meta_schema = None;
    SchemaGenerator::new(settings)
}

fn error_table() -> Value {
    let rows = ErrorKind::ALL.map(|kind| json!({ "code": kind.code(), "kind": kind }));
    json!(rows)
}

#[test]
fn the_json_schema_says_what_the_types_say() {
    let mut g = generator("/$defs");
    let mut methods = Map::new();
    for method in METHODS {
        let entry = json!({ "params": (method.params)(&mut g), "result": (method.result)(&mut g) });
        methods.insert(method.name.into(), entry);
    }
    let mut notifications = Map::new();
    for notification in NOTIFICATIONS {
        notifications.insert(notification.name.into(), json!({ "params": (notification.params)(&mut g) }));
    }
    g.subschema_for::<ErrorData>();
    let mut definitions = g.take_definitions(true);
    definitions.sort_keys();
    check(
        "contract.schema.json",
        &json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "openclaw-weixin channel contract",
            "x-protocolVersion": contract::PROTOCOL_VERSION,
            "x-methods": methods,
            "x-notifications": notifications,
            "x-errors": error_table(),
            "$defs": definitions,
        }),
    );
}

#[test]
fn the_openrpc_document_says_what_the_types_say() {
    let mut g = generator("/components/schemas");
    let mut methods = Vec::new();
    for method in METHODS {
        methods.push(json!({
            "name": method.name,
            "summary": method.summary,
            "paramStructure": "by-name",
            "params": [{ "name": "params", "required": true, "schema": (method.params)(&mut g) }],
            "result": { "name": "result", "schema": (method.result)(&mut g) },
        }));
    }
    // OpenRPC has no server-sent notifications: they are methods without a result, marked by an extension.
    for notification in NOTIFICATIONS {
        methods.push(json!({
            "name": notification.name,
            "summary": notification.summary,
            "x-direction": "sidecar-to-gateway",
            "paramStructure": "by-name",
            "params": [{ "name": "params", "required": true, "schema": (notification.params)(&mut g) }],
        }));
    }
    g.subschema_for::<ErrorData>();
    let mut schemas = g.take_definitions(true);
    schemas.sort_keys();
    check(
        "openrpc.json",
        &json!({
            "openrpc": "1.3.2",
            "info": {
                "title": "openclaw-weixin channel contract",
                "version": contract::PROTOCOL_VERSION.to_string(),
                "license": { "name": "MIT" },
            },
            "methods": methods,
            "components": { "schemas": schemas },
            "x-errors": error_table(),
        }),
    );
}

#[test]
fn an_error_says_its_kind_and_whether_to_try_again() {
    let error = ContractError::new(ErrorKind::Network, "no answer").retryable();
    assert_eq!(serde_json::to_value(&error.data).unwrap(), json!({ "kind": "network", "retryable": true }));
}
