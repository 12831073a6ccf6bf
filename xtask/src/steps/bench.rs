//! `cargo xtask bench`.

use crate::run::{cargo, check};
use crate::workspace::need_member;
use anyhow::Result;

/// Runs the kernels' benchmark with `args`, by default the quick one on the CPU.
pub(crate) fn run(args: &[String]) -> Result<()> {
    need_member("benches")?;
    let mut command = cargo(&["run", "--release", "-p", "vlm-bench", "--bin", "kernels", "--"]);
    if args.is_empty() {
        command.args(["--device", "cpu", "--dtype", "f32", "--threads", "2", "--quick"]);
    }
    check(command.args(args))
}
