//! J15 and J16: tokenizers and chat templates.

use crate::catalogue::{MIB, Row};
use crate::folder::{Folder, everything, judge, on, prepare};
use serde_json::{Value, json};
use std::path::Path;
use vlm_core::models::processor::Processor;
use vlm_core::text::Tokenizer;
use vlm_core::{ErrorKind, Result};

const FILE: &str = "tokenizer.json";

fn edited(
    family: &'static str,
    what: &str,
    change: impl FnOnce(&mut Value) + 'static,
    then: impl FnOnce(&Path) -> Result<String> + Send + 'static,
) -> Option<Row> {
    on("J15", family, what, move |f| f.edit(FILE, change), then)
}

fn bad(row: Option<Row>, parts: &[&str]) -> Option<Row> {
    row.map(|r| r.fails(ErrorKind::Tokenizer, parts))
}

fn added(id: u64, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
}

#[test]
fn tokenizers_that_contradict_themselves_are_refused() {
    let mut rows = Vec::new();
    for family in ["llava", "qwen2_5_vl", "gemma3", "clip", "siglip"] {
        rows.push(on("J15", family, "no tokenizer.json", |f| f.remove(FILE), everything).map(|r| {
            r.fails(
                ErrorKind::Io,
                &["load tokenizer", "tokenizer.json", "No such file", "AutoTokenizer", "save_pretrained"],
            )
        }));
        rows.push(bad(
            on("J15", family, "an empty tokenizer.json", |f| f.write(FILE, ""), everything),
            &["tokenizer.json", "EOF", "folder: "],
        ));
        rows.push(bad(
            on(
                "J15",
                family,
                "half a tokenizer.json",
                |f| {
                    let bytes = f.read(FILE);
                    f.write(FILE, &bytes[..bytes.len() / 2]);
                },
                everything,
            ),
            &["tokenizer.json", "folder: "],
        ));
        rows.push(bad(
            edited(
                family,
                "an added token far beyond the vocabulary",
                |t| t["added_tokens"].as_array_mut().unwrap().push(added(10_000_000, "<far>")),
                everything,
            ),
            &["the added token \"<far>\" has id 10000000, but its place among the others is", "export it again"],
        ));
        rows.push(bad(
            edited(
                family,
                "two added tokens with one id",
                |t| {
                    let all = t["added_tokens"].as_array_mut().unwrap();
                    let id = all[0]["id"].as_u64().unwrap();
                    all.push(added(id, "<twin>"));
                },
                everything,
            ),
            &["\"<twin>\"", "export it again"],
        ));
        rows.push(bad(
            edited(
                family,
                "two words with one id",
                |t| {
                    let vocabulary = &mut t["model"]["vocab"];
                    let first = vocabulary.as_object_mut().and_then(|v| v.values_mut().nth(60));
                    if let Some(id) = first {
                        *id = json!(61);
                    } else {
                        // SigLIP's tokenizer is a list, in which ids are places: there a word comes twice.
                        let again = vocabulary[60].clone();
                        vocabulary[61] = again;
                    }
                },
                everything,
            ),
            &["tokenizer.json"],
        ));
        rows.push(bad(
            edited(family, "no model", |t| t["model"] = json!(null), everything),
            &["tokenizer.json", "folder: "],
        ));
        rows.push(bad(
            edited(family, "a model of another kind", |t| t["model"]["type"] = json!("Oracle"), everything),
            &["tokenizer.json"],
        ));
        rows.push(
            on(
                "J15",
                family,
                "an end token that is not in the vocabulary",
                |f| f.set("tokenizer_config.json", "eos_token", json!("<nowhere>")),
                everything,
            )
            .map(|r| {
                r.fails(ErrorKind::Tokenizer, &["eos_token \"<nowhere>\" is not in the vocabulary", "different models"])
            }),
        );
        rows.push(
            on(
                "J15",
                family,
                "an end token that is a number",
                |f| f.set("tokenizer_config.json", "eos_token", json!(7)),
                everything,
            )
            .map(|r| r.fails(ErrorKind::Tokenizer, &["eos_token is 7", "expected: a text"])),
        );
        rows.push(
            on(
                "J15",
                family,
                "half a tokenizer_config.json",
                |f| f.write("tokenizer_config.json", "{\"eos"),
                everything,
            )
            .map(|r| r.fails(ErrorKind::Tokenizer, &["tokenizer_config.json is not JSON"])),
        );
    }
    // Merges of the byte-pair tokenizers.
    for family in ["llava", "qwen2_5_vl", "clip"] {
        rows.push(bad(
            edited(
                family,
                "a merge of words that there are not",
                |t| t["model"]["merges"].as_array_mut().unwrap().push(json!(["never", "was"])),
                everything,
            ),
            &["tokenizer.json", "never"],
        ));
        rows.push(bad(
            edited(family, "a merge of three", |t| t["model"]["merges"] = json!([["a", "b", "c"]]), everything),
            &["tokenizer.json"],
        ));
    }
    rows.push(bad(
        edited(
            "qwen2_5_vl",
            "no placeholder for pictures",
            |t| {
                t["added_tokens"].as_array_mut().unwrap().retain(|a| a["content"] != "<|image_pad|>");
            },
            everything,
        ),
        &["tokenizer.json"],
    ));
    rows.push(
        on(
            "J15",
            "qwen2_5_vl",
            "a placeholder that is no token",
            |f| f.set("config.json", "image_token_id", json!(9_999)),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Tokenizer, &["image_token_id is 9999, which the tokenizer does not know"])),
    );
    rows.push(
        on(
            "J15",
            "gemma3",
            "a placeholder below 0",
            |f| f.set("config.json", "boi_token_index", json!(-1)),
            everything,
        )
        .map(|r| r.fails(ErrorKind::Tokenizer, &["boi_token_index is -1, which the tokenizer does not know"])),
    );
    judge(rows);
}

