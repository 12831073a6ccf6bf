//! What `doctor` shows: driver, CANN, chip, device nodes.

use crate::library::{Library, Missing};
use crate::runtime::{device_count, soc_name};
use std::path::Path;
use vlm_core::backend::Finding;

fn finding(what: &str, found: impl Into<String>, remedy: Option<&str>) -> Finding {
    Finding { what: what.to_owned(), found: found.into(), remedy: remedy.map(str::to_owned) }
}

/// The nodes that every container needs beside the devices themselves.
const NODES: [&str; 3] = ["davinci_manager", "devmm_svm", "hisi_hdc"];
/// Where the driver's installer puts its version.
const DRIVER: &str = "/usr/local/Ascend/driver/version.info";

/// The driver's version, from the text of its file.
fn driver_version(text: &str) -> Option<&str> {
    text.lines().find_map(|l| l.strip_prefix("Version=").or_else(|| l.strip_prefix("version="))).map(str::trim)
}

fn driver() -> Finding {
    match std::fs::read_to_string(DRIVER) {
        Ok(text) => finding("driver", driver_version(&text).unwrap_or("an unknown version"), None),
        Err(_) => finding(
            "driver",
            format!("no {DRIVER}"),
            Some(
                "install the Ascend HDK driver; in a container mount /usr/local/Ascend/driver/lib64 and version.info from the host",
            ),
        ),
    }
}

/// The numbers of `/dev/davinci*` in a folder.
fn numbers(folder: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut found: Vec<u32> = names.filter_map(|n| n.strip_prefix("davinci")?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// What the device nodes in a folder, `/dev`, are.
fn nodes(folder: &Path) -> Finding {
    let cards = numbers(folder);
    let missing: Vec<&str> = NODES.into_iter().filter(|n| !folder.join(n).exists()).collect();
    if cards.is_empty() {
        return finding(
            "device nodes",
            "no /dev/davinci*",
            Some(
                "there is no NPU here, or the container lacks it: docker run --device /dev/davinci0 --device /dev/davinci_manager --device /dev/devmm_svm --device /dev/hisi_hdc, or --runtime=ascend -e ASCEND_VISIBLE_DEVICES=0",
            ),
        );
    }
    let shown: Vec<String> = cards.iter().map(|n| format!("davinci{n}")).collect();
    if let Some(first) = missing.first() {
        let remedy =
            format!("docker run --device /dev/{first} (needed: /dev/davinci_manager, /dev/devmm_svm, /dev/hisi_hdc)");
        return finding(
            "device nodes",
            format!("{}; missing: {}", shown.join(", "), missing.join(", ")),
            Some(&remedy),
        );
    }
    let closed = cards
        .iter()
        .find(|n| std::fs::OpenOptions::new().read(true).write(true).open(folder.join(format!("davinci{n}"))).is_err());
    match closed {
        Some(n) => finding(
            "device nodes",
            format!("{}; /dev/davinci{n} cannot be opened", shown.join(", ")),
            Some("give the user the group of /dev/davinci* (HwHiAiUser): docker run --group-add GID"),
        ),
        None => finding("device nodes", shown.join(", "), None),
    }
}

fn libraries(missing: &Missing) -> Vec<Finding> {
    let mut all = vec![finding("CANN", missing.what.clone(), Some(&missing.remedy))];
    let tried: Vec<String> = missing.attempts.iter().filter(|a| a.problem.is_some()).map(ToString::to_string).collect();
    if !tried.is_empty() {
        all.push(finding("libraries tried", tried.join("; "), None));
    }
    all
}

/// Everything, in the order in which it has to be right.
pub(crate) fn findings() -> Vec<Finding> {
    let library = match Library::get() {
        Ok(library) => library,
        Err(missing) => {
            let mut all = vec![driver(), nodes(Path::new("/dev"))];
            all.extend(libraries(missing));
            return all;
        }
    };
    let mut all = Vec::new();
    if library.is_simulator() {
        all.push(finding("simulator", "these are the simulator's libraries: nothing here runs on an NPU", None));
    } else {
        all.extend([driver(), nodes(Path::new("/dev"))]);
    }
    all.push(finding("CANN", library.cann_version().unwrap_or_else(|| "an unknown version".to_owned()), None));
    all.push(finding("libraries", library.files().join(", "), None));
    match (device_count(library), soc_name(library)) {
        (Ok(0), _) | (Err(_), _) => {
            let visible = std::env::var("ASCEND_RT_VISIBLE_DEVICES").ok();
            let remedy = match visible {
                Some(_) => "ASCEND_RT_VISIBLE_DEVICES hides the devices: unset it or name those that are there",
                None => crate::error::remedy(207_004),
            };
            all.push(finding("devices", "the runtime finds none", Some(remedy)));
        }
        (Ok(n), soc) => {
            let soc = soc.unwrap_or_else(|| "an unknown chip".to_owned());
            all.push(finding("devices", format!("{n} x {soc}"), None));
            let chip = crate::chip::Chip::of(&soc);
            if !chip.has_bf16() {
                all.push(finding("bf16", format!("{soc} has none: use f16"), None));
            }
        }
    }
    if let Ok(visible) = std::env::var("ASCEND_RT_VISIBLE_DEVICES") {
        all.push(finding("ASCEND_RT_VISIBLE_DEVICES", visible, None));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_tells_its_version() {
        assert_eq!(driver_version("Version=25.2.0\nascendhal_version=7.35.23\n"), Some("25.2.0"));
        assert_eq!(driver_version("nothing"), None);
    }

    #[test]
    fn missing_nodes_are_named_with_the_remedy() {
        let dir = std::env::temp_dir().join(format!("vlm-ascend-nodes-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert!(nodes(&dir).remedy.unwrap().contains("--device /dev/davinci0"));
        for name in ["davinci1", "davinci0", "devmm_svm", "davinci_manager"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let found = nodes(&dir);
        assert_eq!(found.found, "davinci0, davinci1; missing: hisi_hdc");
        assert!(found.remedy.unwrap().contains("/dev/hisi_hdc"));
        std::fs::write(dir.join("hisi_hdc"), "").unwrap();
        assert_eq!(nodes(&dir).remedy, None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
