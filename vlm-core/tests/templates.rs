//! Constructs of chat templates, rendered as jinja2 renders them with transformers' settings. `data/templates.json` is
//! written by `xtask/python/make_templates.py`.

use serde_json::Value;
use vlm_core::ErrorKind;
use vlm_core::text::ChatTemplate;
use vlm_core::text::template::RenderOptions;

#[test]
fn templates_render_as_with_jinja2() {
    let told: Value = serde_json::from_str(include_str!("data/templates.json")).unwrap();
    let tokens: Vec<(&str, &str)> =
        told["tokens"].as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
    let cases = told["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let options = RenderOptions {
            add_generation_prompt: true,
            tools: case["tools"].clone(),
            extra: case["extra"].as_object().cloned().unwrap_or_default(),
        };
        let messages = case.get("messages").unwrap_or(&told["messages"]);
        let template = case["template"].as_str().unwrap();
        let found = ChatTemplate::new(template, tokens.iter().copied()).and_then(|t| t.render_json(messages, &options));
        let expected = case["expected"].as_str();
        let expected = expected.filter(|_| case["refused"] != true);
        let as_told = match (&found, expected) {
            (Ok(found), Some(expected)) => found == expected,
            (Err(e), None) => e.kind() == ErrorKind::Template,
            _ => false,
        };
        if !as_told {
            wrong.push(format!("{}\n  found    {found:?}\n  expected {expected:?}", case["name"]));
        }
    }
    assert!(cases.len() >= 140, "{}", cases.len());
    assert!(wrong.is_empty(), "{} of {} templates:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