/// Half a million merges of words that are there, each with its result.
fn many_merges(tokenizer: &mut Value) {
    let model = &mut tokenizer["model"];
    let words: Vec<String> = (0..700).map(|i| format!("w{i:03}")).collect();
    let vocabulary = model["vocab"].as_object_mut().unwrap();
    let mut next = 1 + vocabulary.values().filter_map(Value::as_u64).max().unwrap();
    let mut add = |word: String| {
        vocabulary.insert(word, json!(next));
        next += 1;
    };
    words.iter().cloned().for_each(&mut add);
    let mut merges = Vec::new();
    for a in &words {
        for b in &words {
            add(format!("{a}{b}"));
            merges.push(json!([a, b]));
        }
    }
    model["merges"] = json!(merges);
}

#[test]
fn large_and_hostile_tokenizers_take_bounded_time() {
    let bomb = |pattern: &'static str| {
        move |t: &mut Value| {
            t["pre_tokenizer"] =
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        }
    };
    let encode = |text: String| {
        move |dir: &Path| Tokenizer::load(dir)?.encode(&text, false).map(|ids| format!("{} ids", ids.len()))
    };
    judge(vec![
        edited("llava", "half a million merges", |t| {
            t["added_tokens"] = json!([]);
            many_merges(t);
        }, |dir| {
            // The words with a role are gone with the added tokens, so the folder as a whole does not load.
            Tokenizer::from_bytes(&std::fs::read(dir.join(FILE)).unwrap(), Value::Null, &Value::Null).map(|t| format!("{} words", t.vocab_size()))
        })
        .map(|r| r.works(&[" words"]).memory(600 * MIB).seconds(60)),
        edited("llava", "a rule that is no regular expression", bomb("(unclosed"), everything)
            .map(|r| r.fails(ErrorKind::Tokenizer, &["tokenizer.json"])),
        // Looking back makes it a pattern that goes back and forth: 2^n ways for n letters. After a million steps the piece
        // of text stays whole.
        edited("llava", "a rule with more ways than there is time", bomb(r"(?=(a|aa)+$)(a|a)+\1b"), encode("a".repeat(40) + "!"))
            .map(|r| r.works(&["ids"])),
        edited("llava", "the same on a thousand times the text", bomb(r"(?=(a|aa)+$)(a|a)+\1b"), encode("a".repeat(40_000) + "!"))
            .map(|r| r.works(&["ids"]).seconds(30)),
        // Each word has its own million steps: the time grows with the text, and with nothing else.
        edited("llava", "the same on fifty words", |t| {
            let split = json!({"type": "Split", "pattern": {"Regex": r"(?=(a|aa)+$)(a|a)+\1b"}, "behavior": "Isolated", "invert": false});
            t["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, split]});
        }, encode(("a".repeat(40) + "! ").repeat(50)))
        .map(|r| r.works(&["ids"]).seconds(60)),
        edited("llava", "a rule of ten thousand repetitions squared", bomb(r"(?:a{1,10000}){1,10000}"), everything)
            .map(|r| r.fails(ErrorKind::Tokenizer, &["tokenizer.json"]).memory(256 * MIB)),
        edited("llava", "a vocabulary that the embedding does not have", |t| {
            let next = t["model"]["vocab"].as_object().unwrap().values().filter_map(Value::as_u64).max().unwrap() + 1;
            // Behind the padding of the embedding.
            for i in 0..20 {
                let content = if i == 19 { "What is".to_owned() } else { format!("<{i}>") };
                let _ = next;
                let id = 410 + 1 + i;
                t["added_tokens"].as_array_mut().unwrap().push(added(id, &content));
            }
        }, everything)
        .map(|r| r.fails(ErrorKind::Index, &["416"])),
    ]);
}

