//! Models: loading, describing, choosing gears, running.

use crate::abi::{Out, Ref, Text, Values, exports};
use crate::model::{Given, Info, file, parse, sizes};
use crate::objects::Object;
use crate::om::{GearKind, Om, Port};
use crate::state::{Outcome, Sim, call, code, fail, make, with};
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;
use vlm_ascend_sys::{aclmdlBatch, aclmdlDesc, aclmdlHW, aclmdlIODims, aclmdlIODimsRange};

/// An `aclmdlDesc`; empty until `aclmdlGetDesc`.
#[derive(Default)]
struct Desc(Option<Arc<Info>>);

/// The formats that inputs and outputs are said to have.
const NCHW: i32 = 0;
const ND: i32 = 2;

/// Longer names do not fit into the interface's structs.
const LONGEST: usize = 127;

impl Sim {
    fn info(&mut self, name: &str, desc: Ref) -> Outcome<Arc<Info>> {
        match self.objects.other::<Desc>(desc.id()) {
            Some(Desc(Some(info))) => Ok(info.clone()),
            Some(Desc(None)) => fail(code::INVALID_PARAM, format!("{name}: the description is empty")),
            None => {
                self.violation(format!("{name} of a description that was destroyed or never made"));
                fail(code::INVALID_PARAM, format!("{name}: no such description"))
            }
        }
    }
}

fn no_index<T>(name: &str, index: usize) -> Outcome<T> {
    fail(code::INVALID_PARAM, format!("{name}: there is no index {index}"))
}

/// What a call that cannot fail says of a model.
fn ask<T>(name: &str, desc: Ref, default: T, f: impl FnOnce(&Info) -> Option<T>) -> T {
    with(|sim| sim.info(name, desc)).ok().and_then(|info| f(&info)).unwrap_or(default)
}

fn io_dims(name: &CStr, sizes: &[i64]) -> aclmdlIODims {
    let mut made = aclmdlIODims { name: [0; 128], dimCount: sizes.len(), dims: [0; 128] };
    for (to, &from) in made.name.iter_mut().zip(name.to_bytes().iter().take(LONGEST)) {
        *to = from as c_char;
    }
    made.dims[..sizes.len()].copy_from_slice(sizes);
    made
}

fn open_as_minus_one(port: &Port) -> Vec<i64> {
    port.dims.iter().map(|&(lo, hi)| if lo == hi { lo } else { -1 }).collect()
}

fn format(port: &Port) -> i32 {
    if port.dims.len() == 4 { NCHW } else { ND }
}

fn index_of(names: &[std::ffi::CString], wanted: &Text, index: Out<usize>) -> Outcome {
    let wanted = wanted.get().unwrap_or_default();
    match names.iter().position(|n| n.to_bytes() == wanted.as_bytes()) {
        Some(i) => index.put(i),
        None => fail(code::INVALID_PARAM, format!("the model has no {wanted:?}; it has {names:?}")),
    }
}

fn given(address: *mut c_void, size: usize) -> Given {
    (!address.is_null()).then_some((address as usize as u64, size))
}

fn query(bytes: &[u8], work: Out<usize>, weights: Out<usize>) -> Outcome {
    let om = parse(bytes)?;
    if om.header.is_open() {
        return fail(code::INVALID_PARAM, "the sizes of a model with open shapes are not known before it runs");
    }
    let (needs_work, needs_weights) = sizes(&om);
    work.put(needs_work)?;
    weights.put(needs_weights)
}

fn in_memory(model: &Values<u8>, size: usize) -> Outcome<Om> {
    match model.get(size as u64) {
        Some(bytes) => parse(&bytes),
        None => fail(code::INVALID_PARAM, "the model is null"),
    }
}

fn dims_of_input(name: &'static str, desc: Ref, index: usize, dims: Out<aclmdlIODims>) -> i32 {
    call(name, |sim| {
        let info = sim.info(name, desc)?;
        let Some(port) = info.inputs.get(index) else { return no_index(name, index) };
        dims.put(io_dims(&info.input_names[index], &open_as_minus_one(port)))
    })
}

