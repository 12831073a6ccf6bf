//! LLaVA against what transformers computed with the same weights.

#![allow(clippy::print_stdout)] // A test that cannot run says so.

mod common;

use common::{assert_close, parity_folder, rows, tensors};
use std::collections::BTreeMap;
use std::path::Path;
use vlm_core::lora::LoraAdapter;
use vlm_core::models::llava::{Llava, LlavaConfig};
use vlm_core::models::{ImageTextModel, Images, Model, TensorMap, VisionLanguageModel, VlmBatch, auto};
use vlm_core::nn::Builder;
use vlm_core::train::optim::{AdamW, AdamWOptions, Optimizer, collect, global_norm};
use vlm_core::{DType, Device, Tensor};

fn load(folder: &Path, device: &Device) -> Llava {
    let config = std::fs::read(folder.join("model/config.json")).unwrap();
    let config: LlavaConfig = auto::parse(&serde_json::from_slice(&config).unwrap()).unwrap();
    let weights = TensorMap::new(tensors(&folder.join("model/model.safetensors"), device));
    Llava::new(&Builder::new(weights, DType::F32, device), config).unwrap()
}

fn batch(expected: &BTreeMap<String, Tensor>, prefix: &str) -> VlmBatch {
    let get = |name: &str| expected.get(&format!("{prefix}/{name}"));
    VlmBatch {
        input_ids: rows(get("input_ids").unwrap()),
        attention_mask: get("attention_mask")
            .map(|m| rows(m).iter().map(|r| r.iter().map(|&v| v != 0).collect()).collect()),
        images: get("pixel_values").cloned().map(Images::new),
        labels: get("labels").map(rows),
        ..VlmBatch::default()
    }
}

#[test]
fn hidden_states_and_logits_are_those_of_transformers() {
    let Some(folder) = parity_folder("llava") else { return };
    let device = Device::reference();
    let (model, expected) = (load(&folder, &device), tensors(&folder.join("expected.safetensors"), &device));
    for case in ["one_image", "two_images", "multi_turn", "text_only", "batch_left_pad"] {
        if !expected.contains_key(&format!("case/{case}/input_ids")) {
            println!("SKIPPED: the reference data has no case {case}");
            continue;
        }
        let batch = batch(&expected, &format!("case/{case}"));
        let want = |name: &str| expected.get(&format!("case/{case}/{name}"));
        if let (Some(want), Some(pixels)) = (want("vision_features"), &batch.images) {
            let got = model.vision_features(&pixels.pixel_values).unwrap();
            assert_close(case, &got.reshape(*want.shape()).unwrap(), want, 1e-4, 1e-6);
        }
        if let (Some(want), Some(pixels)) = (want("projector_output"), &batch.images) {
            let got = model.image_features(pixels).unwrap();
            assert_close(case, &got.reshape(*want.shape()).unwrap(), want, 1e-4, 1e-6);
        }
        if let Some(want) = want("inputs_embeds") {
            assert_close(case, &model.place(&batch, 0).unwrap().0, want, 1e-4, 1e-6);
        }
        let hidden = model.hidden_states(&batch, None).unwrap();
        let s = hidden.shape()[1];
        let logits = model.logits(&hidden.narrow(1, s - 12, 12).unwrap()).unwrap();
        // Rows shorter than twelve tokens have padding in the tail, which no one looks at.
        let want = match want("logits_tail") {
            Some(tail) => tail.clone(),
            None => want("logits").unwrap().narrow(1, s - 12, 12).unwrap(),
        };
        for (row, mask) in batch.attention_mask.as_ref().unwrap().iter().enumerate() {
            let real = mask[s - 12..].iter().filter(|m| **m).count();
            let tail = |t: &Tensor| t.narrow(0, row, 1).unwrap().narrow(1, 12 - real, real).unwrap();
            assert_close(&format!("{case} row {row}"), &tail(&logits), &tail(&want), 1e-4, 1e-6);
        }
    }
}

