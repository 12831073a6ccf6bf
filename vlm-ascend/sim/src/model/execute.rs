//! Running a model.

use super::Info;
use super::dataset::Description;
use crate::om::value::Value;
use crate::plan::{Fault, Kernel, fault};
use crate::run::Run;
use crate::runtime::stream::{Task, Touch, Work};
use crate::state::{Outcome, Sim, code, fail};
use std::sync::{Arc, Mutex, PoisonError};

/// What an execution has computed, for outputs whose memory the runtime is to allocate.
type Results = Arc<Mutex<Vec<Value>>>;

/// How an execution knows the shapes of its inputs.
#[derive(Clone)]
enum Shapes {
    /// They were given by the caller, or are the model's only ones.
    Known(Vec<Vec<usize>>),
    /// The hidden input says them when it runs.
    Gear,
}

/// One execution.
struct Job {
    info: Arc<Info>,
    shapes: Shapes,
    weights: Touch,
    inputs: Vec<Touch>,
    /// Without memory where the runtime is to allocate it.
    outputs: Vec<Option<Touch>>,
    results: Results,
}

impl Job {
    fn shapes(&self, run: &Run<'_>) -> Result<Vec<Vec<usize>>, Fault> {
        let (Shapes::Gear, Some(gears), Some(place)) = (&self.shapes, &self.info.om.header.gears, self.inputs.last())
        else {
            let Shapes::Known(shapes) = &self.shapes else { return Err(fault("the model has no gears")) };
            return Ok(shapes.clone());
        };
        let n = gears.values.first().map_or(0, Vec::len) * 4;
        let bytes = run.memory.read(place.address, n)?;
        let found: Vec<u64> =
            bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as u64).collect();
        match gears.values.iter().position(|v| *v == found) {
            Some(g) => Ok(gears.inputs[g].clone()),
            None => Err(fault(format!("the gear's buffer says {found:?}, which is none of {:?}", gears.values))),
        }
    }

    fn run(&self, run: &mut Run<'_>) -> Result<(), Fault> {
        let mut values = Vec::new();
        for ((dims, port), place) in self.shapes(run)?.into_iter().zip(&self.info.om.header.inputs).zip(&self.inputs) {
            let dtype = port.element_type();
            let bytes = run.memory.read(place.address, dims.iter().product::<usize>() * dtype.bits() / 8)?;
            values.push(Value::decode(dtype, dims, bytes).map_err(fault)?);
        }
        let om = &self.info.om;
        let weights = run.memory.read(self.weights.address, om.weights.len())?;
        let (made, _) = om.graph.run(weights, values, om.header.precision()).map_err(fault)?;
        for (value, place) in made.iter().zip(&self.outputs) {
            let Some(place) = place else { continue };
            let bytes = value.encode();
            if bytes.len() > place.len {
                return Err(fault(format!("an output takes {} bytes, its buffer has {}", bytes.len(), place.len)));
            }
            run.memory.write(place.address, bytes.len())?.copy_from_slice(&bytes);
        }
        *self.results.lock().unwrap_or_else(PoisonError::into_inner) = made;
        Ok(())
    }
}

/// Whether sizes lie within the ranges of a port.
fn within(dims: &[i64], ranges: &[(i64, i64)]) -> bool {
    let fits = |(d, r): (&i64, &(i64, i64))| *d >= r.0.max(0) && (r.1 < 0 || *d <= r.1);
    dims.len() == ranges.len() && dims.iter().zip(ranges).all(fits)
}

impl Sim {
    /// The buffers of a dataset, as many as are expected.
    fn buffers(&mut self, name: &str, set: u64, expected: usize, failure: i32) -> Outcome<Vec<(u64, usize)>> {
        let handles = self.dataset(name, set)?.buffers.clone();
        if handles.len() != expected {
            return fail(failure, format!("{name}: the dataset has {} buffers, the model {expected}", handles.len()));
        }
        handles.into_iter().map(|h| self.data_buffer(name, h)).collect()
    }

    /// The shapes of an execution's inputs, and what each input must at least have.
    fn input_shapes(&mut self, name: &str, info: &Info, set: u64) -> Outcome<(Shapes, Vec<usize>)> {
        let header = &info.om.header;
        let bytes = |shapes: &[Vec<usize>]| -> Vec<usize> {
            let of =
                |(d, p): (&Vec<usize>, &crate::om::Port)| d.iter().product::<usize>() * p.element_type().bits() / 8;
            shapes.iter().zip(&header.inputs).map(of).collect()
        };
        if let Some(gears) = &header.gears {
            let set = self.dataset(name, set)?;
            let gear = info.gear();
            let mut least = bytes(&gears.inputs[gear]);
            least.push(gears.values[gear].len() * 4);
            let shapes = if set.gear { Shapes::Gear } else { Shapes::Known(gears.inputs[gear].clone()) };
            return Ok((shapes, least));
        }
        let mut shapes = Vec::new();
        for (i, port) in header.inputs.iter().enumerate() {
            let described = self.dataset(name, set)?.descriptions.get(i).copied().filter(|&d| d != 0);
            let dims = match (described, port.fixed()) {
                (Some(d), _) => self.description(name, d)?.dims.clone(),
                (None, Some(fixed)) => fixed.iter().map(|&d| d as i64).collect(),
                (None, None) => {
                    let text = format!("{name}: the shape of {:?} is open and was not set", port.name);
                    return fail(code::MODEL_INPUT_NOT_MATCH, text);
                }
            };
            if !within(&dims, &port.dims) {
                let text = format!("{name}: {:?} has the shape {dims:?}, the model takes {:?}", port.name, port.dims);
                return fail(code::MODEL_INPUT_NOT_MATCH, text);
            }
            shapes.push(dims.iter().map(|&d| d as usize).collect::<Vec<_>>());
        }
        let least = bytes(&shapes);
        Ok((Shapes::Known(shapes), least))
    }