exports! {
    fn aclmdlQuerySize(path: Text, work: Out<usize>, weights: Out<usize>) -> i32 {
        call("aclmdlQuerySize", |_| query(&file(path.get().as_deref())?, work, weights))
    }

    fn aclmdlQuerySizeFromMem(model: Values<u8>, size: usize, work: Out<usize>, weights: Out<usize>) -> i32 {
        call("aclmdlQuerySizeFromMem", |_| match model.get(size as u64) {
            Some(bytes) => query(&bytes, work, weights),
            None => fail(code::INVALID_PARAM, "the model is null"),
        })
    }

    fn aclmdlLoadFromFile(path: Text, id: Out<u32>) -> i32 {
        call("aclmdlLoadFromFile", |sim| {
            let om = parse(&file(path.get().as_deref())?)?;
            id.put(sim.load_model("aclmdlLoadFromFile", om, None, None)?)
        })
    }

    fn aclmdlLoadFromMem(model: Values<u8>, size: usize, id: Out<u32>) -> i32 {
        call("aclmdlLoadFromMem", |sim| {
            let om = in_memory(&model, size)?;
            id.put(sim.load_model("aclmdlLoadFromMem", om, None, None)?)
        })
    }

    fn aclmdlLoadFromFileWithMem(
        path: Text,
        id: Out<u32>,
        work: *mut c_void,
        work_size: usize,
        weights: *mut c_void,
        weights_size: usize,
    ) -> i32 {
        let name = "aclmdlLoadFromFileWithMem";
        call(name, |sim| {
            let om = parse(&file(path.get().as_deref())?)?;
            id.put(sim.load_model(name, om, given(work, work_size), given(weights, weights_size))?)
        })
    }

    fn aclmdlLoadFromMemWithMem(
        model: Values<u8>,
        size: usize,
        id: Out<u32>,
        work: *mut c_void,
        work_size: usize,
        weights: *mut c_void,
        weights_size: usize,
    ) -> i32 {
        let name = "aclmdlLoadFromMemWithMem";
        call(name, |sim| {
            let om = in_memory(&model, size)?;
            id.put(sim.load_model(name, om, given(work, work_size), given(weights, weights_size))?)
        })
    }

    fn aclmdlUnload(id: u32) -> i32 {
        call("aclmdlUnload", |sim| sim.unload_model(id))
    }

    fn aclmdlCreateDesc() -> *mut aclmdlDesc {
        make("aclmdlCreateDesc", |sim| {
            Ok(sim.objects.add(Object::Other("model descriptions", Box::new(Desc::default()))))
        })
    }

    fn aclmdlDestroyDesc(desc: Ref) -> i32 {
        call("aclmdlDestroyDesc", |sim| {
            if sim.objects.other::<Desc>(desc.id()).is_none() {
                sim.violation("aclmdlDestroyDesc of a description that was destroyed or never made");
                return fail(code::INVALID_PARAM, "no such description");
            }
            sim.objects.remove(desc.id());
            Ok(())
        })
    }

    fn aclmdlGetDesc(desc: Ref, id: u32) -> i32 {
        call("aclmdlGetDesc", |sim| {
            let info = sim.model("aclmdlGetDesc", id)?.info.clone();
            match sim.objects.other_mut::<Desc>(desc.id()) {
                Some(d) => d.0 = Some(info),
                None => {
                    sim.violation("aclmdlGetDesc into a description that was destroyed or never made");
                    return fail(code::INVALID_PARAM, "no such description");
                }
            }
            Ok(())
        })
    }

    fn aclmdlGetNumInputs(desc: Ref) -> usize {
        ask("aclmdlGetNumInputs", desc, 0, |i| Some(i.inputs.len()))
    }

    fn aclmdlGetNumOutputs(desc: Ref) -> usize {
        ask("aclmdlGetNumOutputs", desc, 0, |i| Some(i.output_names.len()))
    }

    fn aclmdlGetInputSizeByIndex(desc: Ref, index: usize) -> usize {
        ask("aclmdlGetInputSizeByIndex", desc, 0, |i| i.input_size(index))
    }

    fn aclmdlGetOutputSizeByIndex(desc: Ref, index: usize) -> usize {
        ask("aclmdlGetOutputSizeByIndex", desc, 0, |i| i.output_size(index))
    }

    fn aclmdlGetInputDims(desc: Ref, index: usize, dims: Out<aclmdlIODims>) -> i32 {
        dims_of_input("aclmdlGetInputDims", desc, index, dims)
    }

    fn aclmdlGetInputDimsV2(desc: Ref, index: usize, dims: Out<aclmdlIODims>) -> i32 {
        dims_of_input("aclmdlGetInputDimsV2", desc, index, dims)
    }

    fn aclmdlGetInputDimsRange(desc: Ref, index: usize, range: Out<aclmdlIODimsRange>) -> i32 {
        let name = "aclmdlGetInputDimsRange";
        call(name, |sim| {
            let info = sim.info(name, desc)?;
            let Some(port) = info.inputs.get(index) else { return no_index(name, index) };
            let mut made = aclmdlIODimsRange { rangeCount: 0, range: [[0; 2]; 128] };
            if info.om.header.gears.is_none() {
                made.rangeCount = port.dims.len();
                made.range.iter_mut().zip(&port.dims).for_each(|(to, &(lo, hi))| *to = [lo, hi]);
            }
            range.put(made)
        })
    }

    /// The largest shape.
    fn aclmdlGetOutputDims(desc: Ref, index: usize, dims: Out<aclmdlIODims>) -> i32 {
        let name = "aclmdlGetOutputDims";
        call(name, |sim| {
            let info = sim.info(name, desc)?;
            let Some(port) = info.om.header.outputs.get(index) else { return no_index(name, index) };
            dims.put(io_dims(&info.output_names[index], &open_as_minus_one(port)))
        })
    }

    /// The shape in the gear that was set last.
    fn aclmdlGetCurOutputDims(desc: Ref, index: usize, dims: Out<aclmdlIODims>) -> i32 {
        let name = "aclmdlGetCurOutputDims";
        call(name, |sim| {
            let info = sim.info(name, desc)?;
            let Some(port) = info.om.header.outputs.get(index) else { return no_index(name, index) };
            let sizes = match &info.om.header.gears {
                Some(gears) => gears.outputs[info.gear()][index].iter().map(|&d| d as i64).collect(),
                None if port.fixed().is_some() => open_as_minus_one(port),
                None => return fail(code::INVALID_PARAM, format!("{name}: the shape of output {index} is open")),
            };
            dims.put(io_dims(&info.output_names[index], &sizes))
        })
    }

    /// The text lives as long as the description.
    fn aclmdlGetInputNameByIndex(desc: Ref, index: usize) -> *const c_char {
        ask("aclmdlGetInputNameByIndex", desc, std::ptr::null(), |i| Some(i.input_names.get(index)?.as_ptr()))
    }

    fn aclmdlGetOutputNameByIndex(desc: Ref, index: usize) -> *const c_char {
        ask("aclmdlGetOutputNameByIndex", desc, std::ptr::null(), |i| Some(i.output_names.get(index)?.as_ptr()))
    }

    fn aclmdlGetInputIndexByName(desc: Ref, name: Text, index: Out<usize>) -> i32 {
        call("aclmdlGetInputIndexByName", |sim| {
            index_of(&sim.info("aclmdlGetInputIndexByName", desc)?.input_names, &name, index)
        })
    }

    fn aclmdlGetOutputIndexByName(desc: Ref, name: Text, index: Out<usize>) -> i32 {
        call("aclmdlGetOutputIndexByName", |sim| {
            index_of(&sim.info("aclmdlGetOutputIndexByName", desc)?.output_names, &name, index)
        })
    }

    fn aclmdlGetInputDataType(desc: Ref, index: usize) -> i32 {
        ask("aclmdlGetInputDataType", desc, -1, |i| Some(i.inputs.get(index)?.dtype))
    }

    fn aclmdlGetOutputDataType(desc: Ref, index: usize) -> i32 {
        ask("aclmdlGetOutputDataType", desc, -1, |i| Some(i.om.header.outputs.get(index)?.dtype))
    }

    fn aclmdlGetInputFormat(desc: Ref, index: usize) -> i32 {
        ask("aclmdlGetInputFormat", desc, -1, |i| i.inputs.get(index).map(format))
    }

    fn aclmdlGetOutputFormat(desc: Ref, index: usize) -> i32 {
        ask("aclmdlGetOutputFormat", desc, -1, |i| i.om.header.outputs.get(index).map(format))
    }

    fn aclmdlGetDynamicBatch(desc: Ref, batch: Out<aclmdlBatch>) -> i32 {
        call("aclmdlGetDynamicBatch", |sim| {
            let info = sim.info("aclmdlGetDynamicBatch", desc)?;
            let mut made = aclmdlBatch { batchCount: 0, batch: [0; 128] };
            if let Some(gears) = info.om.header.gears.as_ref().filter(|g| g.kind == GearKind::Batch) {
                made.batchCount = gears.values.len();
                made.batch.iter_mut().zip(&gears.values).for_each(|(to, v)| *to = v[0]);
            }
            batch.put(made)
        })
    }

    fn aclmdlGetDynamicHW(desc: Ref, _index: usize, sizes: Out<aclmdlHW>) -> i32 {
        call("aclmdlGetDynamicHW", |sim| {
            let info = sim.info("aclmdlGetDynamicHW", desc)?;
            let mut made = aclmdlHW { hwCount: 0, hw: [[0; 2]; 128] };
            if let Some(gears) = info.om.header.gears.as_ref().filter(|g| g.kind == GearKind::ImageSize) {
                made.hwCount = gears.values.len();
                made.hw.iter_mut().zip(&gears.values).for_each(|(to, v)| *to = [v[0], v[1]]);
            }
            sizes.put(made)
        })
    }

    fn aclmdlGetInputDynamicGearCount(desc: Ref, _index: usize, count: Out<usize>) -> i32 {
        call("aclmdlGetInputDynamicGearCount", |sim| {
            let info = sim.info("aclmdlGetInputDynamicGearCount", desc)?;
            let gears = info.om.header.gears.as_ref().filter(|g| g.kind == GearKind::Dims);
            count.put(gears.map_or(0, |g| g.values.len()))
        })
    }

    /// The dimensions of all inputs in a row, for each gear.
    fn aclmdlGetInputDynamicDims(desc: Ref, _index: usize, dims: Out<aclmdlIODims>, count: usize) -> i32 {
        let name = "aclmdlGetInputDynamicDims";
        call(name, |sim| {
            let info = sim.info(name, desc)?;
            let gears = info.om.header.gears.as_ref().filter(|g| g.kind == GearKind::Dims);
            let Some(gears) = gears.filter(|g| g.inputs.len() <= count) else {
                return fail(code::INVALID_PARAM, format!("{name}: there is no room for the gears, or there are none"));
            };
            let row = |g: &Vec<Vec<usize>>| io_dims(c"", &g.iter().flatten().map(|&d| d as i64).collect::<Vec<_>>());
            dims.put_all(gears.inputs.iter().map(row))
        })
    }

    fn aclmdlSetDynamicBatchSize(id: u32, set: Ref, index: usize, batch: u64) -> i32 {
        let name = "aclmdlSetDynamicBatchSize";
        call(name, |sim| {
            let find = |i: &Info| i.om.header.gears.as_ref()?.values.iter().position(|v| v[..] == [batch]);
            sim.set_gear(name, id, set.id(), index, GearKind::Batch, find)
        })
    }

    fn aclmdlSetDynamicHWSize(id: u32, set: Ref, index: usize, height: u64, width: u64) -> i32 {
        let name = "aclmdlSetDynamicHWSize";
        call(name, |sim| {
            let find = |i: &Info| i.om.header.gears.as_ref()?.values.iter().position(|v| v[..] == [height, width]);
            sim.set_gear(name, id, set.id(), index, GearKind::ImageSize, find)
        })
    }

    fn aclmdlSetInputDynamicDims(id: u32, set: Ref, index: usize, dims: Values<aclmdlIODims>) -> i32 {
        let name = "aclmdlSetInputDynamicDims";
        call(name, |sim| {
            let Some([wanted]) = dims.get(1).and_then(|d| <[aclmdlIODims; 1]>::try_from(d).ok()) else {
                return fail(code::INVALID_PARAM, format!("{name}: the dimensions are null"));
            };
            let wanted = &wanted.dims[..wanted.dimCount.min(128)];
            let is = |g: &Vec<Vec<usize>>| g.iter().flatten().map(|&d| d as i64).eq(wanted.iter().copied());
            let find = |i: &Info| i.om.header.gears.as_ref()?.inputs.iter().position(is);
            sim.set_gear(name, id, set.id(), index, GearKind::Dims, find)
        })
    }

    fn aclmdlExecute(id: u32, inputs: Ref, outputs: Ref) -> i32 {
        call("aclmdlExecute", |sim| sim.execute_model(id, inputs.id(), outputs.id()))
    }

    fn aclmdlExecuteAsync(id: u32, inputs: Ref, outputs: Ref, stream: Ref) -> i32 {
        call("aclmdlExecuteAsync", |sim| sim.execute_async(id, inputs.id(), outputs.id(), stream.id()))
    }

    fn aclmdlInitDump() -> i32 {
        call("aclmdlInitDump", |_| Ok(()))
    }

    fn aclmdlSetDump(config: Text) -> i32 {
        call("aclmdlSetDump", |_| match config.get() {
            Some(path) if std::path::Path::new(&path).is_file() => Ok(()),
            _ => fail(code::INVALID_FILE, "aclmdlSetDump: there is no such file"),
        })
    }

    fn aclmdlFinalizeDump() -> i32 {
        call("aclmdlFinalizeDump", |_| Ok(()))
    }
}
