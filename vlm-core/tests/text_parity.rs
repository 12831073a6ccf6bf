//! Tokenizers and chat templates of every family against transformers: prompts and ids must be equal.

mod common;

use common::{parity_folder, rows, tensors};
use serde_json::Value;
use vlm_core::Device;
use vlm_core::text::template::RenderOptions;
use vlm_core::text::{ChatTemplate, TextStream, Tokenizer};

const FAMILIES: [&str; 11] = [
    "llava",
    "llava_next",
    "llava_onevision",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "smolvlm",
    "idefics3",
    "internvl",
    "paligemma",
    "gemma3",
];

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn prompts_are_those_of_transformers() {
    let mut compared = 0;
    for family in FAMILIES {
        let Some(folder) = parity_folder(family) else { return };
        for model in ["model", "model_v5"] {
            let tokenizer = Tokenizer::load(&folder.join(model)).unwrap();
            let template = ChatTemplate::load(&folder.join(model), tokenizer.special_tokens().iter()).unwrap();
            let Some(template) = template else {
                assert_eq!(family, "paligemma");
                continue;
            };
            let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
            for (name, case) in json(&folder.join("expected.json"))["cases"].as_object().unwrap() {
                let rows = case["messages"].as_array().unwrap().iter().zip(case["rendered_prompt"].as_array().unwrap());
                for (messages, expected) in rows {
                    let found = template.render_json(messages, &options).unwrap();
                    assert_eq!(found, expected.as_str().unwrap(), "{family} {model} {name}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 100, "{compared}");
}

#[test]
fn ids_are_those_of_transformers_and_decode_to_the_same_text() {
    let device = Device::reference();
    let mut compared = 0;
    for family in FAMILIES {
        let Some(folder) = parity_folder(family) else { return };
        let tokenizer = Tokenizer::load(&folder.join("model")).unwrap();
        let (expected, tensors) =
            (json(&folder.join("expected.json")), tensors(&folder.join("expected.safetensors"), &device));
        for (name, case) in expected["cases"].as_object().unwrap() {
            // PaliGemma's suffix and row layout belong to its processor.
            if family == "paligemma" {
                continue;
            }
            let ids = rows(&tensors[&format!("case/{name}/input_ids")]);
            let mask = rows(&tensors[&format!("case/{name}/attention_mask")]);
            let prompts = case["expanded_prompt"].as_array().unwrap();
            for ((ids, mask), prompt) in ids.iter().zip(&mask).zip(prompts) {
                let expected: Vec<u32> =
                    ids.iter().zip(mask).filter(|(_, m)| **m != 0).map(|(id, _)| *id as u32).collect();
                let special = case["add_special_tokens"].as_bool().unwrap();
                let found = tokenizer.encode(prompt.as_str().unwrap(), special).unwrap();
                assert_eq!(found, expected, "{family} {name}");
                compared += 1;
            }
            let said = rows(&tensors[&format!("case/{name}/greedy_ids")]);
            for (ids, text) in said.iter().zip(case["greedy_text"].as_array().unwrap()) {
                let ids: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
                assert_eq!(tokenizer.decode(&ids, false).unwrap(), text.as_str().unwrap(), "{family} {name}");
                let mut stream = TextStream::new(&tokenizer, false);
                let mut streamed: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
                streamed += &stream.finish().unwrap();
                // Byte by byte, text that is no UTF-8 can be shown otherwise than in hindsight.
                let sound = text.as_str().unwrap().split('\u{fffd}').next().unwrap();
                assert!(streamed.starts_with(sound), "{family} {name}: {streamed:?}");
                if !text.as_str().unwrap().contains('\u{fffd}') {
                    assert_eq!(streamed, text.as_str().unwrap(), "streamed, {family} {name}");
                }
            }
        }
    }
    assert!(compared >= 50, "{compared}");
}

#[test]
fn a_broken_tokenizer_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let e = Tokenizer::load(dir.path()).unwrap_err().to_string();
    assert!(e.contains("tokenizer.json"), "{e}");
    for (bytes, says) in [("{", "tokenizer.json"), (r#"{"model": {"type": "Nonsense"}}"#, "tokenizer.json")] {
        std::fs::write(dir.path().join("tokenizer.json"), bytes).unwrap();
        let e = Tokenizer::load(dir.path()).unwrap_err();
        assert_eq!(e.kind(), vlm_core::ErrorKind::Tokenizer, "{e}");
        assert!(e.to_string().contains(says), "{e}");
    }
}
