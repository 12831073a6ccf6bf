use super::atc::atc;
use super::graph::Precision;
use super::proto::{Attribute, Dimension, Graph, Model, Node, Opset, Shape, Tensor, TensorType, Type, ValueInfo};
use super::value::{Data, Value};
use super::{GearKind, Om};
use crate::types::DType;
use prost::Message;
use std::path::Path;

fn port(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfo {
    let dim = dims.iter().map(|&d| Dimension { dim_value: (d > 0).then_some(d) }).collect();
    let tensor_type = Some(TensorType { elem_type, shape: Some(Shape { dim }) });
    ValueInfo { name: name.to_owned(), r#type: Some(Type { tensor_type }) }
}

fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    let input = inputs.iter().map(|&i| i.to_owned()).collect();
    Node { input, output: vec![output.to_owned()], op_type: op.to_owned(), ..Node::default() }
}

fn weight(name: &str, dims: &[i64], values: &[f32]) -> Tensor {
    let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Tensor { dims: dims.to_vec(), data_type: 1, name: name.to_owned(), raw_data, ..Tensor::default() }
}

fn model(graph: Graph) -> Vec<u8> {
    Model { graph: Some(graph), opset_import: vec![Opset { domain: String::new(), version: 17 }] }.encode_to_vec()
}

/// `y = relu(x w)`, with an open batch.
fn layer() -> Vec<u8> {
    model(Graph {
        node: vec![node("MatMul", &["x", "w"], "p"), node("Relu", &["p"], "y")],
        name: "layer".to_owned(),
        initializer: vec![weight("w", &[2, 2], &[1.0, -1.0, 0.1, 2.0])],
        input: vec![port("x", 1, &[-1, 2])],
        output: vec![port("y", 1, &[-1, 2])],
    })
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("vlm-sim-om-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn run_atc(folder: &Path, onnx: &[u8], more: &[&str]) -> Result<Om, u8> {
    let (source, target) = (folder.join("m.onnx"), folder.join("m"));
    std::fs::write(&source, onnx).unwrap();
    let mut arguments = vec![
        "--framework=5".to_owned(),
        format!("--model={}", source.display()),
        format!("--output={}", target.display()),
        "--soc_version=Ascend910B3".to_owned(),
    ];
    arguments.extend(more.iter().map(|&m| m.to_owned()));
    match atc(&arguments) {
        0 => Ok(Om::read(&std::fs::read(target.with_extension("om")).unwrap()).unwrap()),
        code => Err(code),
    }
}

#[test]
fn a_model_is_converted_and_computes() {
    let folder = folder("computes");
    let origin = ["--precision_mode_v2=origin", "--input_shape", "x:2,2"];
    let om = run_atc(&folder, &layer(), &origin).unwrap();
    assert!(!om.header.half && om.header.gears.is_none() && om.header.work > 0);
    let x = Value::floats(DType::F32, vec![2, 2], vec![1.0, 1.0, -1.0, 0.5]);
    let (made, _) = om.graph.run(&om.weights, vec![x.clone()], Precision::Origin).unwrap();
    assert_eq!(made[0].data, Data::Float(vec![1.1, 1.0, 0.0, 2.0]));
    // In half precision, which is atc's default, 0.1 is another number.
    let half = run_atc(&folder, &layer(), &["--input_shape=x:2,2"]).unwrap();
    assert!(half.header.half);
    let (rounded, _) = half.graph.run(&half.weights, vec![x], half.header.precision()).unwrap();
    assert_ne!(rounded[0].data, made[0].data);
}

#[test]
fn gears_and_open_shapes_are_kept() {
    let folder = folder("gears");
    let om = run_atc(&folder, &layer(), &["--input_shape=x:-1,2", "--dynamic_batch_size=1,4"]).unwrap();
    let gears = om.header.gears.as_ref().unwrap();
    assert_eq!((gears.kind, &gears.values), (GearKind::Batch, &vec![vec![1], vec![4]]));
    assert_eq!(gears.outputs, [vec![vec![1, 2]], vec![vec![4, 2]]]);
    let open = run_atc(&folder, &layer(), &["--input_shape=x:1~8,2"]).unwrap();
    assert!(open.header.is_open());
    assert_eq!(open.header.inputs[0].dims, [(1, 8), (2, 2)]);
}

#[test]
fn what_atc_would_refuse_is_refused() {
    let folder = folder("refuses");
    let refused = |more: &[&str]| run_atc(&folder, &layer(), more).err() == Some(255);
    assert!(refused(&["--input_shape=z:1,2"]), "no such input");
    assert!(refused(&["--input_shape=x:1,3"]), "the model has 2 columns");
    assert!(refused(&["--input_shape=x:-1,2", "--dynamic_batch_size=1"]), "one gear is none");
    assert!(refused(&["--input_shape=x:2,2", "--dynamic_batch_size=1,2"]), "nothing is open");
    assert!(refused(&["--dynamic_batch_size=1,2", "--dynamic_dims=1;2"]), "one kind of gears");
    assert!(refused(&["--soc_version=Ascend1"]), "no such chip");
    assert!(refused(&["--precision_mode_v2=best"]), "no such precision");
    assert!(refused(&["--unknown=1"]));
    let strange = model(Graph { node: vec![node("LSTM", &["x"], "y")], ..Graph::default() });
    assert!(run_atc(&folder, &strange, &[]).is_err(), "no such operator");
    assert!(run_atc(&folder, b"not a model", &[]).is_err());
}

#[test]
fn damaged_files_are_refused() {
    let folder = folder("damaged");
    run_atc(&folder, &layer(), &["--input_shape=x:2,2"]).unwrap();
    let whole = std::fs::read(folder.join("m.om")).unwrap();
    assert!(Om::read(b"IMOD").is_err());
    for cut in [10, 26, 60, whole.len() / 2] {
        assert!(Om::read(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

fn attribute(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.to_owned(), ints: ints.to_vec(), ..Attribute::default() }
}

fn apply(op: &str, attributes: Vec<Attribute>, x: &[&Value]) -> Result<Value, String> {
    let mut node = node(op, &[], "y");
    node.attribute = attributes;
    super::ops::find(op).unwrap()(&node, &x.iter().map(|&v| Some(v)).collect::<Vec<_>>())
}

#[test]
fn convolutions_have_strides_padding_and_groups() {
    let x = Value::floats(DType::F32, vec![1, 2, 3, 3], (0..18).map(|v| v as f32).collect());
    let w = Value::floats(DType::F32, vec![2, 1, 2, 2], vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    let group = Attribute { name: "group".to_owned(), i: Some(2), ..Attribute::default() };
    let all = vec![attribute("strides", &[2, 2]), attribute("pads", &[1, 1, 0, 0]), group];
    let y = apply("Conv", all, &[&x, &w]).unwrap();
    assert_eq!(y.dims, [1, 2, 2, 2]);
    assert_eq!(y.data, Data::Float(vec![0.0, 2.0, 6.0, 12.0, 9.0, 21.0, 27.0, 60.0]));
}

#[test]
fn slices_and_reductions_take_negative_axes() {
    let x = Value::floats(DType::F32, vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let list = |v: &[i64]| Value::ints(DType::I64, vec![v.len()], v.to_vec());
    let y = apply("Slice", vec![], &[&x, &list(&[-2]), &list(&[i64::MAX]), &list(&[-1])]).unwrap();
    assert_eq!((y.dims, y.data), (vec![2, 2], Data::Float(vec![2.0, 3.0, 5.0, 6.0])));
    let y = apply("ReduceMean", vec![attribute("axes", &[-2])], &[&x]).unwrap();
    assert_eq!((y.dims, y.data), (vec![1, 3], Data::Float(vec![2.5, 3.5, 4.5])));
    let y = apply("Tile", vec![], &[&x, &list(&[2, 1])]).unwrap();
    assert_eq!((y.dims, y.data), (vec![4, 3], Data::Float([1.0, 2.0, 3.0, 4.0, 5.0, 6.0].repeat(2))));
    let y = apply("Mod", vec![], &[&list(&[7, -7, 7, -7]), &list(&[3, 3, -3, -3])]).unwrap();
    assert_eq!(y.data, Data::Int(vec![1, 2, -2, -1]));
    assert!(apply("Reshape", vec![], &[&x, &list(&[4, -1])]).is_err());
    assert!(apply("Gather", vec![], &[&x, &list(&[2])]).is_err());
}
