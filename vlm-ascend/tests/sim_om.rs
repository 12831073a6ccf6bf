//! OM models on the simulator, which compiles an ONNX file that torch wrote (`xtask/python/make_onnx.py`) into its own format and
//! computes it; torch's outputs are what is expected.

mod common;

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vlm_ascend::AscendDevice;
use vlm_ascend::om::{Gears, OmDim, OmModel};
use vlm_core::{DType, Device, ErrorKind, Tensor};

const ONNX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/patches.onnx");
const EXPECTED: &[u8] = include_bytes!("data/patches.safetensors");

/// A device of the test's own, which is closed when the test ends: the simulator counts what is left then.
fn device() -> Device {
    common::simulator("schedule=random,seed=5");
    Device::from_kernels("ascend:0", Arc::new(AscendDevice::open(0).expect("the simulator has a device")))
}

/// The model compiled by the simulator's atc with these options.
fn converted(name: &str, more: &[&str]) -> PathBuf {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("om-{name}-{}", std::process::id()));
    let fixed = ["--framework=5", "--soc_version=Ascend910B3", "--precision_mode_v2=origin"];
    let mut arguments: Vec<String> = fixed.iter().chain(more).map(|&a| a.to_owned()).collect();
    arguments.extend([format!("--model={ONNX}"), format!("--output={}", base.display())]);
    assert_eq!(vlm_ascend_sim::atc(&arguments), 0, "the simulator's atc converts the model");
    base.with_extension("om")
}

/// Pictures of that shape, and what torch makes of them.
fn example(shape: &str, device: &Device) -> (Tensor, [Vec<f32>; 2]) {
    let file = SafeTensors::deserialize(EXPECTED).expect("the file is safetensors");
    let values = |name: &str| {
        let view = file.tensor(&format!("{shape}.{name}")).expect("the example is there");
        Tensor::from_safetensors(&view, &Device::reference()).expect("it is of floats").to_vec::<f32>().unwrap()
    };
    let view = file.tensor(&format!("{shape}.pixel_values")).expect("the example is there");
    let pixels = Tensor::from_safetensors(&view, device).expect("the device takes it");
    (pixels, [values("features"), values("sums")])
}

fn assert_close(tensor: &Tensor, expected: &[f32]) {
    let found = tensor.to_vec::<f32>().unwrap();
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-6, "off by {worst}");
}

/// Runs the example and compares both outputs.
fn check(model: &OmModel, shape: &str, device: &Device) {
    let (pixels, [features, sums]) = example(shape, device);
    let outputs = model.run(&[&pixels]).unwrap();
    assert_eq!(outputs.len(), 2);
    assert_close(&outputs[0], &features);
    assert_close(&outputs[1], &sums);
    assert_eq!(outputs[1].shape()[1], 5);
}

#[test]
fn sim_one_shape() {
    let device = device();
    let path = converted("one", &["--input_shape=pixel_values:2,3,8,8"]);
    let model = OmModel::load(&device, &path).unwrap();
    assert_eq!(model.inputs()[0].name, "pixel_values");
    assert_eq!(model.inputs()[0].dims, [2, 3, 8, 8].map(OmDim::Fixed));
    assert_eq!(model.outputs()[0].to_string(), "features: f32 [2, 4, 4]");
    assert_eq!(model.gears(), &Gears::None);
    let memory = OmModel::memory(&device, &path).unwrap().expect("the shape is fixed");
    assert!(model.pooled_bytes() >= memory.work + memory.weights);
    check(&model, "2x3x8x8", &device);
    // A view is copied, and an execution that nobody waited for is not overtaken by the next.
    let (pixels, [features, _]) = example("2x3x8x8", &device);
    let turned = pixels.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
    let zeros = Tensor::zeros([2, 3, 8, 8], DType::F32, &device).unwrap();
    let first = model.run(&[&turned]).unwrap();
    let second = model.run(&[&zeros]).unwrap();
    assert_close(&first[0], &features);
    assert_ne!(second[0].to_vec::<f32>().unwrap(), features);
    // What comes out goes on like any tensor.
    let total = first[1].sum_all().unwrap().to_vec::<f32>().unwrap()[0];
    assert!(total.is_finite());
    let bytes = std::fs::read(path).unwrap();
    check(&OmModel::from_bytes(&device, &bytes).unwrap(), "2x3x8x8", &device);
}

