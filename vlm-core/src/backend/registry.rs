//! Which backends there are.

use super::{BACKEND_API, Device, Kernels, reference};
use crate::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A backend as the registry knows it: one per crate.
pub trait Backend: Send + Sync {
    /// The first part of its device strings: `"cpu"`, `"cuda"`.
    fn name(&self) -> &str;

    /// The [`BACKEND_API`] it was written against: `BACKEND_API` as its own crate sees it when it is compiled.
    fn api_version(&self) -> u32;

    /// The devices at hand, by ordinal. Finding none is no error; why there are none belongs into
    /// [`Backend::diagnose`].
    fn devices(&self) -> Vec<DeviceInfo>;

    /// Opens one of them.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] for an ordinal that is not there, naming those that are and the remedy.
    fn open(&self, ordinal: usize) -> Result<Arc<dyn Kernels>>;

    /// Libraries, versions, drivers, what is missing and the remedy, for `doctor`.
    fn diagnose(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// A device that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its number within the backend.
    pub ordinal: usize,
    /// What a person calls it.
    pub name: String,
    /// `"auto"` opens the device with the highest score: accelerators 100 and more, fast CPU backends 50, `ref` 0.
    pub score: i32,
}

impl DeviceInfo {
    /// A device.
    pub fn new(ordinal: usize, name: impl Into<String>, score: i32) -> Self {
        DeviceInfo { ordinal, name: name.into(), score }
    }
}

/// One fact that `doctor` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `"libtorch"`.
    pub what: String,
    /// What was found: `"2.11.0"`, `"not found in …"`.
    pub found: String,
    /// The exact remedy if something is wrong.
    pub remedy: Option<String>,
}

/// The backends that were registered and the devices that are open.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    backends: Vec<Arc<dyn Backend>>,
    open: HashMap<(String, usize), Device>,
}

/// Where the backends that core does not have come from.
const KNOWN: [(&str, &str); 4] = [
    ("cpu", "add the crate vlm-cpu and call vlm_cpu::register()"),
    (
        "cuda",
        "build the program with the feature cuda, add the crate vlm-cuda and call vlm_cuda::register(), or use the image vlm-cuda",
    ),
    ("torch-cpu", "build the program with the feature cuda, or add the crate vlm-cuda and call vlm_cuda::register()"),
    ("ascend", "add the crate vlm-ascend and call vlm_ascend::register(), or use the image vlm-ascend"),
];

impl Registry {
    /// The registry of this process, in which `ref` is always registered.
    pub fn global() -> &'static Registry {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(|| {
            let registry = Registry::default();
            registry.lock().backends.push(Arc::new(reference::ReferenceBackend));
            registry
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a backend. Adding one of the same name again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] if it was compiled against another [`BACKEND_API`].
    pub fn register(&self, backend: Arc<dyn Backend>) -> Result<()> {
        let (name, api) = (backend.name(), backend.api_version());
        if api != BACKEND_API {
            let message = format!("backend {name:?} was written for backend API {api}, this is {BACKEND_API}");
            return Err(Error::new(ErrorKind::Device, "register backend", message)
                .hint(format!("use a version of {name} made for this version of vlm-core")));
        }
        let mut state = self.lock();
        if !state.backends.iter().any(|b| b.name() == name) {
            state.backends.push(backend);
        }
        Ok(())
    }

    /// The registered backends, in order of registration.
    pub fn backends(&self) -> Vec<Arc<dyn Backend>> {
        self.lock().backends.clone()
    }

    /// Opens a device, see [`Device::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(&self, spec: &str) -> Result<Device> {
        if spec == "auto" {
            return self.open_best();
        }
        let (name, ordinal) = parse(spec)?;
        let Some(backend) = self.backends().into_iter().find(|b| b.name() == name) else {
            return Err(self.unknown(spec, name));
        };
        self.open_in(&*backend, ordinal)
    }

    /// Forgets the devices that are open. Each is closed when the last handle to it is gone, and opened anew if it is asked for again.
    pub fn close(&self) {
        // Taken out first: closing a device may take long, and may ask the registry.
        let open = std::mem::take(&mut self.lock().open);
        drop(open);
    }

    pub(super) fn reference(&self) -> Device {
        let found = self.open_in(&reference::ReferenceBackend, 0);
        found.unwrap_or_else(|_| unreachable!("the reference device has ordinal 0"))
    }

    fn open_in(&self, backend: &dyn Backend, ordinal: usize) -> Result<Device> {
        let key = (backend.name().to_owned(), ordinal);
        let mut state = self.lock();
        if let Some(device) = state.open.get(&key) {
            return Ok(device.clone());
        }
        let single = ordinal == 0 && backend.devices().len() <= 1 && ["cpu", "ref", "torch-cpu"].contains(&&*key.0);
        let name = if single { key.0.clone() } else { format!("{}:{ordinal}", key.0) };
        let device = Device::from_kernels(name, backend.open(ordinal)?);
        state.open.insert(key, device.clone());
        Ok(device)
    }

    fn open_best(&self) -> Result<Device> {
        let mut found: Vec<_> = Vec::new();
        for backend in self.backends() {
            found.extend(backend.devices().into_iter().map(|info| (info.score, info.ordinal, backend.clone())));
        }
        // Highest score first, then lowest ordinal; one that does not open is passed over with a warning.
        found.sort_by_key(|(score, ordinal, _)| (-score, *ordinal));
        for (_, ordinal, backend) in found {
            match self.open_in(&*backend, ordinal) {
                Ok(device) => return Ok(device),
                Err(e) => tracing::warn!("device {}:{ordinal} does not open: {e}", backend.name()),
            }
        }
        Ok(self.reference())
    }

    fn unknown(&self, spec: &str, name: &str) -> Error {
        let names: Vec<String> = self.backends().iter().map(|b| b.name().to_owned()).collect();
        let error = Error::new(ErrorKind::Device, "open device", format!("unknown device {spec:?}"))
            .with("registered", names.join(", "));
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, remedy)) => error.hint(*remedy),
            None => error.hint("use auto, ref, cpu, cuda:0, torch-cpu or ascend:0"),
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.backends().iter().map(|b| b.name().to_owned())).finish()
    }
}

fn parse(spec: &str) -> Result<(&str, usize)> {
    let Some((name, ordinal)) = spec.split_once(':') else {
        return Ok((spec, 0));
    };
    match ordinal.parse() {
        Ok(n) if ordinal.bytes().all(|b| b.is_ascii_digit()) => Ok((name, n)),
        _ => Err(Error::new(ErrorKind::Device, "open device", format!("{spec:?} has no number after the colon"))
            .hint("write a name and an ordinal, such as cuda:0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_are_named_with_what_is_there_and_the_remedy() {
        let e = Device::open("cuda:1").unwrap_err().to_string();
        assert!(e.contains("\"cuda:1\"") && e.contains("registered: ref") && e.contains("vlm-cuda"), "{e}");
        for bad in ["cuda:x", "cuda:", "ref:+1", "ref:-1", "", "REF", "ref:7"] {
            assert_eq!(Device::open(bad).unwrap_err().kind(), ErrorKind::Device, "{bad}");
        }
    }

    #[test]
    fn a_device_is_opened_once() {
        assert_eq!(Device::open("ref").unwrap(), Device::reference());
        assert_eq!(Device::open("ref:0").unwrap(), Device::reference());
    }
}
