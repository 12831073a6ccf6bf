//! Element by element.

use super::operand;
use crate::om::value::{Data, Value};
use crate::types::{DType, broadcast_dims};

/// Both operands in the shape that they broadcast to.
fn together(x: &[Option<&Value>]) -> Result<(Value, Value), String> {
    let (a, b) = (operand(x, 0)?, operand(x, 1)?);
    let dims =
        broadcast_dims(&[&a.dims, &b.dims]).ok_or_else(|| format!("{:?} and {:?} do not broadcast", a.dims, b.dims))?;
    Ok((a.broadcast(&dims)?, b.broadcast(&dims)?))
}

/// `Add`, `Sub`, `Mul`, `Div`, `Pow`, `Mod` of floats or integers.
pub(super) fn arithmetic(x: &[Option<&Value>], op: &'static str) -> Result<Value, String> {
    let (a, b) = together(x)?;
    let data = match (&a.data, &b.data) {
        (Data::Float(p), Data::Float(q)) => {
            let f: fn(f32, f32) -> f32 = match op {
                "Add" => |p, q| p + q,
                "Sub" => |p, q| p - q,
                "Mul" => |p, q| p * q,
                "Div" => |p, q| p / q,
                "Mod" => return Err("of floats it is not simulated".to_owned()),
                _ => f32::powf,
            };
            Data::Float(p.iter().zip(q).map(|(&p, &q)| f(p, q)).collect())
        }
        (Data::Int(p), Data::Int(q)) => {
            let f: fn(i64, i64) -> Option<i64> = match op {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                // The sign is the divisor's.
                "Mod" => |p, q| Some(p.checked_rem(q)?).map(|r| if r != 0 && (r < 0) != (q < 0) { r + q } else { r }),
                _ => |p, q| u32::try_from(q).ok().and_then(|q| p.checked_pow(q)),
            };
            let all = p.iter().zip(q).map(|(&p, &q)| f(p, q).ok_or_else(|| format!("{p} and {q} have no result")));
            Data::Int(all.collect::<Result<_, _>>()?)
        }
        // Only a power's exponent may have another type.
        (Data::Float(p), Data::Int(q)) if op == "Pow" => {
            Data::Float(p.iter().zip(q).map(|(&p, &q)| p.powf(q as f32)).collect())
        }
        _ => return Err(format!("operands of types {:?} and {:?}", a.dtype, b.dtype)),
    };
    Ok(Value { dtype: a.dtype, dims: a.dims, data })
}

/// Truth values of a comparison.
pub(super) fn compare(x: &[Option<&Value>], f: fn(f64, f64) -> bool) -> Result<Value, String> {
    let (a, b) = together(x)?;
    let numbers = |v: &Value| -> Vec<f64> {
        match &v.data {
            Data::Float(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::Int(v) => v.iter().map(|&x| x as f64).collect(),
        }
    };
    let values = numbers(&a).into_iter().zip(numbers(&b)).map(|(p, q)| i64::from(f(p, q))).collect();
    Ok(Value::ints(DType::Bool, a.dims, values))
}

/// `Where`.
pub(super) fn choose(x: &[Option<&Value>]) -> Result<Value, String> {
    let (c, a, b) = (operand(x, 0)?, operand(x, 1)?, operand(x, 2)?);
    let dims = broadcast_dims(&[&c.dims, &a.dims, &b.dims]).ok_or("the operands do not broadcast")?;
    let (c, a, b) = (c.broadcast(&dims)?, a.broadcast(&dims)?, b.broadcast(&dims)?);
    let chosen = c.as_ints("the condition")?.iter();
    let data = match (&a.data, &b.data) {
        (Data::Float(p), Data::Float(q)) => {
            Data::Float(chosen.zip(p.iter().zip(q)).map(|(&c, (&p, &q))| if c != 0 { p } else { q }).collect())
        }
        (Data::Int(p), Data::Int(q)) => {
            Data::Int(chosen.zip(p.iter().zip(q)).map(|(&c, (&p, &q))| if c != 0 { p } else { q }).collect())
        }
        _ => return Err(format!("operands of types {:?} and {:?}", a.dtype, b.dtype)),
    };
    Ok(Value { dtype: a.dtype, dims, data })
}

/// A function of each float.
pub(super) fn unary(x: &[Option<&Value>], f: fn(f32) -> f32) -> Result<Value, String> {
    let x = operand(x, 0)?;
    let values = x.as_floats("the operand")?.iter().map(|&v| f(v)).collect();
    Ok(Value::floats(x.dtype, x.dims.clone(), values))
}
