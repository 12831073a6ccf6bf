use super::*;
use crate::data::Role;

fn render(template: &str, messages: &serde_json::Value) -> Result<String> {
    let template = ChatTemplate::new(template, [("bos_token", "<s>")])?;
    template.render_json(messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })
}

#[test]
fn messages_tokens_and_the_generation_prompt_are_seen() {
    let t = "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{% for p in m.content %}{% if p.type == 'image' %}#{% else %}\
             {{ p.text | trim }}{% endif %}{% endfor %}]{% endfor %}{% if add_generation_prompt %}A:{% endif %}";
    let messages =
        [Message { role: Role::User, content: vec![Part::Image(0), Part::Text(" {{ 1 + 1 }} <b> ".into())] }];
    let template = ChatTemplate::new(t, [("bos_token", "<s>")]).unwrap();
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    // What users write is neither run nor escaped.
    assert_eq!(template.render(&messages, &options).unwrap(), "<s>[user:#{{ 1 + 1 }} <b>]A:");
    assert!(!template.render(&messages, &RenderOptions::default()).unwrap().ends_with("A:"));
}

#[test]
fn tojson_is_pythons_dumps() {
    let messages = json!([{"role": "user", "content": {"b": "<é'\"\n>", "a": [1, 2.5, true, null, {}]}}]);
    let show = |filter: &str| render(&format!("{{{{ messages[0].content | tojson{filter} }}}}"), &messages).unwrap();
    assert_eq!(show(""), r#"{"b": "<é'\"\n>", "a": [1, 2.5, true, null, {}]}"#);
    assert_eq!(show("(ensure_ascii=true)"), r#"{"b": "<\u00e9'\"\n>", "a": [1, 2.5, true, null, {}]}"#);
    assert_eq!(show("(separators=(',', ':'))"), r#"{"b":"<é'\"\n>","a":[1,2.5,true,null,{}]}"#);
    assert_eq!(
        show("(sort_keys=true, indent=1)"),
        "{\n \"a\": [\n  1,\n  2.5,\n  true,\n  null,\n  {}\n ],\n \"b\": \"<é'\\\"\\n>\"\n}"
    );
}

#[test]
fn python_methods_and_generation_tags_work() {
    let m = json!([{"role": "assistant", "content": "<think>x</think> yes ", "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}]);
    assert_eq!(render("{{ messages[0].content.split('</think>')[-1].strip() }}", &m).unwrap(), "yes");
    assert_eq!(render("{{ messages[0].content.rsplit('>', 1)[0] }}", &m).unwrap(), "<think>x</think");
    assert_eq!(render("a {%- generation -%} b {%- endgeneration %} c", &m).unwrap(), "abc".replace('c', " c"));
    let call = "{% for k, v in messages[0].tool_calls[0].function.arguments.items() %}{{ k }}={{ v }}{% endfor %}";
    assert_eq!(render(call, &m).unwrap(), "a=1");
}

#[test]
fn templates_that_do_not_compile_refuse_or_run_away_are_errors() {
    let m = json!([{"role": "user", "content": "hi"}]);
    let e = render("x\n{% for m in %}", &m).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Template);
    assert!(e.to_string().contains("in line 2"), "{e}");
    let e = render("{{ raise_exception('only user and assistant take turns') }}", &m).unwrap_err();
    assert!(e.to_string().contains("take turns"), "{e}");
    let e = render("{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}", &m).unwrap_err();
    assert!(e.to_string().contains("fuel"), "{e}");
    let e = render("{% for i in range(9000) %}{{ 'xxxxxxxxxx' * 1000 }}{% endfor %}", &m).unwrap_err();
    assert!(e.to_string().contains("longer than"), "{e}");
    let e = render("x", &json!({"role": "user"})).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Data);
}