#[test]
fn greedy_tokens_with_a_cache_are_those_of_transformers() {
    let Some(folder) = parity_folder("llava") else { return };
    let device = Device::reference();
    let (model, expected) = (load(&folder, &device), tensors(&folder.join("expected.safetensors"), &device));
    for case in ["one_image", "batch_left_pad"] {
        let mut batch = batch(&expected, &format!("case/{case}"));
        let want = rows(&expected[&format!("case/{case}/greedy_ids")]);
        let mut got = vec![Vec::new(); want.len()];
        let mut cache = model.new_cache(batch.input_ids[0].len() + 12).unwrap();
        for _ in 0..12 {
            let hidden = model.hidden_states(&batch, Some(&mut cache)).unwrap();
            let last = hidden.select(1, hidden.shape()[1] - 1).unwrap();
            let next = model.logits(&last).unwrap().argmax(-1, false).unwrap().to_vec::<i64>().unwrap();
            for (row, &id) in next.iter().enumerate() {
                got[row].push(id);
            }
            batch.input_ids = next.iter().map(|&id| vec![id]).collect();
            batch.images = None;
            batch.attention_mask.as_mut().unwrap().iter_mut().for_each(|m| m.push(true));
        }
        assert_eq!(got, want, "{case}");
    }
}

#[test]
fn losses_gradients_and_three_steps_are_those_of_transformers() {
    let Some(folder) = parity_folder("llava") else { return };
    let device = Device::reference();
    let (model, expected) = (load(&folder, &device), tensors(&folder.join("expected.safetensors"), &device));
    let told: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let (told, batch) = (&told["train"], batch(&expected, "train"));
    let adamw = &told["adamw"];
    let number = |key: &str| adamw[key].as_f64().unwrap();
    let betas = (adamw["betas"][0].as_f64().unwrap(), adamw["betas"][1].as_f64().unwrap());
    let options =
        AdamWOptions { betas, eps: number("eps"), weight_decay: number("weight_decay"), decay_matrices_only: false };
    let mut optimizer = AdamW::new(options);
    model.modules().set_trainable(|_| true).unwrap();
    let params = model.modules().trainable();
    let biggest = expected
        .iter()
        .filter(|(name, _)| name.starts_with("grad/"))
        .flat_map(|(_, t)| t.to_vec::<f32>().unwrap())
        .fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
    let unused: Vec<&str> = told["no_gradient"].as_array().unwrap().iter().filter_map(|n| n.as_str()).collect();
    for step in 0..3 {
        let loss = model.loss(&batch).unwrap().mean().unwrap();
        let want = expected["train/losses"].to_vec::<f32>().unwrap()[step];
        assert!((loss.item::<f32>().unwrap() - want).abs() <= 1e-4 * want, "step {step}: {loss} {want}");
        let mut grads = loss.backward().unwrap();
        let grads = collect(&params, &mut grads, true).unwrap();
        let norm = global_norm(grads.iter().flatten(), 1.0).unwrap();
        let want = f64::from(expected["train/grad_norms"].to_vec::<f32>().unwrap()[step]);
        assert!((norm.norm - want).abs() <= 1e-4 * want, "step {step}: norm {} {want}", norm.norm);
        if step == 0 {
            for (param, grad) in params.iter().zip(&grads) {
                match (expected.get(&format!("grad/{}", param.name())), grad) {
                    (Some(want), Some(got)) => assert_close(param.name(), got, want, 1e-3, 1e-6 * biggest),
                    (_, None) if unused.contains(&param.name()) => {}
                    (want, got) => panic!("{}: expected {want:?}, found {got:?}", param.name()),
                }
            }
        }
        let factor = norm.clip_factor(told["clip_grad_norm"].as_f64());
        optimizer.step(&params, &grads, number("lr"), factor).unwrap();
    }
    for param in &params {
        if let Some(want) = expected.get(&format!("after3/{}", param.name())) {
            assert_close(param.name(), &param.tensor().unwrap(), want, 0.0, 1e-4);
        }
    }
}

