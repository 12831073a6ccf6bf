//! Whether a model takes inputs of these shapes, and in which gear.

use super::{Gears, OP, OmDim, OmModel, OmPort};
use vlm_core::{Error, ErrorKind, Result, Tensor};

/// How the shapes of an execution are said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Not: there is one.
    Fixed,
    Batch(usize),
    ImageSize(usize, usize),
    /// The dimensions of all inputs in a row.
    Dims(Vec<usize>),
    /// Input by input.
    Open(Vec<Vec<i64>>),
}

fn error(kind: ErrorKind, message: String) -> Error {
    Error::new(kind, OP, message)
}

/// Checks number, types and shapes of the inputs.
pub(super) fn choose(model: &OmModel, inputs: &[&Tensor]) -> Result<Choice> {
    let ports = model.inputs();
    if inputs.len() != ports.len() {
        let names: Vec<_> = ports.iter().map(OmPort::to_string).collect();
        return Err(error(
            ErrorKind::Shape,
            format!("{} inputs were given, the model takes {}", inputs.len(), ports.len()),
        )
        .with("inputs", names.join("; ")));
    }
    for (port, tensor) in ports.iter().zip(inputs) {
        if tensor.dtype() != port.dtype {
            let message = format!("input {} has type {}, the model takes {}", port.name, tensor.dtype(), port.dtype);
            return Err(error(ErrorKind::DType, message).hint("cast it with to_dtype"));
        }
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(|t| &**t.shape()).collect();
    of(ports, model.gears(), &shapes)
}

/// How shapes are said to a model with these inputs and gears.
fn of(ports: &[OmPort], gears: &Gears, shapes: &[&[usize]]) -> Result<Choice> {
    let mut geared = Vec::new();
    let mut open = false;
    for (port, shape) in ports.iter().zip(shapes) {
        let fits = |(dim, &size): (&OmDim, &usize)| match *dim {
            OmDim::Fixed(n) => size == n,
            OmDim::Gear => true,
            OmDim::Range { least, most } => size >= least && most.is_none_or(|m| size <= m),
        };
        if port.dims.len() != shape.len() || !port.dims.iter().zip(*shape).all(fits) {
            let message = format!("input {} has shape {shape:?}, the model takes {port}", port.name);
            return Err(error(ErrorKind::Shape, message).hint("convert the model again with another --input_shape"));
        }
        geared.push(
            port.dims.iter().zip(*shape).filter(|(d, _)| **d == OmDim::Gear).map(|(_, &s)| s).collect::<Vec<_>>(),
        );
        open |= port.dims.iter().any(|d| matches!(d, OmDim::Range { .. }));
    }
    let chosen: Vec<usize> = geared.concat();
    let refuse = |option: &str, all: String| {
        let message = format!("sizes {chosen:?} of shapes {shapes:?} are none of the model's gears");
        Err(error(ErrorKind::Shape, message)
            .with("gears", all)
            .hint(format!("pad the input to one of them, or convert the model with another {option}")))
    };
    match gears {
        Gears::Batch(all) => match chosen.first() {
            Some(b) if all.contains(b) && chosen.iter().all(|c| c == b) => Ok(Choice::Batch(*b)),
            _ => refuse("--dynamic_batch_size", format!("{all:?}")),
        },
        Gears::ImageSize(all) => match chosen[..] {
            [h, w] if all.contains(&(h, w)) => Ok(Choice::ImageSize(h, w)),
            _ => refuse("--dynamic_image_size", format!("{all:?}")),
        },
        Gears::Dims(all) => {
            let whole = shapes.concat();
            if all.contains(&whole) { Ok(Choice::Dims(whole)) } else { refuse("--dynamic_dims", format!("{all:?}")) }
        }
        Gears::None if open => Ok(Choice::Open(shapes.iter().map(|s| s.iter().map(|&d| d as i64).collect()).collect())),
        Gears::None => Ok(Choice::Fixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vlm_core::DType;

    fn port(dims: &[OmDim]) -> OmPort {
        OmPort { name: "x".to_owned(), dtype: DType::F32, dims: dims.to_vec() }
    }

    #[test]
    fn gears_are_chosen_by_shape() {
        let batched = [port(&[OmDim::Gear, OmDim::Fixed(3)]), port(&[OmDim::Gear])];
        let gears = Gears::Batch(vec![1, 4]);
        assert_eq!(of(&batched, &gears, &[&[4, 3], &[4]]).unwrap(), Choice::Batch(4));
        let mixed = of(&batched, &gears, &[&[4, 3], &[1]]).unwrap_err();
        assert_eq!(mixed.kind(), ErrorKind::Shape);
        let other = of(&batched, &gears, &[&[2, 3], &[2]]).unwrap_err().to_string();
        assert!(other.contains("[1, 4]") && other.contains("--dynamic_batch_size"), "{other}");

        let picture = [port(&[OmDim::Fixed(1), OmDim::Fixed(3), OmDim::Gear, OmDim::Gear])];
        let gears = Gears::ImageSize(vec![(8, 16), (16, 8)]);
        assert_eq!(of(&picture, &gears, &[&[1, 3, 16, 8]]).unwrap(), Choice::ImageSize(16, 8));
        assert!(of(&picture, &gears, &[&[1, 3, 8, 8]]).is_err());
    }

    #[test]
    fn open_shapes_have_limits() {
        let open = [port(&[OmDim::Range { least: 2, most: Some(4) }, OmDim::Range { least: 1, most: None }])];
        assert_eq!(of(&open, &Gears::None, &[&[4, 900]]).unwrap(), Choice::Open(vec![vec![4, 900]]));
        for wrong in [[1, 1], [5, 1], [2, 0]] {
            let e = of(&open, &Gears::None, &[&wrong]).unwrap_err().to_string();
            assert!(e.contains("2~4"), "{e}");
        }
        assert_eq!(of(&[port(&[OmDim::Fixed(2)])], &Gears::None, &[&[2]]).unwrap(), Choice::Fixed);
        assert!(of(&[port(&[OmDim::Fixed(2)])], &Gears::None, &[&[2, 1]]).is_err());
    }
}