    /// Puts an execution on a stream.
    fn start(&mut self, name: &'static str, id: u32, sets: (u64, u64), stream: u64, waits: bool) -> Outcome<Results> {
        self.ready(name)?;
        self.not_while_captured(name)?;
        let model = self.model(name, id)?;
        let (info, weights, work) = (model.info.clone(), model.weights.clone(), model.work.clone());
        let weights_range = weights.address..weights.address + weights.len as u64;
        if self.streams.used_elsewhere(&weights_range, stream) {
            self.violation(format!("{name} of a model that is queued on another stream"));
        }
        let (shapes, least) = self.input_shapes(name, &info, sets.0)?;
        let mut inputs = Vec::new();
        let given = self.buffers(name, sets.0, info.inputs.len(), code::MODEL_INPUT_NOT_MATCH)?;
        for (i, ((address, size), least)) in given.into_iter().zip(least).enumerate() {
            if size < least {
                let text = format!("{name}: input {i} takes {least} bytes, its buffer has {size}");
                return fail(code::MODEL_INPUT_NOT_MATCH, text);
            }
            inputs.push(Touch { address, len: least });
        }
        let mut outputs = Vec::new();
        let given = self.buffers(name, sets.1, info.output_names.len(), code::MODEL_OUTPUT_NOT_MATCH)?;
        for (i, (address, size)) in given.into_iter().enumerate() {
            let needed = info.output_size(i).unwrap_or(0);
            if address == 0 && size == 0 && waits {
                outputs.push(None);
            } else if size < needed || address == 0 {
                let text = format!("{name}: output {i} takes {needed} bytes, its buffer has {size}");
                return fail(code::MODEL_OUTPUT_NOT_MATCH, text);
            } else {
                outputs.push(Some(Touch { address, len: size }));
            }
        }
        let mut touches = vec![weights.clone()];
        touches.extend(inputs.iter().chain(outputs.iter().flatten()).cloned());
        for t in &touches {
            if !self.memory.holds(t.address, t.len) {
                self.violation(format!("{name}: {} bytes at {:#x} are no memory of the device", t.len, t.address));
                return fail(code::INVALID_PARAM, format!("{name}: a buffer is not memory of the device"));
            }
        }
        touches.push(work.clone());
        let results = Results::default();
        let job = Job { info, shapes, weights, inputs, outputs, results: results.clone() };
        let kernel: Kernel = Arc::new(move |run| job.run(run));
        let work = Work::Kernel { kernel, addresses: Arc::new([]), workspace: Some(work) };
        self.enqueue(stream, Task { name, work, touches: touches.into() })?;
        Ok(results)
    }

    /// `aclmdlExecuteAsync`.
    pub(crate) fn execute_async(&mut self, id: u32, inputs: u64, outputs: u64, stream: u64) -> Outcome {
        let name = "aclmdlExecuteAsync";
        let stream = self.stream_of_call(stream, name)?;
        self.start(name, id, (inputs, outputs), stream, false).map(|_| ())
    }

    /// `aclmdlExecute`: waits, allocates the memory of outputs that have none, and describes open ones.
    pub(crate) fn execute_model(&mut self, id: u32, inputs: u64, outputs: u64) -> Outcome {
        let name = "aclmdlExecute";
        let (stream, device) = (self.stream_of_call(0, name)?, self.current_device(name)?);
        let results = self.start(name, id, (inputs, outputs), stream, true)?;
        self.finish_stream(stream)?;
        let made = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
        for (i, value) in made.into_iter().enumerate() {
            let handle = self.dataset(name, outputs)?.buffers[i];
            if self.data_buffer(name, handle)? == (0, 0) {
                let bytes = value.encode();
                let Some(address) = self.memory.allocate(device, bytes.len().max(1)) else {
                    return fail(code::NO_MEMORY, format!("{name}: {} bytes of output {i} are not there", bytes.len()));
                };
                self.memory.write(address, bytes.len())?.copy_from_slice(&bytes);
                if let Some(b) = self.objects.other_mut::<super::dataset::Buffer>(handle) {
                    (b.address, b.size) = (address, bytes.len());
                }
            }
            let dims = value.dims.iter().map(|&d| d as i64).collect();
            let made = Description { dtype: value.dtype.to_acl(), format: 2, dims, ..Description::default() };
            self.describe(name, outputs, i, Some(made))?;
        }
        Ok(())
    }
}