/// A row about a folder whose template is this.
fn template(what: &str, text: impl AsRef<[u8]> + 'static) -> Option<Row> {
    on("J16", "llava", what, move |f| f.write("chat_template.jinja", text), prepare)
}

#[test]
fn templates_that_are_missing_broken_or_endless_are_refused() {
    let bad = |row: Option<Row>, parts: &[&str]| row.map(|r| r.fails(ErrorKind::Template, parts));
    let none = |f: &Folder| f.remove("chat_template.json");
    judge(vec![
        bad(on("J16", "llava", "no template", none, prepare), &["the model's folder has no chat template", "add chat_template.jinja"]),
        on("J16", "paligemma", "no template, where none is needed", |_| (), prepare).map(|r| r.works(&["prepared ["])),
        bad(template("an unclosed loop", "x\n{% for m in messages %}"), &["in line 2", "folder: "]),
        bad(template("an unknown tag", "{% fly %}"), &["fly", "in line 1"]),
        bad(template("no UTF-8", b"\xff\xfe{{ messages }}"), &["chat_template.jinja is not UTF-8"]),
        bad(template("a template that refuses", "{{ raise_exception('only two may speak') }}"), &["only two may speak"]),
        bad(template("loops without end", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"), &["fuel", "does not end by itself"]).map(|r| r.seconds(20)),
        bad(template("a range of a billion", "{{ range(1000000000) | list }}"), &["range"]),
        bad(template("a text that doubles", "{% set ns = namespace(t='xxxxxxxx') %}{% for i in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}"), &["fuel"]).map(|r| r.memory(160 * MIB).seconds(20)),
        bad(template("a text of a billion blanks", "{{ '%1000000000d' | format(1) }}"), &["chat template"]),
        bad(template("an output of gigabytes", "{% for i in range(90000) %}{{ 'xxxxxxxxxx' * 1000 }}{% endfor %}"), &["the text is longer than 16777216 bytes"]).map(|r| r.seconds(20)),
        bad(template("a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), &["recursion"]),
        bad(template("a million brackets", "{{ ".to_owned() + &"(".repeat(1 << 20)), &["in line 1"]),
        bad(template("a file of the machine", "{% include '/etc/passwd' %}"), &["/etc/passwd"]),
        template("17 MiB", " ".repeat(17 << 20)).map(|r| r.fails(ErrorKind::Format, &["chat_template.jinja is larger than the 16777216 bytes allowed"])),
        bad(on("J16", "llava", "half a chat_template.json", |f| f.write("chat_template.json", "{\"chat_"), prepare), &["chat_template.json is not JSON"]),
        bad(on("J16", "llava", "a template that is a number", |f| f.write("chat_template.json", "{\"chat_template\": 7}"), prepare), &["chat_template.json is not a file whose chat_template is a text"]),
        bad(on("J16", "qwen2_5_vl", "a list without a template", |f| {
            f.remove("chat_template.json");
            f.set("tokenizer_config.json", "chat_template", json!([{"name": "x"}]));
        }, prepare), &["tokenizer_config.json is not a file whose chat_template is a text"]),
        on("J16", "qwen2_5_vl", "several templates", |f| {
            f.remove("chat_template.json");
            f.edit("tokenizer_config.json", |c| {
                let text = c["chat_template"].take();
                c["chat_template"] = json!([{"name": "other", "template": "{% fly %}"}, {"name": "default", "template": text}]);
            });
        }, prepare)
        .map(|r| r.works(&["prepared ["])),
        on("J16", "llava", "a template that loses the picture", |f| f.write("chat_template.jinja", "{{ messages[0].role }}"), prepare)
            .map(|r| r.fails(ErrorKind::Data, &["the text has 0 placeholders <image>, there are 1 pictures", "row: 0"])),
        on("J16", "llava", "a template that shows it twice", |f| f.write("chat_template.jinja", "<image><image>"), prepare)
            .map(|r| r.fails(ErrorKind::Data, &["the text has 2 placeholders <image>, there are 1 pictures", "give one picture for each"])),
        on("J16", "llava", "a processor without a template, for a text of one's own", none, |dir| {
            Processor::load(dir).map(|p| format!("{} words", p.tokenizer().vocab_size()))
        })
        .map(|r| r.works(&["words"])),
    ]);
}
