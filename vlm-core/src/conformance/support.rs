//! What each device has, as a table.

use crate::backend::{OpKind, Support};
use crate::{DType, Device};
use std::fmt::Write;

/// The support matrix of these devices as Markdown: one line per operation, one column per device. An operation is
/// *native* (a kernel of its own), *composed* (from primitives) or missing, with the element types where they differ.
/// Only element types count that the operation is defined for.
pub fn matrix(devices: &[Device]) -> String {
    let cases = super::cases();
    let types = |op: OpKind| -> Vec<DType> {
        let defined = |d: &DType| cases.iter().any(|c| c.covers.contains(&op) && c.dtypes.contains(d));
        let found: Vec<DType> = DType::ALL.into_iter().filter(defined).collect();
        match op {
            // Checked by rules of their own.
            OpKind::Random | OpKind::AdamWStep | OpKind::AdamWSteps => DType::FLOATS.to_vec(),
            _ if found.is_empty() => DType::ALL.to_vec(),
            _ => found,
        }
    };
    let mut out = String::from("| operation |");
    devices.iter().for_each(|d| write!(out, " {d} |").unwrap_or_default());
    out += "\n|---|";
    out += &"---|".repeat(devices.len());
    for &op in OpKind::ALL {
        write!(out, "\n| `{op}` |").unwrap_or_default();
        for device in devices {
            write!(out, " {} |", cell(op, &types(op), device)).unwrap_or_default();
        }
    }
    out + "\n"
}

fn cell(op: OpKind, types: &[DType], device: &Device) -> String {
    let of = |support: Support| -> Vec<&str> {
        let has = |d: &&DType| device.kernels().supports(op, &[**d]) == support;
        types.iter().filter(has).map(|d| d.name()).collect()
    };
    let named = [(Support::Native, "native"), (Support::Composed, "composed"), (Support::Unsupported, "none")];
    let parts: Vec<(&str, Vec<&str>)> =
        named.into_iter().map(|(s, name)| (name, of(s))).filter(|(_, types)| !types.is_empty()).collect();
    match parts.as_slice() {
        [(one, _)] => (*one).to_owned(),
        more => more.iter().map(|(name, types)| format!("{name}: {}", types.join(" "))).collect::<Vec<_>>().join("; "),
    }
}
