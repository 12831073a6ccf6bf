//! Models that are loaded, and the objects that describe them.

pub(crate) mod dataset;
mod execute;

use crate::om::{GearKind, Om, Port};
use crate::runtime::stream::Touch;
use crate::state::{Outcome, Sim, code, fail};
use crate::types::DType;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vlm_ascend_sys::ACL_DYNAMIC_TENSOR_NAME;

/// What is told of a model. Descriptions keep it when the model is unloaded.
pub(crate) struct Info {
    pub(crate) om: Om,
    /// With the hidden one that takes the gear.
    pub(crate) inputs: Vec<Port>,
    pub(crate) input_names: Vec<CString>,
    pub(crate) output_names: Vec<CString>,
    /// The gear that was set last; the largest at first.
    gear: AtomicUsize,
}

impl Info {
    fn new(om: Om) -> Self {
        let mut inputs = om.header.inputs.clone();
        let mut largest = 0;
        if let Some(gears) = &om.header.gears {
            let n = gears.values.first().map_or(0, Vec::len) as i64;
            let name = ACL_DYNAMIC_TENSOR_NAME.to_string_lossy().into_owned();
            inputs.push(Port { name, dtype: DType::I32.to_acl(), dims: vec![(n, n)] });
            let elements = |g: &usize| gears.inputs[*g].iter().map(|d| d.iter().product::<usize>()).sum::<usize>();
            largest = (0..gears.values.len()).max_by_key(elements).unwrap_or(0);
        }
        let names = |all: &[Port]| all.iter().map(|p| CString::new(p.name.as_str()).unwrap_or_default()).collect();
        let (input_names, output_names) = (names(&inputs), names(&om.header.outputs));
        Info { om, inputs, input_names, output_names, gear: AtomicUsize::new(largest) }
    }

    pub(crate) fn gear(&self) -> usize {
        self.gear.load(Ordering::Relaxed)
    }

    /// Bytes of an input: of its largest shape, 0 where that is open.
    pub(crate) fn input_size(&self, index: usize) -> Option<usize> {
        let port = self.inputs.get(index)?;
        let size = port.element_type().bits() / 8;
        let of = |dims: &[usize]| dims.iter().product::<usize>() * size;
        Some(match (&self.om.header.gears, port.fixed()) {
            (_, Some(dims)) => of(&dims),
            (Some(gears), None) => gears.inputs.iter().map(|g| of(&g[index])).max().unwrap_or(0),
            (None, None) => 0,
        })
    }

    /// Bytes of an output, as of inputs.
    pub(crate) fn output_size(&self, index: usize) -> Option<usize> {
        let port = self.om.header.outputs.get(index)?;
        let size = port.element_type().bits() / 8;
        let of = |dims: &[usize]| dims.iter().product::<usize>() * size;
        Some(match (&self.om.header.gears, port.fixed()) {
            (Some(gears), _) => gears.outputs.iter().map(|g| of(&g[index])).max().unwrap_or(0),
            (None, Some(dims)) => of(&dims),
            (None, None) => 0,
        })
    }
}

/// A model on a device.
pub(crate) struct Model {
    pub(crate) info: Arc<Info>,
    context: u64,
    weights: Touch,
    work: Touch,
    /// Memory that the runtime allocated for it.
    owned: Vec<u64>,
}

/// All that are loaded.
#[derive(Default)]
pub(crate) struct Models {
    loaded: BTreeMap<u32, Model>,
    made: u32,
}

impl Models {
    pub(crate) fn count(&self) -> usize {
        self.loaded.len()
    }
}

/// Memory of the device that the caller has for a model: address and size.
pub(crate) type Given = Option<(u64, usize)>;

/// The bytes of a model file as a compiled model.
pub(crate) fn parse(bytes: &[u8]) -> Outcome<Om> {
    Om::read(bytes).or_else(|e| fail(code::PARSE_MODEL, format!("the model cannot be read: {e}")))
}

/// The bytes of a file.
pub(crate) fn file(path: Option<&str>) -> Outcome<Vec<u8>> {
    let Some(path) = path else { return fail(code::INVALID_PARAM, "the path is null") };
    std::fs::read(path).or_else(|e| fail(code::INVALID_FILE, format!("{path}: {e}")))
}

/// Bytes of working memory and weights, at least 32 of each.
pub(crate) fn sizes(om: &Om) -> (usize, usize) {
    (om.header.work.max(32), om.weights.len().max(32))
}

