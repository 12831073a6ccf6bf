//! What is simulated, as the environment says.
//!
//! `VLM_ASCEND_SIM` is a list of settings, `chip=Ascend310P3,schedule=random,seed=7`; see the README for all of them.
//! `ASCEND_RT_VISIBLE_DEVICES` is honoured as the vendor's runtime does.

use crate::chip::{CHIPS, Chip};
use crate::fault::Injection;
use std::path::PathBuf;

/// When queued work runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Not before someone waits for it.
    Delayed,
    /// At any time: after every call some streams go on, in an order that the seed decides.
    Random,
    /// At once, as far as events allow.
    Eager,
}

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) chip: &'static Chip,
    pub(crate) schedule: Schedule,
    pub(crate) seed: u64,
    /// Bytes of a device.
    pub(crate) memory: usize,
    /// Physical numbers of the devices that the process sees, in its order.
    pub(crate) devices: Vec<u32>,
    /// Whether a process with violations or leaks ends with code 86.
    pub(crate) strict: bool,
    /// Where the report is written as JSON, besides the line on standard error.
    pub(crate) report: Option<PathBuf>,
    /// The version of CANN that is told.
    pub(crate) cann: String,
    pub(crate) faults: Vec<Injection>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            chip: &CHIPS[0],
            schedule: Schedule::Delayed,
            seed: 0,
            memory: 32 << 30,
            devices: vec![0],
            strict: false,
            report: None,
            cann: "8.3.RC1".to_owned(),
            faults: Vec::new(),
        }
    }
}

/// A size with an optional unit: `4G`, `512M`, `1000`.
fn size(text: &str) -> Option<usize> {
    let (number, unit) = match text.as_bytes().last()? {
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        _ => (text, 0),
    };
    number.parse::<usize>().ok()?.checked_mul(1 << unit)
}

impl Config {
    /// The settings of this process.
    ///
    /// # Errors
    /// The setting that was not understood, with those that there are.
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut config = Config::default();
        config.apply(&std::env::var("VLM_ASCEND_SIM").unwrap_or_default())?;
        if let Ok(visible) = std::env::var("ASCEND_RT_VISIBLE_DEVICES") {
            // As the runtime does: up to the first number that is none or not there.
            let there = config.devices.len() as u32;
            config.devices =
                visible.split(',').map_while(|n| n.trim().parse().ok()).take_while(|&n: &u32| n < there).collect();
        }
        Ok(config)
    }

    /// Changes the settings that `text` names.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub(crate) fn apply(&mut self, text: &str) -> Result<(), String> {
        for setting in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting:?} has no value"))?;
            self.set(key, value).ok_or_else(|| {
                let chips: Vec<_> = CHIPS.iter().map(|c| c.soc).collect();
                format!(
                    "{setting:?} is not understood: chip={chips:?}, schedule=delayed|random|eager, seed=N, memory=SIZE, \
                     devices=N, strict=0|1, report=PATH, cann=VERSION, fault=CALL#N=CODE"
                )
            })?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "chip" => self.chip = Chip::named(value)?,
            "schedule" => {
                self.schedule = match value {
                    "delayed" => Schedule::Delayed,
                    "random" => Schedule::Random,
                    "eager" => Schedule::Eager,
                    _ => return None,
                }
            }
            "seed" => self.seed = value.parse().ok()?,
            "memory" => self.memory = size(value)?,
            "devices" => self.devices = (0..value.parse().ok()?).collect(),
            "strict" => self.strict = value == "1",
            "report" => self.report = Some(value.into()),
            "cann" => value.clone_into(&mut self.cann),
            "fault" => self.faults.push(Injection::parse(value)?),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let mut c = Config::default();
        c.apply("chip=ascend310p3, schedule=random,seed=7,memory=3M,fault=aclrtMalloc#2=207001").unwrap();
        assert_eq!((c.chip.soc, c.schedule, c.seed, c.memory), ("Ascend310P3", Schedule::Random, 7, 3 << 20));
        assert_eq!(c.faults.len(), 1);
        for bad in ["chip=H100", "seed", "schedule=soon", "memory=much", "fault=aclrtMalloc"] {
            assert!(c.apply(bad).is_err(), "{bad}");
        }
    }
}
