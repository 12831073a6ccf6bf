//! The backend `ascend` on the software AscendCL: no NPU and no CANN is needed, and none is used.

use super::job::parse;
use crate::programs::{build, file, program};
use crate::run::{Said, capture, tee};
use crate::workspace::path;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use vlm_ascend_sim::libraries::{Options, write};

/// The least accuracy of the main job.
const LEAST_TUNED: f64 = 0.90;
/// Every chip that is simulated.
const CHIPS: [&str; 3] = ["Ascend910B3", "Ascend910_9391", "Ascend310P3"];
const SCHEDULES: [&str; 3] = ["delayed", "random", "eager"];

/// The simulator as cargo built it together with this program.
fn core() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding the target folder")?;
    let folder = own.parent().context("finding the target folder")?;
    let found = [folder.join("deps"), folder.to_path_buf()].map(|f| f.join("libvlm_ascend_sim.so"));
    found.into_iter().find(|p| p.is_file()).context("libvlm_ascend_sim.so is not beside this program")
}

/// A set of libraries under `target/ascend-sim`, made once by this process.
fn libraries(name: &str, options: &Options) -> Result<PathBuf> {
    let folder = path("target/ascend-sim").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    write(&folder, &core()?, options).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// The usual set.
fn usual() -> Result<PathBuf> {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let made = libraries("usual", &Options::default())?;
    Ok(MADE.get_or_init(|| made).clone())
}

/// Has a program use the simulator. It fails if it misuses the interface or leaves anything behind.
pub(crate) fn simulate(command: &mut Command, settings: &str) -> Result<()> {
    command.env("VLM_ASCEND_LIBRARIES", usual()?).env("VLM_ASCEND_SIM", format!("strict=1,{settings}"));
    Ok(())
}

/// `cargo xtask ascend-sim`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let mut rest = arguments.iter();
    let (mut options, mut folder, mut full) = (Options::default(), None, false);
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--full" => full = true,
            "--libraries" => folder = Some(PathBuf::from(value()?)),
            "--split" => options.split = true,
            "--cann" => options.cann = value()?.parse().context("--cann takes a major version")?,
            "--without" => {
                let name = value()?.clone();
                if name.ends_with(".so") { options.without_libraries.push(name) } else { options.without.push(name) }
            }
            other => {
                bail!("ascend-sim takes --full or --libraries DIR [--split] [--cann N] [--without NAME], not {other:?}")
            }
        }
    }
    match folder {
        Some(folder) => {
            let all = write(&folder, &core()?, &options).with_context(|| format!("making {}", folder.display()))?;
            for library in &all {
                println!("{}: {} symbols", folder.join(library.name).display(), library.symbols.len());
            }
            println!("{} symbols in all", all.iter().map(|l| l.symbols.len()).sum::<usize>());
            Ok(())
        }
        None if full => every(),
        None => bail!("ascend-sim takes --full or --libraries DIR"),
    }
}

/// The test program of the conformance suite.
fn suite() -> Result<PathBuf> {
    let mut build = crate::run::cargo(&["test", "--workspace", "--all-features", "--no-run", "--message-format=json"]);
    let said = capture(&mut build)?;
    ensure!(said.code == Some(0), "the tests do not build:\n{}", said.stderr);
    let found = said.stdout.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).find_map(|m| {
        let ours = m["target"]["name"] == "sim_conformance";
        m["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    });
    found.context("cargo built no sim_conformance")
}

/// Runs the suite with these settings; its last line.
fn conform(suite: &Path, settings: &str, without_fused: bool, filter: &[&str]) -> Result<String> {
    let mut run = Command::new(suite);
    run.args(["--quiet"]).args(filter).env("VLM_ASCEND_SIM_TEST", settings).current_dir(path("vlm-ascend"));
    if without_fused {
        run.env("VLM_ASCEND_WITHOUT_FUSED", "1");
    }
    let said = capture(&mut run)?;
    let result = said.stdout.lines().find(|l| l.starts_with("test result")).unwrap_or("no result").to_owned();
    ensure!(said.code == Some(0), "simulator {settings}: exit code {:?}\n{}", said.code, tail(&said.all()));
    let clean = said.stderr.contains("SIMULATOR: 0 violations, 0 kinds of leaks");
    ensure!(clean, "simulator {settings}: {}", tail(&said.stderr));
    Ok(result)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Runs the suite with each of these settings, composed where the flag says so, on all cores: a run has one thread that computes.
fn conform_all(runs: &[(String, bool)]) -> Result<()> {
    let suite = suite()?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((settings, without_fused)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = conform(&suite, settings, *without_fused, &[]).inspect_err(|_| {
                // Nobody starts another.
                next.store(runs.len(), Ordering::Relaxed);
            })?;
            println!("sim {settings}{}: {result}", if *without_fused { ", composed" } else { "" });
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| bail!("a run of the suite panicked")))
    })
}

/// A sample: each schedule, each chip, fused operations and compositions.
pub(super) fn conformance() -> Result<()> {
    conform_all(&[
        ("chip=Ascend910B3,schedule=delayed,seed=1".to_owned(), false),
        ("chip=Ascend910B3,schedule=random,seed=2".to_owned(), true),
        ("chip=Ascend910_9391,schedule=random,seed=3".to_owned(), false),
        ("chip=Ascend310P3,schedule=eager,seed=4".to_owned(), false),
    ])
}

