//! The report: made as JSON, shown as text.

use crate::machine;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use vlm_core::backend::{BACKEND_API, Backend, Registry};
use vlm_core::{DType, Device, Tensor};

/// Backends that are not part of this program, and how to get them.
const OTHERS: [(&str, &str); 2] = [
    (
        "cuda",
        "an NVIDIA GPU: build this program with --features cuda, add the crate vlm-cuda and call vlm_cuda::register(), or use the image vlm-cuda",
    ),
    (
        "ascend",
        "a Huawei Ascend NPU: add the crate vlm-ascend and call vlm_ascend::register(), or use the image vlm-ascend",
    ),
];

/// Looks at everything; every device is opened and made to compute.
pub(crate) fn examine() -> Value {
    let backends = Registry::global().backends();
    let shown: Vec<Value> = backends.iter().map(backend).collect();
    let ok = shown.iter().flat_map(|b| b["devices"].as_array().into_iter().flatten()).any(|d| d["ok"] == true);
    let absent = OTHERS.iter().filter(|(name, _)| !backends.iter().any(|b| b.name() == *name));
    let best = Device::open("auto").map(|d| d.to_string());
    json!({
        "ok": ok,
        "version": env!("CARGO_PKG_VERSION"),
        "backend_api": BACKEND_API,
        "machine": machine::facts(),
        "auto": best.ok(),
        "backends": shown,
        "not_in_this_program": absent.map(|(name, remedy)| json!({"name": name, "remedy": remedy})).collect::<Vec<_>>(),
    })
}

fn backend(backend: &Arc<dyn Backend>) -> Value {
    let name = backend.name();
    let devices: Vec<Value> =
        backend.devices().iter().map(|info| device(&format!("{name}:{}", info.ordinal))).collect();
    let findings: Vec<Value> =
        backend.diagnose().into_iter().map(|f| json!({"what": f.what, "found": f.found, "remedy": f.remedy})).collect();
    json!({"name": name, "api": backend.api_version(), "devices": devices, "findings": findings})
}

fn device(spec: &str) -> Value {
    let device = match Device::open(spec) {
        Ok(device) => device,
        Err(e) => return json!({"device": spec, "ok": false, "error": e.to_string()}),
    };
    let began = Instant::now();
    let tried = works(&device);
    let time = began.elapsed().as_secs_f64();
    let (p, m) = (device.kernels().properties(), device.kernels().memory_stats());
    json!({
        "device": device.name(),
        "ok": tried.is_ok(),
        "error": tried.err().map(|e| e.to_string()),
        "check_s": time,
        "name": p.name,
        "dtypes": p.dtypes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "memory_mib": p.memory_bytes.map(|b| b >> 20),
        "host_memory": p.host_memory,
        "asynchronous": p.asynchronous,
        "details": p.details.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "pool": {
            "allocated_bytes": m.allocated, "reserved_bytes": m.reserved, "peak_bytes": m.peak_allocated,
            "reused": m.reused, "fresh": m.fresh,
        },
    })
}

/// A product, its loss and a gradient, whose values are known.
fn works(device: &Device) -> vlm_core::Result<()> {
    let x = Tensor::arange(0.0, 4096.0, 1.0, DType::F32, device)?.reshape([64, 64])?.requires_grad()?;
    let ones = Tensor::ones([64, 64], DType::F32, device)?;
    let sum = x.matmul(&ones)?.sum_all()?;
    let grads = sum.backward()?;
    let (value, grad) = (sum.item::<f32>()?, grads.require(&x)?.to_vec::<f32>()?);
    device.synchronize()?;
    let wanted = 4095.0 * 4096.0 / 2.0 * 64.0;
    if (value - wanted).abs() > wanted * 1e-5 || grad.iter().any(|&g| g != 64.0) {
        let message = format!("it computes wrongly: a sum is {value}, expected {wanted}");
        return Err(vlm_core::Error::new(vlm_core::ErrorKind::Backend, "check device", message)
            .hint("report this with the output of doctor --json"));
    }
    Ok(())
}

/// The report for people.
pub(crate) fn text(report: &Value) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Value) -> std::fmt::Result {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    writeln!(out, "vlm {}, backend API {}", plain(&report["version"]), report["backend_api"])?;
    let m = &report["machine"];
    let (processor, cores) = (plain(&m["processor"]), plain(&m["cores"]));
    writeln!(out, "machine: {processor}, {cores} cores, {} {}", plain(&m["os"]), plain(&m["architecture"]))?;
    let (free, all) = (plain(&m["memory_available_mib"]), plain(&m["memory_mib"]));
    writeln!(out, "memory: {free} of {all} MiB free, huge pages: {}", plain(&m["huge_pages"]))?;
    for backend in list(&report["backends"]) {
        writeln!(out, "\nbackend {} (API {})", plain(&backend["name"]), backend["api"])?;
        let devices = list(&backend["devices"]);
        if devices.is_empty() {
            writeln!(out, "  no device")?;
        }
        for device in devices {
            let (spec, mark) = (plain(&device["device"]), if device["ok"] == true { "ok" } else { "FAILED" });
            writeln!(out, "  {mark:<7} {spec}  {}", plain(&device["name"]))?;
            if device["ok"] == true {
                let names: Vec<String> = list(&device["dtypes"]).iter().map(plain).collect();
                writeln!(out, "          computes in {}", names.join(", "))?;
                let pool = &device["pool"];
                writeln!(
                    out,
                    "          pool: {} KiB held, peak {} KiB, {} reused, {} fresh",
                    pool["reserved_bytes"].as_u64().unwrap_or(0) >> 10,
                    pool["peak_bytes"].as_u64().unwrap_or(0) >> 10,
                    pool["reused"],
                    pool["fresh"]
                )?;
            } else {
                writeln!(out, "          {}", plain(&device["error"]))?;
            }
        }
        for finding in list(&backend["findings"]) {
            writeln!(out, "  {}: {}", plain(&finding["what"]), plain(&finding["found"]))?;
            if let Some(remedy) = finding["remedy"].as_str() {
                writeln!(out, "    remedy: {remedy}")?;
            }
        }
    }
    writeln!(out)?;
    for other in list(&report["not_in_this_program"]) {
        writeln!(out, "not in this program: {}. For {}", plain(&other["name"]), plain(&other["remedy"]))?;
    }
    writeln!(out, "\n--device auto opens {}", plain(&report["auto"]))
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
