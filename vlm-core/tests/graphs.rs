//! Recorded work: the contract of `backend::graphs` on the software recorder, and decoding by it.

mod common;

use common::parity_folder;
use std::sync::Arc;
use vlm_core::backend::layers::Recorder;
use vlm_core::backend::{ScatterOp, View};
use vlm_core::generate::{GenerationConfig, Generator};
use vlm_core::models::{VisionLanguageModel, VlmBatch, load};
use vlm_core::{DType, Device, Element, ErrorKind, Layout, Tensor};

fn recorded() -> (Arc<Recorder>, Device) {
    let recorder = Arc::new(Recorder::new(Device::reference().kernels_arc().clone()));
    (recorder.clone(), Device::from_kernels("recorded", recorder))
}

fn device() -> Device {
    recorded().1
}

#[test]
fn a_replay_sees_what_was_written_and_writes_where_it_wrote() {
    let device = device();
    let graphs = device.kernels().graphs().unwrap();
    let x = Tensor::from_slice(&[1.0f32, 2.0], 2, &device).unwrap();
    let mut y = None;
    let graph = graphs
        .capture(&mut || {
            y = Some((x.exp()? + &x)?);
            Ok(())
        })
        .unwrap();
    let y = y.unwrap();
    assert_eq!(graph.calls(), Some(2));
    for value in [0.0f32, 3.0] {
        graphs.write(x.view().storage, f32::as_bytes(&[value, -value])).unwrap();
        graph.replay().unwrap();
        let want = [value.exp() + value, (-value).exp() - value];
        y.to_vec::<f32>().unwrap().iter().zip(want).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} {b}"));
    }
    let wrong = graphs.write(x.view().storage, &[0; 4]).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Shape);
}

#[test]
fn a_storage_given_up_is_written_in_place_by_every_replay() {
    let device = device();
    let (kernels, graphs) = (device.kernels(), device.kernels().graphs().unwrap());
    let new = Tensor::from_slice(&[7.0f32], 1, &device).unwrap();
    let place = Tensor::from_slice(&[0i64], 1, &device).unwrap();
    let mut room = Some(kernels.upload(DType::F32, f32::as_bytes(&[0.0; 4])).unwrap());
    let shape = vlm_core::Dims::from_slice(&[4]);
    let graph = graphs
        .capture(&mut || {
            let given = room.take().unwrap();
            room = Some(kernels.index_update(ScatterOp::Set, given, shape, 0, place.view(), new.view())?);
            Ok(())
        })
        .unwrap();
    for at in [1i64, 3] {
        graphs.write(place.view().storage, i64::as_bytes(&[at])).unwrap();
        graphs.write(new.view().storage, f32::as_bytes(&[at as f32])).unwrap();
        graph.replay().unwrap();
    }
    let (held, layout) = (room.unwrap(), Layout::contiguous(shape));
    let copy = kernels.copy(View::new(&held, &layout)).unwrap();
    let mut bytes = vec![0; 16];
    kernels.download(&copy, 0, &mut bytes).unwrap();
    assert_eq!(f32::from_bytes(&bytes), [7.0, 1.0, 0.0, 3.0]);
}

#[test]
fn what_no_replay_would_do_is_refused() {
    let device = device();
    let graphs = device.kernels().graphs().unwrap();
    let x = Tensor::from_slice(&[1.0f32, 2.0], 2, &device).unwrap();
    let index = Tensor::from_slice(&[1i64], 1, &device).unwrap();
    type Work<'a> = (&'a str, Box<dyn Fn() -> vlm_core::Result<()> + 'a>);
    let works: Vec<Work<'_>> = vec![
        ("download", Box::new(|| x.exp()?.to_vec::<f32>().map(drop))),
        ("upload", Box::new(|| Tensor::from_slice(&[1.0f32], 1, x.device()).map(drop))),
        ("synchronize", Box::new(|| x.device().synchronize())),
        ("check of indices", Box::new(|| x.index_select(0, &index.abs()?).map(drop))),
    ];
    for (what, work) in works {
        let mut runs = 0;
        // The first run is as always; only the second is recorded.
        let failed = graphs.capture(&mut || {
            runs += 1;
            work()
        });
        let e = failed.unwrap_err();
        assert!(runs == 2 && e.kind() == ErrorKind::Unsupported && e.to_string().contains(what), "{what}: {e}");
        // The device is as usable as before.
        x.exp().unwrap().to_vec::<f32>().unwrap();
    }
    // An index that the host brought needs no fetching.
    graphs.capture(&mut || x.index_select(0, &index).map(drop)).unwrap();
}

#[test]
fn numbers_read_on_the_host_stay_as_they_were() {
    // A step that looks at a length on the host is recorded with that length: the strictness that decoding relies on.
    let device = device();
    let graphs = device.kernels().graphs().unwrap();
    let x = Tensor::from_slice(&[1.0f32, 2.0, 4.0, 8.0], 4, &device).unwrap();
    let (mut length, mut sum) = (2, None);
    let graph = graphs
        .capture(&mut || {
            sum = Some(x.narrow(0, 0, length)?.sum_all()?);
            Ok(())
        })
        .unwrap();
    length = 4;
    graph.replay().unwrap();
    assert_eq!((sum.unwrap().item::<f32>().unwrap(), length), (3.0, 4));
}

fn answers(model: &dyn VisionLanguageModel, prompt: &VlmBatch, use_graphs: bool, new: usize) -> Vec<Vec<i64>> {
    let config = GenerationConfig { max_new_tokens: new, use_graphs, ..GenerationConfig::default() };
    let mut generator = Generator::new(model, prompt.clone(), config).unwrap();
    generator.by_ref().for_each(|step| assert!(step.is_ok(), "{step:?}"));
    generator.answers().into_iter().map(<[i64]>::to_vec).collect()
}

/// Every family, rows of different lengths; the pictures' part of it is `parity --graphs`.
#[test]
fn families_decode_by_recorded_steps_as_without() {
    let (recorder, device) = recorded();
    let families = ["llava", "qwen2_vl", "qwen3_vl", "gemma3", "paligemma", "internvl", "smolvlm", "idefics3"];
    for (before, family) in families.into_iter().enumerate() {
        let Some(dir) = parity_folder(family) else { return };
        let model = load(&dir.join("model"), None, &device).unwrap();
        let row =
            |n: usize, salt: i64| (0..12).map(move |i| if i < 12 - n { 0 } else { 5 + (salt + i as i64 * 7) % 40 });
        let prompt = VlmBatch {
            input_ids: vec![row(12, 1).collect(), row(7, 3).collect()],
            attention_mask: Some(vec![vec![true; 12], (0..12).map(|i| i >= 5).collect()]),
            ..VlmBatch::default()
        };
        let (with, without) = (answers(&*model, &prompt, true, 10), answers(&*model, &prompt, false, 10));
        assert_eq!(with, without, "{family}");
        assert_eq!(recorder.captures(), before + 1, "{family}: the step was not recorded, or more than once");
    }
}

#[test]
fn a_longer_answer_is_recorded_anew_when_its_room_is_full() {
    let Some(dir) = parity_folder("llava") else { return };
    let (recorder, device) = recorded();
    let model = load(&dir.join("model"), None, &device).unwrap();
    let prompt = VlmBatch { input_ids: vec![(0..250).map(|i| 5 + i % 40).collect()], ..VlmBatch::default() };
    assert_eq!(answers(&*model, &prompt, true, 14), answers(&*model, &prompt, false, 14));
    assert_eq!(recorder.captures(), 2);
}
