//! The simulator's `atc`: makes a model of the private format out of an ONNX file.
#![allow(clippy::print_stdout, clippy::print_stderr)] // It is a command.

use super::graph::{self, Graph};
use super::options::{Options, Range, parse};
use super::value::Value;
use super::{GearKind, Gears, Header, Port};
use crate::chip::Chip;

/// Runs the command with these arguments; its exit code. It takes the options of the vendor's `atc` that `vlm-ascend/sim/README.md` lists.
pub fn atc(arguments: &[String]) -> u8 {
    eprintln!("VLM ASCEND SIMULATOR: this is no atc. What it writes runs on the simulator alone");
    println!("ATC start working now, please wait for a moment.");
    let outcome = parse(arguments).and_then(|o| convert(&o));
    match outcome {
        Ok(()) => {
            println!("ATC run success, welcome to the next use.");
            0
        }
        Err(e) => {
            println!("ATC run failed, please check the detail log.");
            println!("{e}");
            255
        }
    }
}

fn convert(options: &Options) -> Result<(), String> {
    let chip = Chip::named(&options.soc)
        .ok_or_else(|| format!("E10001: value {:?} for --soc_version is invalid", options.soc))?;
    let onnx = std::fs::read(&options.model).map_err(|e| format!("E10020: {}: {e}", options.model))?;
    let (graph, weights) = Graph::read(&onnx).map_err(|e| format!("E11000: {e}"))?;
    let inputs = inputs(&graph, &options.shapes)?;
    let mut header = Header {
        soc: chip.soc.to_owned(),
        half: options.half,
        inputs: Vec::new(),
        outputs: Vec::new(),
        gears: None,
        work: 0,
    };
    let probe = |dims: &[Vec<usize>], header: &Header| -> Result<(Vec<Vec<usize>>, usize), String> {
        let zeros = graph.inputs.iter().zip(dims).map(|(p, d)| Value::zeros(p.dtype, d.clone()));
        let made = graph.run(&weights, zeros.collect::<Result<_, _>>()?, header.precision());
        let (outputs, work) = made.map_err(|e| format!("E19999: {e}"))?;
        Ok((outputs.into_iter().map(|v| v.dims).collect(), work))
    };
    let fixed: Option<Vec<_>> = inputs.iter().map(Port::fixed).collect();
    match (&options.gears, fixed) {
        (Some((kind, values)), _) => {
            let mut gears = Gears { kind: *kind, values: values.clone(), inputs: vec![], outputs: vec![] };
            for gear in values {
                let dims = chosen(&inputs, *kind, gear)?;
                let (outputs, work) = probe(&dims, &header)?;
                gears.inputs.push(dims);
                gears.outputs.push(outputs);
                header.work = header.work.max(work);
            }
            let largest = (0..values.len())
                .max_by_key(|&g| gears.inputs[g].iter().map(|d| d.iter().product::<usize>()).sum::<usize>());
            let largest = gears.outputs[largest.unwrap_or(0)].clone();
            header.outputs = ports(&graph.outputs, &largest);
            header.gears = Some(gears);
        }
        (None, Some(fixed)) => {
            let (outputs, work) = probe(&fixed, &header)?;
            header.outputs = ports(&graph.outputs, &outputs);
            header.work = work;
        }
        (None, None) => {
            let open = |&d: &i64| if d > 0 { (d, d) } else { (1, -1) };
            let port = |p: &graph::Port| Port {
                name: p.name.clone(),
                dtype: p.dtype.to_acl(),
                dims: p.dims.iter().map(open).collect(),
            };
            header.outputs = graph.outputs.iter().map(port).collect();
        }
    }
    header.inputs = inputs;
    let bytes = super::write(&header, &onnx)?;
    let path = format!("{}.om", options.output);
    std::fs::write(&path, bytes).map_err(|e| format!("E10022: {path}: {e}"))
}

fn ports(all: &[graph::Port], dims: &[Vec<usize>]) -> Vec<Port> {
    let port = |(p, dims): (&graph::Port, &Vec<usize>)| Port {
        name: p.name.clone(),
        dtype: p.dtype.to_acl(),
        dims: dims.iter().map(|&d| (d as i64, d as i64)).collect(),
    };
    all.iter().zip(dims).map(port).collect()
}

/// The inputs with the shapes that were asked for, where the model leaves them open.
fn inputs(graph: &Graph, shapes: &[(String, Vec<Range>)]) -> Result<Vec<Port>, String> {
    if let Some((unknown, _)) = shapes.iter().find(|(n, _)| !graph.inputs.iter().any(|p| p.name == *n)) {
        let known: Vec<_> = graph.inputs.iter().map(|p| p.name.as_str()).collect();
        return Err(format!("E10016: no input {unknown:?} in the model; it has {known:?}"));
    }
    let port = |p: &graph::Port| {
        let own: Vec<Range> = p.dims.iter().map(|&d| if d > 0 { (d, d) } else { (1, -1) }).collect();
        let dims = match shapes.iter().find(|(n, _)| *n == p.name) {
            Some((_, asked)) => {
                let fits = asked.len() == own.len() && asked.iter().zip(&own).all(|(a, o)| o.0 != o.1 || a == o);
                if !fits {
                    return Err(format!("E10014: --input_shape {asked:?} of {:?}, which is {:?}", p.name, p.dims));
                }
                asked.clone()
            }
            None => own,
        };
        Ok(Port { name: p.name.clone(), dtype: p.dtype.to_acl(), dims })
    };
    graph.inputs.iter().map(port).collect()
}

/// The shapes of all inputs in a gear.
fn chosen(inputs: &[Port], kind: GearKind, gear: &[u64]) -> Result<Vec<Vec<usize>>, String> {
    let mut values = gear.iter();
    let mut shapes = Vec::new();
    let wrong = || Err("E10044: the gears do not fit the dimensions that --input_shape leaves open".to_owned());
    if inputs.iter().all(|p| p.fixed().is_some()) {
        return wrong();
    }
    for port in inputs {
        let open: Vec<usize> = (0..port.dims.len()).filter(|&d| port.dims[d].0 != port.dims[d].1).collect();
        let allowed = match kind {
            GearKind::Batch => open.is_empty() || open == [0],
            GearKind::ImageSize => open.is_empty() || (port.dims.len() == 4 && open == [2, 3]),
            GearKind::Dims => true,
        };
        if !allowed {
            return wrong();
        }
        let mut dims: Vec<usize> = port.dims.iter().map(|d| d.0.max(0) as usize).collect();
        for d in open {
            // All inputs have one batch size.
            let value = if kind == GearKind::Batch { gear.first() } else { values.next() };
            let Some(&v) = value else { return wrong() };
            dims[d] = v as usize;
        }
        shapes.push(dims);
    }
    if kind != GearKind::Batch && values.next().is_some() {
        return wrong();
    }
    Ok(shapes)
}
