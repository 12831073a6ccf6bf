//! Prints `docs/support-matrix.md`: what each device says it has, and how far off results may be.
#![allow(clippy::print_stdout)] // It is what the program is for.

use anyhow::Result;
use vlm_core::Device;
use vlm_core::conformance::{cases, support_matrix, tolerance_table};

fn main() -> Result<()> {
    vlm_cpu::register()?;
    vlm_cuda::register()?;
    vlm_ascend::register()?;
    backend_demo::register()?;
    let devices = ["cpu", "torch-cpu", "ascend:0", "demo", "ref"]
        .map(Device::open)
        .into_iter()
        .collect::<vlm_core::Result<Vec<_>>>()?;
    println!("# Which device has which operation\n");
    println!(
        "Made by `cargo xtask regenerate` from what the devices answer to `supports`, which the conformance suite checks"
    );
    println!("with {} cases in every element type and layout.\n", cases().len());
    println!("- *native*: a kernel of the backend's own. Every primitive is native.");
    println!("- *composed*: put together from primitives by core; the same results, more passes over memory.");
    println!("- *none*: answered with an error of the kind `Unsupported`.\n");
    println!(
        "`demo` is `examples/backend-demo`, a backend outside of the workspace's crates that has primitives alone.\n"
    );
    println!("`torch-cpu` is libtorch's CPU; `cuda:N` runs the same code, and has what it has.\n");
    println!(
        "`ascend:0` is an Ascend 910B3 as the simulator has it; other chips lack some fused operations, which are composed there.\n"
    );
    print!("{}", support_matrix(&devices));
    drop(devices);
    vlm_core::backend::Registry::global().close();
    println!("\n## How far off a result may be\n");
    println!("Operations that compute nothing, or whole numbers, have to be equal bit for bit. The others:\n");
    println!("| class | element type | of its own size | of the largest element | why |\n|---|---|---|---|---|");
    for row in tolerance_table() {
        println!("| {:?} | {} | {:e} | {:e} | {} |", row.class, row.dtype, row.relative, row.of_scale, row.reason);
    }
    Ok(())
}
