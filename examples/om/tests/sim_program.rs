//! The program on the simulated NPU, with the simulator's `atc`: converting, asking, running on pictures, and what goes wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vlm_ascend_sim::libraries::{Options, write};

/// Pictures of three shapes, and what torch makes of them (`xtask/python/make_onnx.py`).
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vlm-ascend/tests/data");

/// A folder with the simulator's libraries, its `atc`, pictures and the settings that make numbers of them.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        let exe = std::env::current_exe().unwrap();
        let core = exe.parent().unwrap().join("libvlm_ascend_sim.so");
        write(&place.path("lib"), &core, &Options::default()).unwrap();
        // The test's own executable is the simulator's atc, under the name by which atc is looked for.
        std::fs::create_dir(place.path("bin")).unwrap();
        let script = format!(
            "#!/bin/sh\nVLM_TEST_ATC=$(printf '%s\\n' \"$@\") exec '{}' --exact sim_atc --ignored --nocapture\n",
            exe.display()
        );
        std::fs::write(place.path("bin/atc"), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(place.path("bin/atc"), mode).unwrap();
        let settings = r#"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 8, "width": 8}}"#;
        std::fs::write(place.path("preprocessor_config.json"), settings).unwrap();
        for (i, name) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
            let pixels: Vec<u8> = (0..6 * 5 * 3).map(|p| (p * 7 + i * 60) as u8).collect();
            let mut picture = png::Encoder::new(std::fs::File::create(place.path(name)).unwrap(), 6, 5);
            picture.set_color(png::ColorType::Rgb);
            picture.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
        std::fs::copy(Path::new(DATA).join("patches.onnx"), place.path("patches.onnx")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn om(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_om"));
        command.args(arguments).current_dir(self.0.path());
        command.env("VLM_ASCEND_LIBRARIES", self.path("lib")).env("VLM_ASCEND_SIM", "strict=1,schedule=random,seed=3");
        command.env("ASCEND_HOME_PATH", self.0.path()).env("PATH", "/usr/bin:/bin").env_remove("VLM_DEVICE");
        command.output().unwrap()
    }

    /// What it says when it ends well.
    fn well(&self, arguments: &[&str]) -> String {
        let out = self.om(arguments);
        let all = said(&out);
        assert!(out.status.success(), "{arguments:?}: {all}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// What it says when it ends with an error.
    fn refused(&self, arguments: &[&str]) -> String {
        let out = self.om(arguments);
        let all = said(&out);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {all}");
        assert!(!all.contains("panicked"), "{all}");
        all
    }
}

fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn values(file: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap();
    let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (view.shape().to_vec(), floats)
}

#[test]
#[ignore = "the simulator's atc, which the other tests start"]
fn sim_atc() {
    let arguments: Vec<String> = std::env::var("VLM_TEST_ATC").unwrap().lines().map(str::to_owned).collect();
    std::process::exit(i32::from(vlm_ascend_sim::atc(&arguments)));
}

#[test]
fn sim_pictures_in_batches_are_as_in_one() {
    let place = Place::new();
    let converted =
        place.well(&["convert", "--onnx", "patches.onnx", "--shape", "pixel_values:-1,3,8,8", "--batches", "1,2"]);
    assert!(converted.contains("--precision_mode_v2=origin") && converted.contains("--soc_version=Ascend910B3"));
    assert!(converted.contains("wrote patches.om"), "{converted}");
    let info = place.well(&["info", "--model", "patches.om"]);
    assert!(info.contains("takes pixel_values: f32 [gear, 3, 8, 8]") && info.contains(r#"{"batch":[1,2]}"#), "{info}");
    assert!(info.contains("SIMULATED") && info.contains("bytes of weights"), "{info}");

    let run = |model: &str, images: &[&str], out: &str| {
        let mut arguments = vec!["run", "--model", model, "--processor", ".", "--out", out, "--json"];
        images.iter().for_each(|i| arguments.extend(["--image", i]));
        place.well(&arguments)
    };
    let lines = run("patches.om", &["a.png", "b.png", "c.png"], "three.safetensors");
    assert_eq!(lines.lines().count(), 2, "a line for each output: {lines}");
    let (shape, three) = values(&place.path("three.safetensors"), "sums");
    assert_eq!(shape, [3, 5]);
    for (i, image) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
        run("patches.om", &[image], "one.safetensors");
        let (_, one) = values(&place.path("one.safetensors"), "sums");
        assert!(one.iter().zip(&three[i * 5..]).all(|(a, b)| (a - b).abs() < 1e-6), "{image}: {one:?} {three:?}");
        assert!(i == 0 || one != three[..5], "pictures differ");
    }
    // Open shapes give the same.
    place.well(&["convert", "--onnx", "patches.onnx", "--output", "open", "--shape", "pixel_values:1~4,3,-1,-1"]);
    run("open.om", &["a.png", "b.png", "c.png"], "open.safetensors");
    assert_eq!(values(&place.path("open.safetensors"), "sums").1, three);
    let info = place.well(&["info", "--model", "open.om", "--json"]);
    assert!(info.contains(r#""dims":["1~4","3","1~","1~"]"#) && info.contains(r#""memory":null"#), "{info}");
}

#[test]
fn sim_tensors_of_a_file_give_what_torch_gave() {
    let place = Place::new();
    let bytes = std::fs::read(Path::new(DATA).join("patches.safetensors")).unwrap();
    let examples = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let pixels = examples.tensor("2x3x12x16.pixel_values").unwrap();
    let file = safetensors::serialize([("pixel_values", pixels)], None).unwrap();
    std::fs::write(place.path("in.safetensors"), file).unwrap();
    place.well(&["convert", "--onnx", "patches.onnx", "--shape", "pixel_values:2,3,12,16", "--chip", "Ascend910B3"]);
    place.well(&["run", "--model", "patches.om", "--tensors", "in.safetensors", "--out", "out.safetensors"]);
    for name in ["features", "sums"] {
        let (_, found) = values(&place.path("out.safetensors"), name);
        let (_, expected) = values(&Path::new(DATA).join("patches.safetensors"), &format!("2x3x12x16.{name}"));
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-6), "{name}");
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn sim_commands_are_shown_without_atc() {
    let place = Place::new();
    std::fs::remove_file(place.path("bin/atc")).unwrap();
    let shown = place.well(&[
        "convert",
        "--onnx",
        "x.onnx",
        "--shape",
        "x:1,3,-1,-1",
        "--sizes",
        "8,8;12,8",
        "--chip",
        "Ascend310P3",
        "--precision",
        "fp16",
        "--print",
        "--",
        "--log=info",
    ]);
    let expected = "atc --framework=5 --model=x.onnx --output=x --soc_version=Ascend310P3 --input_format=NCHW \
        --precision_mode_v2=fp16 --input_shape=x:1,3,-1,-1 '--dynamic_image_size=8,8;12,8' --log=info\n";
    assert_eq!(shown, expected);
    let missing = place.refused(&["convert", "--onnx", "patches.onnx"]);
    assert!(missing.contains("there is no atc") && missing.contains("set_env.sh"), "{missing}");
}

#[test]
fn sim_what_does_not_fit_is_told() {
    let place = Place::new();
    let says = |arguments: &[&str], wanted: &[&str]| {
        let all = place.refused(arguments);
        assert!(wanted.iter().all(|w| all.contains(w)), "{arguments:?} said: {all}");
    };
    says(&["convert", "--onnx", "no.onnx"], &["there is no model no.onnx"]);
    says(
        &["convert", "--onnx", "patches.onnx", "--shape", "other:1,3,8,8"],
        &["no input \"other\"", "pixel_values", "log"],
    );
    says(&["convert", "--onnx", "patches.onnx", "--batches", "1,2", "--sizes", "8,8;9,9"], &["exclude"]);
    says(&["convert", "--onnx", "patches.onnx", "--batches", "1,2"], &["--shape"]);
    says(&["convert", "--onnx", "patches.onnx", "--shape", "8,8"], &["NAME:SIZES"]);
    says(&["convert", "--onnx", "patches.onnx", "--device", "cpu"], &["cpu", "--chip"]);
    says(&["info", "--model", "patches.onnx"], &["patches.onnx", "Ascend910B3", "--soc_version"]);
    says(&["info", "--model", "no.om"], &["no.om"]);
    place.well(&["convert", "--onnx", "patches.onnx", "--shape", "pixel_values:1,3,12,8"]);
    let run = ["run", "--model", "patches.om"];
    says(&run, &["--image", "--tensors"]);
    says(&[&run[..], &["--image", "a.png"]].concat(), &["--processor"]);
    says(&[&run[..], &["--image", "a.png", "--processor", "."]].concat(), &["[1, 3, 12, 8]", "[3, 8, 8]"]);
    says(&[&run[..], &["--image", "no.png", "--processor", "."]].concat(), &["no.png"]);
    says(&[&run[..], &["--device", "cpu", "--image", "a.png", "--processor", "."]].concat(), &["cpu", "ascend:0"]);
    std::fs::write(place.path("bin/atc"), "#!/bin/sh\nexit 0\n").unwrap();
    says(&["convert", "--onnx", "patches.onnx"], &["wrote no"]);
    std::fs::write(place.path("bin/atc"), "#!/bin/sh\nexit 3\n").unwrap();
    says(&["convert", "--onnx", "patches.onnx"], &["atc ended with", "3"]);
    // The model of the run that went well is still there.
    std::fs::remove_dir_all(place.path("bin")).unwrap();
    assert!(place.well(&["info", "--model", "patches.om"]).contains("[1, 3, 12, 8]"));
}