/// Everything: three schedules, 20 seeds, every chip; and the compositions.
fn every() -> Result<()> {
    let mut runs = Vec::new();
    for chip in CHIPS {
        for schedule in SCHEDULES {
            // Without a choice there is nothing for a seed to decide but workspaces.
            for seed in 0..20 {
                runs.push((format!("chip={chip},schedule={schedule},seed={seed}"), seed % 5 == 4));
            }
        }
    }
    conform_all(&runs)?;
    let count = runs.len();
    println!("test result: ok. {count} runs of the conformance suite passed on the simulator, 0 violations, 0 leaks");
    Ok(())
}

/// `doctor --json` with this environment; its exit code is 0, as the CPU works in any case.
fn doctor(environment: &[(&str, &Path)]) -> Result<(Value, Said)> {
    let mut run = program("doctor")?;
    run.arg("--json");
    for variable in ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_RT_VISIBLE_DEVICES", "VLM_ASCEND_LIBRARIES"] {
        run.env_remove(variable);
    }
    run.envs(environment.iter().copied());
    let said = capture(&mut run)?;
    ensure!(said.code == Some(0), "doctor ended with {:?}: {}", said.code, said.all());
    let report: Value = serde_json::from_str(&said.stdout).context("reading what doctor says")?;
    let all = report["backends"].as_array().cloned().unwrap_or_default();
    let ours = all.into_iter().find(|b| b["name"] == "ascend").context("doctor knows no ascend")?;
    Ok((ours, said))
}

fn expect(ours: &Value, wanted: &[&str]) -> Result<()> {
    let findings = ours["findings"].to_string();
    ensure!(wanted.iter().all(|w| findings.contains(w)), "doctor says of ascend: {findings}; expected {wanted:?}");
    println!("  {}", wanted.join("; "));
    Ok(())
}

/// A program that asks for an NPU where there is none.
fn refused(environment: &[(&str, &Path)], wanted: &[&str]) -> Result<()> {
    let mut run = program("lora")?;
    run.args(["--device", "ascend:0", "--output"]).arg(path("outputs/refused"));
    run.envs(environment.iter().copied());
    let said = capture(&mut run)?;
    let all = said.all();
    ensure!(said.code == Some(2) && wanted.iter().all(|w| all.contains(w)), "lora on ascend:0 said: {all}");
    Ok(())
}

/// Starts `doctor` and the main job without CANN and with ones that lack something.
pub(super) fn start() -> Result<()> {
    build()?;
    let scratch = tempfile::tempdir().context("making a folder for libraries")?;
    println!("without CANN:");
    let none = scratch.path().join("none");
    std::fs::create_dir_all(&none)?;
    let nowhere = [("VLM_ASCEND_LIBRARIES", &*none)];
    expect(&doctor(&nowhere)?.0, &["no AscendCL", "set_env.sh", "libascendcl.so"])?;
    refused(&nowhere, &["no AscendCL", "set_env.sh"])?;

    println!("with libraries that are none:");
    let text = scratch.path().join("text");
    std::fs::create_dir_all(&text)?;
    std::fs::write(text.join("libascendcl.so"), "not a library")?;
    expect(&doctor(&[("VLM_ASCEND_LIBRARIES", &*text)])?.0, &["no AscendCL", "libascendcl.so"])?;

    println!("without a function that is needed:");
    let without = Options { without: vec!["aclrtMemcpyAsync".to_owned()], ..Options::default() };
    let lacking = libraries("lacking", &without)?;
    expect(&doctor(&[("VLM_ASCEND_LIBRARIES", &*lacking)])?.0, &["AscendCL has no aclrtMemcpyAsync", "older than"])?;

    println!("on the simulator:");
    let usual = usual()?;
    let (ours, _) = doctor(&[("VLM_ASCEND_LIBRARIES", &*usual)])?;
    expect(&ours, &["simulator", "1 x Ascend910B3", "8.3.RC1"])?;
    ensure!(ours["devices"].to_string().contains("SIMULATED"), "the device does not say that it is simulated: {ours}");

    println!("on the simulator, with no device visible:");
    let hidden = [("VLM_ASCEND_LIBRARIES", &*usual), ("ASCEND_RT_VISIBLE_DEVICES", Path::new("7"))];
    expect(&doctor(&hidden)?.0, &["the runtime finds none", "ASCEND_RT_VISIBLE_DEVICES"])?;
    refused(&hidden, &["the runtime finds no device", "ASCEND_RT_VISIBLE_DEVICES"])?;

    println!("on the simulator, with the libraries split as newer versions have them:");
    let split = libraries("split", &Options { split: true, ..Options::default() })?;
    expect(&doctor(&[("VLM_ASCEND_LIBRARIES", &*split)])?.0, &["libacl_rt.so", "libopapi_nn.so"])
}

/// The main job on the simulated NPU, with fewer passes than on the CPU: the simulator is slow.
pub(super) fn job() -> Result<()> {
    build()?;
    let output = path("outputs/lora-ascend-sim");
    if output.exists() {
        std::fs::remove_dir_all(&output).context("removing what a former run wrote")?;
    }
    let mut run = Command::new(file("lora")?);
    simulate(&mut run, "schedule=random,seed=1")?;
    run.env("LD_LIBRARY_PATH", crate::programs::libtorch()).current_dir(path("."));
    // Half the passes of the CPU: every element of every operation takes its time here.
    let said = tee(run.args(["--device", "ascend:0", "--epochs", "10", "--output"]).arg(output))?;
    ensure!(said.code == Some(0), "the main job on the simulator ended with exit code {:?}", said.code);
    let (base, tuned) = parse(said.last_line())?;
    ensure!(tuned >= LEAST_TUNED && base < tuned, "accuracy on the simulator: base {base} tuned {tuned}");
    Ok(())
}