#[test]
fn adapters_give_the_logits_losses_and_gradients_of_peft() {
    let Some(folder) = parity_folder("llava") else { return };
    let device = Device::reference();
    let expected = tensors(&folder.join("expected.safetensors"), &device);
    let told: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let batch = batch(&expected, "train");
    for (variant, about) in told["lora"].as_object().unwrap() {
        let model = load(&folder, &device);
        let get = |name: &str| &expected[&format!("lora/{variant}/{name}")];
        let adapter = LoraAdapter::load(&model, "default", &folder.join(about["folder"].as_str().unwrap())).unwrap();
        let tail = || {
            let logits = model.logits(&model.hidden_states(&batch, None).unwrap()).unwrap();
            let rows = batch.attention_mask.as_ref().unwrap().iter().enumerate().map(|(i, mask)| {
                let real = mask.iter().filter(|m| **m).count();
                logits.select(0, i).unwrap().narrow(0, real - 12, 12).unwrap()
            });
            Tensor::stack(&rows.collect::<Vec<_>>(), 0).unwrap()
        };
        assert_close(variant, &tail(), get("logits_tail"), 1e-4, 1e-6);
        let before = model.modules().linears()[0].weight().tensor().unwrap().to_vec::<f32>().unwrap();
        adapter.merge().unwrap();
        assert_close(&format!("{variant} merged"), &tail(), get("merged_logits_tail"), 1e-4, 1e-6);
        adapter.unmerge().unwrap();
        assert_eq!(model.modules().linears()[0].weight().tensor().unwrap().to_vec::<f32>().unwrap(), before);

        adapter.set_trainable(true).unwrap();
        let adamw = &told["train"]["adamw"];
        let number = |key: &str| adamw[key].as_f64().unwrap();
        let betas = (adamw["betas"][0].as_f64().unwrap(), adamw["betas"][1].as_f64().unwrap());
        let (eps, weight_decay) = (number("eps"), number("weight_decay"));
        let mut optimizer = AdamW::new(AdamWOptions { betas, eps, weight_decay, decay_matrices_only: false });
        let (names, params): (Vec<String>, Vec<_>) = adapter.peft_names().into_iter().unzip();
        for step in 0..3 {
            let loss = model.loss(&batch).unwrap().mean().unwrap();
            let want = get("losses").to_vec::<f32>().unwrap()[step];
            assert!((loss.item::<f32>().unwrap() - want).abs() <= 1e-4 * want, "{variant} step {step}: {loss} {want}");
            let mut grads = loss.backward().unwrap();
            let grads = collect(&params, &mut grads, true).unwrap();
            let norm = global_norm(grads.iter().flatten(), 1.0).unwrap();
            for (name, grad) in names.iter().zip(&grads).filter(|_| step == 0) {
                if let (Some(want), Some(got)) = (expected.get(&format!("lora/{variant}/grad/{name}")), grad) {
                    assert_close(&format!("{variant} {name}"), got, want, 1e-3, 1e-6 * norm.norm);
                }
            }
            let factor = norm.clip_factor(told["train"]["clip_grad_norm"].as_f64());
            optimizer.step(&params, &grads, number("lr"), factor).unwrap();
        }
        for (name, param) in names.iter().zip(&params) {
            if let Some(want) = expected.get(&format!("lora/{variant}/after3/{name}")) {
                assert_close(&format!("{variant} {name}"), &param.tensor().unwrap(), want, 0.0, 1e-4);
            }
        }
        let saved = tempfile::tempdir().unwrap();
        adapter.save(saved.path()).unwrap();
        adapter.remove().unwrap();
        assert!(model.modules().linears().iter().all(|l| l.adapters().is_empty()));
        LoraAdapter::load(&model, "again", saved.path()).unwrap();
    }
}
