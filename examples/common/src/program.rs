//! What every program does at its start and end: devices, logs, signals, progress bars.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vlm_core::Device;
use vlm_core::train::report::{Progress, ProgressSink, metrics};

/// Makes the backends known that this program was built with, and opens a device.
///
/// # Errors
/// If there is no such device: the error says which ones there are.
pub fn open_device(spec: &str) -> Result<Device> {
    register()?;
    Ok(Device::open(spec)?)
}

/// Makes the backends known that this program was built with.
///
/// # Errors
/// If one was written for another version of the library.
pub fn register() -> Result<()> {
    #[cfg(feature = "cpu")]
    vlm_cpu::register()?;
    #[cfg(feature = "cuda")]
    vlm_cuda::register()?;
    #[cfg(feature = "ascend")]
    vlm_ascend::register()?;
    Ok(())
}

/// Closes the devices: an accelerator is given back before the process goes.
pub fn close() {
    vlm_core::backend::Registry::global().close();
}

/// What a program ends with: devices are closed; an error is told and gives the exit code 2.
pub fn end(result: Result<()>) -> ExitCode {
    close();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            #[allow(clippy::print_stderr)] // The last words of a failing program.
            {
                eprintln!("error: {e:#}");
            }
            ExitCode::from(2)
        }
    }
}

/// Sets the number of threads of the backends that compute on the processors.
pub fn set_threads(threads: Option<usize>) {
    if let Some(_n) = threads {
        #[cfg(feature = "cpu")]
        vlm_cpu::set_num_threads(_n);
        #[cfg(feature = "cuda")]
        vlm_cuda::set_num_threads(_n);
    }
}

/// Log lines go to standard error, as much as `RUST_LOG` asks for (warnings otherwise).
pub fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Fails only if somebody set up logs before, whose choice then stands.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).try_init();
}

/// A flag that Ctrl-C and SIGTERM set. A second signal ends the program at once.
///
/// # Errors
/// If signals cannot be handled.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("handling signals")?;
    Ok(flag)
}

/// The most memory that a run took: resident in this process, and what the device's allocator counted, as text.
pub fn peak_memory(device: &Device) -> String {
    let resident = metrics::memory_use().map_or_else(|| "unknown".to_owned(), |m| format!("{} MiB", m.peak >> 20));
    match device.kernels().memory_stats().peak_allocated {
        0 => resident,
        bytes => format!("{resident}, of tensors on {device} {} MiB", bytes >> 20),
    }
}

/// A progress bar on standard error, or plain lines where that is no terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    lines: bool,
    every: u64,
}

impl Bar {
    /// A bar called `name`; without a terminal, a line each `every` steps.
    pub fn new(name: &str, every: u64) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let target = if lines { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        Bar { bar, lines, every: every.max(1) }
    }

    fn line(&self, text: &str) {
        #[allow(clippy::print_stderr)] // Where there is no bar, lines are the progress display.
        if self.lines {
            eprintln!("{} {text}", self.bar.prefix());
        } else {
            self.bar.println(text);
        }
    }
}

impl ProgressSink for Bar {
    fn step(&mut self, progress: &Progress) {
        self.bar.set_length(progress.total_steps);
        self.bar.set_position(progress.current_steps);
        self.bar.set_message(progress.line());
        if self.lines
            && (progress.current_steps.is_multiple_of(self.every) || progress.current_steps == progress.total_steps)
        {
            self.line(&progress.line());
        }
    }

    fn message(&mut self, text: &str) {
        self.line(text);
    }

    fn finish(&mut self, _progress: &Progress) {
        self.bar.finish();
    }
}
