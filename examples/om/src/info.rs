//! What a compiled model takes and gives.

use crate::Compiled;
use anyhow::Result;
use serde_json::{Value, json};
use vlm_ascend::om::{Gears, OmModel, OmPort};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    compiled: Compiled,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

fn ports(all: &[OmPort]) -> Value {
    let dims = |p: &OmPort| p.dims.iter().map(|d| json!(d.to_string())).collect::<Vec<_>>();
    all.iter().map(|p| json!({"name": p.name, "dtype": p.dtype.to_string(), "dims": dims(p)})).collect()
}

fn gears(gears: &Gears) -> Value {
    match gears {
        Gears::Batch(all) => json!({"batch": all}),
        Gears::ImageSize(all) => json!({"image_size": all}),
        Gears::Dims(all) => json!({"dims": all}),
        _ => Value::Null,
    }
}

pub(crate) fn info(args: &Args) -> Result<()> {
    let device = args.compiled.open()?;
    let memory = OmModel::memory(&device, &args.compiled.model)?;
    let model = OmModel::load(&device, &args.compiled.model)?;
    if args.json {
        let memory = memory.map(|m| json!({"work": m.work, "weights": m.weights}));
        let told = json!({
            "model": args.compiled.model, "inputs": ports(model.inputs()), "outputs": ports(model.outputs()),
            "gears": gears(model.gears()), "memory": memory,
        });
        println!("{told}");
        return Ok(());
    }
    println!("{} on {}", args.compiled.model.display(), device.kernels().properties().name);
    model.inputs().iter().for_each(|p| println!("  takes {p}"));
    model.outputs().iter().for_each(|p| println!("  gives {p}"));
    match model.gears() {
        Gears::None => {}
        all => println!("  for {}", gears(all)),
    }
    match memory {
        Some(m) => println!("  memory: {} bytes of weights, {} to work in", m.weights, m.work),
        None => println!("  memory: known when it runs, as shapes are open"),
    }
    Ok(())
}