impl Sim {
    /// Loads a model, into memory that the caller has or into the runtime's own; its number.
    pub(crate) fn load_model(&mut self, name: &'static str, om: Om, work: Given, weights: Given) -> Outcome<u32> {
        self.ready(name)?;
        let context = self.current_context(name)?;
        let device = self.current_device(name)?;
        if om.header.soc != self.chip().soc {
            let (wanted, has) = (&om.header.soc, self.chip().soc);
            return fail(code::PARSE_MODEL, format!("the model was compiled for {wanted}; this is {has}"));
        }
        let (needs_work, needs_weights) = sizes(&om);
        let mut owned = Vec::new();
        let mut place = |sim: &mut Sim, what: &str, given: Given, needed: usize| match given {
            Some((address, size)) if size < needed => {
                fail(code::INVALID_PARAM, format!("{what} of {size} bytes at {address:#x}; {needed} are needed"))
            }
            Some((address, _)) if !sim.memory.holds(address, needed) => {
                sim.violation(format!("{name}: {what} is not memory of the device"));
                fail(code::INVALID_PARAM, format!("{what} is not memory of the device"))
            }
            Some((address, _)) => Ok(Touch { address, len: needed }),
            None => match sim.memory.allocate(device, needed) {
                Some(address) => {
                    owned.push(address);
                    Ok(Touch { address, len: needed })
                }
                None => fail(code::NO_MEMORY, format!("{name}: {needed} bytes for {what} are not there")),
            },
        };
        let placed = place(self, "the memory for weights", weights, needs_weights)
            .and_then(|w| Ok((w, place(self, "the working memory", work, needs_work)?)));
        let (weights, work) = match placed {
            Ok(both) => both,
            Err(e) => {
                owned.iter().for_each(|&a| _ = self.memory.free(a));
                return Err(e);
            }
        };
        self.memory.write(weights.address, om.weights.len())?.copy_from_slice(&om.weights);
        self.models.made += 1;
        let id = self.models.made;
        let model = Model { info: Arc::new(Info::new(om)), context, weights, work, owned };
        self.models.loaded.insert(id, model);
        Ok(id)
    }

    /// The model of that number, for a call in its context.
    pub(crate) fn model(&mut self, name: &str, id: u32) -> Outcome<&Model> {
        let Some(of) = self.models.loaded.get(&id).map(|m| m.context) else {
            self.violation(format!("{name} of a model that is not loaded"));
            return fail(code::INVALID_MODEL_ID, format!("{name}: no model {id} is loaded"));
        };
        if self.current_context(name)? != of {
            self.violation(format!("{name} of a model in another context than it was loaded in"));
            return fail(code::STREAM_CONTEXT, format!("{name}: the model belongs to another context"));
        }
        Ok(&self.models.loaded[&id])
    }

    /// `aclmdlUnload`.
    pub(crate) fn unload_model(&mut self, id: u32) -> Outcome {
        self.model("aclmdlUnload", id)?;
        let Some(model) = self.models.loaded.remove(&id) else { return Ok(()) };
        let range = model.weights.address..model.weights.address + model.weights.len as u64;
        if let Some(user) = self.streams.user_of(&range) {
            self.violation(format!("aclmdlUnload of a model that {user} still runs, which is queued"));
        }
        model.owned.iter().for_each(|&a| _ = self.memory.free(a));
        Ok(())
    }

    /// Chooses the gear of the next execution with this dataset: `values` go into the hidden input's memory at once.
    pub(crate) fn set_gear(
        &mut self,
        name: &'static str,
        id: u32,
        set: u64,
        index: usize,
        kind: GearKind,
        find: impl Fn(&Info) -> Option<usize>,
    ) -> Outcome {
        let info = self.model(name, id)?.info.clone();
        let Some(gears) = info.om.header.gears.as_ref().filter(|g| g.kind == kind) else {
            return fail(code::MODEL_NOT_DYNAMIC, format!("{name}: the model has no such gears"));
        };
        if index + 1 != info.inputs.len() {
            let name_of = ACL_DYNAMIC_TENSOR_NAME.to_string_lossy();
            self.violation(format!("{name} with the index {index}, which is not that of {name_of}"));
            return fail(code::INVALID_PARAM, format!("{name}: the gear is set by input {}", info.inputs.len() - 1));
        }
        let Some(gear) = find(&info) else {
            return fail(code::INVALID_PARAM, format!("{name}: no such gear; there are {:?}", gears.values));
        };
        let Some(buffer) = self.dataset(name, set)?.buffers.get(index).copied() else {
            return fail(code::INVALID_PARAM, format!("{name}: the dataset has no buffer {index}"));
        };
        let (address, size) = self.data_buffer(name, buffer)?;
        let bytes: Vec<u8> = gears.values[gear].iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
        if size < bytes.len() {
            return fail(code::INVALID_PARAM, format!("{name}: the buffer of the gear has {size} bytes"));
        }
        if self.streams.user_of(&(address..address + bytes.len() as u64)).is_some() {
            self.violation(format!("{name} while an execution that reads the gear's buffer is queued"));
        }
        self.memory.write(address, bytes.len())?.copy_from_slice(&bytes);
        info.gear.store(gear, Ordering::Relaxed);
        if let Some(d) = self.objects.other_mut::<dataset::Dataset>(set) {
            d.gear = true;
        }
        Ok(())
    }
}
