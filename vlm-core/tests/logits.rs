//! What is made of logits before a token is chosen, against transformers' processors (`xtask/python/make_logits.py`).

use serde_json::{Map, Value};
use vlm_core::generate::{GenerationConfig, processors};

#[test]
fn every_setting_changes_logits_as_transformers_does() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/logits.json")).unwrap();
    assert!(cases.len() >= 50, "{}", cases.len());
    let mut changed = 0;
    for case in &cases {
        let mut settings: Map<String, Value> = case["settings"].as_object().unwrap().clone();
        // transformers' defaults, where ours of a field differ.
        settings.entry("top_k").or_insert(50.into());
        let config = GenerationConfig::from_json(settings).unwrap();
        let numbers = |key: &str| case[key].as_array().unwrap().iter().map(Value::as_f64).collect::<Vec<_>>();
        let seen: Vec<i64> = case["seen"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
        let mut logits: Vec<f32> = numbers("logits").into_iter().map(|v| v.unwrap() as f32).collect();
        let before = logits.clone();
        let new = case["new"].as_u64().unwrap() as usize;
        processors(&config).iter().for_each(|p| p.process(&mut logits, &seen, new));
        for (i, (found, want)) in logits.iter().zip(numbers("out")).enumerate() {
            match want {
                None => assert_eq!(*found, f32::NEG_INFINITY, "token {i} of {case}"),
                Some(want) => assert!((f64::from(*found) - want).abs() < 1e-5, "token {i}: {found} in {case}"),
            }
        }
        changed += usize::from(before != logits);
    }
    assert!(changed >= 40, "{changed}");
}