#[test]
fn sim_batches() {
    let device = device();
    let path = converted("batch", &["--input_shape=pixel_values:-1,3,8,8", "--dynamic_batch_size=1,2,4"]);
    let model = OmModel::load(&device, path).unwrap();
    assert_eq!(model.gears(), &Gears::Batch(vec![1, 2, 4]));
    assert_eq!(model.inputs().len(), 1, "the hidden input is none of ours");
    assert_eq!(model.inputs()[0].dims[0], OmDim::Gear);
    // Executions of different gears are queued one behind the other.
    let examples = ["1x3x8x8", "4x3x8x8", "2x3x8x8", "1x3x8x8"].map(|shape| example(shape, &device));
    let made: Vec<_> = examples.iter().map(|(x, _)| model.run(&[x]).unwrap()).collect();
    for (outputs, (_, [features, sums])) in made.iter().zip(&examples) {
        assert_close(&outputs[0], features);
        assert_close(&outputs[1], sums);
    }
    let three = Tensor::zeros([3, 3, 8, 8], DType::F32, &device).unwrap();
    let error = model.run(&[&three]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(error.to_string().contains("[1, 2, 4]"), "{error}");
}

#[test]
fn sim_picture_sizes_and_dimensions() {
    let device = device();
    let sizes = converted("sizes", &["--input_shape=pixel_values:1,3,-1,-1", "--dynamic_image_size=8,8;12,8"]);
    let model = OmModel::load(&device, sizes).unwrap();
    assert_eq!(model.gears(), &Gears::ImageSize(vec![(8, 8), (12, 8)]));
    check(&model, "1x3x12x8", &device);
    check(&model, "1x3x8x8", &device);
    let dims = converted("dims", &["--input_shape=pixel_values:-1,3,-1,-1", "--dynamic_dims=1,8,8;2,12,16;4,8,8"]);
    let model = OmModel::load(&device, dims).unwrap();
    let Gears::Dims(all) = model.gears() else { panic!("{:?}", model.gears()) };
    assert_eq!(all[1], [2, 3, 12, 16]);
    check(&model, "2x3x12x16", &device);
    check(&model, "4x3x8x8", &device);
}

#[test]
fn sim_open_shapes() {
    let device = device();
    let path = converted("open", &["--input_shape=pixel_values:1~4,3,8~16,-1"]);
    let model = OmModel::load(&device, &path).unwrap();
    let range = |least, most| OmDim::Range { least, most };
    assert_eq!(model.inputs()[0].dims, [range(1, Some(4)), OmDim::Fixed(3), range(8, Some(16)), range(1, None)]);
    assert_eq!(OmModel::memory(&device, &path).unwrap(), None);
    for shape in ["1x3x8x8", "2x3x12x16", "4x3x8x8", "1x3x12x8"] {
        check(&model, shape, &device);
    }
    let five = Tensor::zeros([5, 3, 8, 8], DType::F32, &device).unwrap();
    assert_eq!(model.run(&[&five]).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn sim_what_does_not_fit_is_an_error() {
    let device = device();
    let path = converted("errors", &["--input_shape=pixel_values:1,3,8,8"]);
    let model = OmModel::load(&device, &path).unwrap();
    let zeros = |dtype, device: &Device| Tensor::zeros([1, 3, 8, 8], dtype, device).unwrap();
    let kind = |inputs: &[&Tensor]| model.run(inputs).unwrap_err().kind();
    assert_eq!(kind(&[]), ErrorKind::Shape);
    assert_eq!(kind(&[&zeros(DType::F16, &device)]), ErrorKind::DType);
    assert_eq!(kind(&[&zeros(DType::F32, &Device::reference())]), ErrorKind::Device);
    assert_eq!(kind(&[&Tensor::zeros([1, 3, 8], DType::F32, &device).unwrap()]), ErrorKind::Shape);
    // A compiled model has no gradient, and says so instead of losing it.
    let tracked = zeros(DType::F32, &device).requires_grad().unwrap();
    assert_eq!(kind(&[&tracked]), ErrorKind::NoGradient);
    assert!(vlm_core::autograd::no_grad(|| model.run(&[&tracked])).is_ok());
}

#[test]
fn sim_files_that_are_no_models_are_named() {
    let device = device();
    let missing = OmModel::load(&device, "no/such.om").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Io);
    assert!(missing.to_string().contains("no/such.om"), "{missing}");
    let damaged = OmModel::load(&device, ONNX).unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Format);
    assert!(damaged.to_string().contains("--soc_version") && damaged.to_string().contains("Ascend910B3"), "{damaged}");
    assert_eq!(OmModel::from_bytes(&device, b"IMOD").unwrap_err().kind(), ErrorKind::Format);
    assert_eq!(OmModel::load(&Device::reference(), ONNX).unwrap_err().kind(), ErrorKind::Device);
    let base = converted("other", &["--input_shape=pixel_values:1,3,8,8"]);
    let text = std::fs::read(&base).unwrap();
    let at = text.windows(11).position(|w| w == b"Ascend910B3").unwrap();
    let mut other = text.clone();
    other[at..at + 11].copy_from_slice(b"Ascend310P3");
    let error = OmModel::from_bytes(&device, &other).unwrap_err();
    assert!(error.to_string().contains("compiled for Ascend310P3"), "{error}");
}

#[test]
fn sim_threads_take_turns() {
    let device = device();
    let path = converted("threads", &["--input_shape=pixel_values:-1,3,8,8", "--dynamic_batch_size=1,2,4"]);
    let model = OmModel::load(&device, path).unwrap();
    std::thread::scope(|scope| {
        for shape in ["1x3x8x8", "2x3x8x8", "4x3x8x8"] {
            let (model, device) = (&model, &device);
            scope.spawn(move || (0..5).for_each(|_| check(model, shape, device)));
        }
    });
}
