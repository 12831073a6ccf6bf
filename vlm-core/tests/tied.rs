//! A model whose output layer is the embedding: what files may say about it, and adapters on either of the two.

use serde_json::json;
use std::collections::BTreeMap;
use vlm_core::lora::LoraAdapter;
use vlm_core::lora::peft_config::{InitLoraWeights, ModuleNames, PeftConfig};
use vlm_core::models::llava::Llava;
use vlm_core::models::{ImageTextModel, Model, TensorMap, VisionLanguageModel, VlmBatch, auto};
use vlm_core::nn::{Builder, Initializer};
use vlm_core::{DType, Device, Tensor};

const EMBED: &str = "language_model.model.embed_tokens.weight";
const HEAD: &str = "language_model.lm_head.weight";

fn config() -> serde_json::Value {
    json!({
        "model_type": "llava", "image_token_index": 3, "tie_word_embeddings": true,
        "vision_config": {"model_type": "clip_vision_model", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "image_size": 4, "patch_size": 2},
        "text_config": {"model_type": "llama", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 12,
            "num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.7},
    })
}

fn build(source: impl vlm_core::nn::ParameterSource + 'static) -> Llava {
    let b = Builder::new(source, DType::F32, &Device::reference());
    Llava::new(&b, auto::parse(&config()).unwrap()).unwrap()
}

fn fresh() -> Llava {
    build(Initializer { seed: 5 })
}

/// The model of a file that holds this output layer besides everything else.
fn with_head(head: &Tensor) -> Llava {
    let all = fresh().modules().parameters();
    let mut tensors: BTreeMap<String, Tensor> =
        all.iter().map(|p| (p.name().to_owned(), p.tensor().unwrap().detach())).collect();
    tensors.insert(HEAD.to_owned(), head.clone());
    build(TensorMap::new(tensors))
}

fn logits(model: &Llava) -> Vec<f32> {
    let batch = VlmBatch { input_ids: vec![vec![1, 5, 9]], ..VlmBatch::default() };
    model.logits(&model.hidden_states(&batch, None).unwrap()).unwrap().to_vec().unwrap()
}

fn embeds(model: &Llava) -> Vec<f32> {
    let ids = Tensor::from_slice(&[1i64, 5], 2, model.device()).unwrap();
    model.language_model().embed(&ids).unwrap().to_vec().unwrap()
}

fn value(model: &Llava, name: &str) -> Option<Vec<f32>> {
    model.modules().parameter(name).map(|p| p.tensor().unwrap().to_vec().unwrap())
}

fn head_adapter(model: &Llava, saved: &[&str]) -> LoraAdapter {
    let mut config =
        PeftConfig::new(2, 4.0, ModuleNames::Names(vec![if saved.is_empty() { "lm_head" } else { "q_proj" }.into()]));
    config.init_lora_weights = InitLoraWeights::Random;
    config.modules_to_save = saved.iter().map(|s| (*s).to_owned()).collect();
    LoraAdapter::inject(model, "default", config, 1).unwrap()
}

#[test]
fn a_file_is_believed_for_what_it_holds() {
    let embed = fresh().modules().parameter(EMBED).unwrap().tensor().unwrap().detach();
    let same = with_head(&embed);
    assert_eq!((value(&same, HEAD), logits(&same)), (None, logits(&fresh())));
    let other = with_head(&(&embed * 2.0).unwrap());
    assert!(value(&other, HEAD).is_some());
    let twice: Vec<f32> = logits(&fresh()).iter().map(|x| x * 2.0).collect();
    logits(&other).iter().zip(twice).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
}

#[test]
fn merging_an_adapter_of_the_output_layer_leaves_the_embedding_alone() {
    let model = fresh();
    let (plain, before) = (logits(&model), embeds(&model));
    let adapter = head_adapter(&model, &[]);
    let beside = logits(&model);
    assert_ne!(beside, plain);
    adapter.merge().unwrap();
    assert_eq!(embeds(&model), before);
    logits(&model).iter().zip(&beside).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
    // Both are written, and read again as they are.
    assert!(value(&model, HEAD).is_some());
    adapter.unmerge().unwrap();
    assert_eq!((value(&model, HEAD), logits(&model)), (None, beside));
    adapter.remove().unwrap();
    assert_eq!(logits(&model), plain);
}

#[test]
fn what_is_trained_in_full_is_trained_alone() {
    let of = |saved: &[&str], name: &str, changed: [bool; 2]| {
        let model = fresh();
        let (plain, before) = (logits(&model), embeds(&model));
        let adapter = head_adapter(&model, saved);
        let (_, param) = adapter.peft_names().into_iter().find(|(n, _)| n == name).unwrap();
        param.set(&(param.tensor().unwrap().detach() * 3.0).unwrap()).unwrap();
        let head = model.language_model().head().weight().tensor().unwrap().to_vec::<f32>().unwrap();
        let was = fresh().modules().parameter(EMBED).unwrap().tensor().unwrap().to_vec::<f32>().unwrap();
        assert_eq!([embeds(&model) != before, head != was], changed, "{saved:?}");
        adapter.remove().unwrap();
        assert_eq!((value(&model, HEAD), logits(&model), embeds(&model)), (None, plain, before), "{saved:?}");
    };
    of(&["lm_head"], "base_model.model.lm_head.weight", [false, true]);
    of(&["embed_tokens"], "base_model.model.model.language_model.embed_tokens.weight", [true, false]);
    of(&["lm_head", "embed_tokens"], "base_model.model.lm_head.weight", [false, true]);
}

#[test]
fn weights_that_peft_keeps_beside_an_adapter_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let source = fresh();
    let adapter = head_adapter(&source, &[]);
    adapter.save(dir.path()).unwrap();
    let mut tensors: Vec<(String, Tensor)> =
        adapter.peft_names().into_iter().map(|(n, p)| (n, p.tensor().unwrap().detach())).collect();
    let base = source.language_model().head().weight().tensor().unwrap().detach();
    tensors.push(("base_model.model.lm_head.base_layer.weight".into(), base));
    let file = dir.path().join("adapter_model.safetensors");
    vlm_core::weights::save_tensors(&file, &tensors, &BTreeMap::new()).unwrap();
    let model = fresh();
    LoraAdapter::load(&model, "default", dir.path()).unwrap();
    assert_eq!(logits(&model), logits(&source));
}

#[test]
fn modules_that_are_not_linear_are_named() {
    for (target, kind) in [("embed_tokens", "embedding"), ("patch_embedding", "patch_embedding")] {
        let config = PeftConfig::new(2, 4.0, ModuleNames::Names(vec!["q_proj".into(), target.into()]));
        let e = LoraAdapter::inject(&fresh(), "default", config, 1).unwrap_err().to_string();
        assert!(e.contains(target) && e.contains(kind), "{e}");
    }
}
