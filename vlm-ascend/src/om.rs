//! Models compiled ahead of time: OM files, which `atc` makes of ONNX for one chip.
//!
//! [`OmModel`] loads one beside everything else that a device does: its inputs and outputs are tensors of the device, its memory
//! comes from the device's pool, and its executions go through the device's stream. It takes what `atc` compiled: one shape, a list
//! of sizes ("gears": batches, picture sizes, any dimensions), or shapes that are open within a range.
//!
//! ```no_run
//! # use vlm_core::{Device, Tensor, DType};
//! # use vlm_ascend::om::OmModel;
//! vlm_ascend::register()?;
//! let device = Device::open("ascend:0")?;
//! let model = OmModel::load(&device, "vision.om")?;
//! let pixels = Tensor::zeros([1, 3, 336, 336], DType::F32, &device)?;
//! let outputs = model.run(&[&pixels])?;
//! # Ok::<(), vlm_core::Error>(())
//! ```

mod dataset;
mod describe;
mod shapes;

use crate::aclnn::Stream;
use crate::error::{check, of};
use crate::library::function;
use crate::make::{copied, room};
use crate::runtime::Queue;
use crate::runtime::pool::Block;
use crate::storage::{AscendStorage, own, queue_of};
use dataset::Dataset;
use describe::Description;
use shapes::Choice;
use std::ffi::CString;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use vlm_core::autograd::{CustomGradient, custom};
use vlm_core::backend::{StorageRef, View};
use vlm_core::{DType, Device, Dims, Error, ErrorKind, Result, Shape, Tensor};

/// What names the calls in errors.
const OP: &str = "om";

/// A size of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OmDim {
    /// This one alone.
    Fixed(usize),
    /// One of the model's [`Gears`]; of outputs, what follows from them.
    Gear,
    /// Any from `least` to `most`; without a limit where that is `None`.
    Range {
        /// The smallest.
        least: usize,
        /// The largest.
        most: Option<usize>,
    },
}

impl fmt::Display for OmDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OmDim::Fixed(n) => write!(f, "{n}"),
            OmDim::Gear => f.write_str("gear"),
            OmDim::Range { least, most: Some(most) } => write!(f, "{least}~{most}"),
            OmDim::Range { least, most: None } => write!(f, "{least}~"),
        }
    }
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OmPort {
    /// Its name in the ONNX model.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The sizes, outermost first.
    pub dims: Vec<OmDim>,
}

impl fmt::Display for OmPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.dims.iter().map(OmDim::to_string).collect();
        write!(f, "{}: {} [{}]", self.name, self.dtype, dims.join(", "))
    }
}

/// The sizes that a model was compiled for, where it was for several.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gears {
    /// None: shapes are fixed or open.
    None,
    /// Batches (`--dynamic_batch_size`).
    Batch(Vec<usize>),
    /// Heights and widths of pictures (`--dynamic_image_size`).
    ImageSize(Vec<(usize, usize)>),
    /// The dimensions of all inputs in a row (`--dynamic_dims`).
    Dims(Vec<Vec<usize>>),
}

/// Memory that a model needs on its device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OmMemory {
    /// For intermediate results.
    pub work: usize,
    /// For weights.
    pub weights: usize,
}

/// A compiled model on a device. Threads may share it; their executions take turns.
pub struct OmModel {
    stream: Stream,
    id: u32,
    description: Description,
    inputs: Vec<OmPort>,
    outputs: Vec<OmPort>,
    gears: Gears,
    /// Whether an execution may be queued that reads the gear's memory.
    pending: Mutex<bool>,
    /// Weights, working memory and the gear's, where they are the pool's. Given back when the model is gone.
    memory: Vec<Block>,
    gear: Option<Block>,
}

impl fmt::Debug for OmModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |all: &[OmPort]| all.iter().map(OmPort::to_string).collect::<Vec<_>>();
        f.debug_struct("OmModel")
            .field("inputs", &show(&self.inputs))
            .field("outputs", &show(&self.outputs))
            .field("gears", &self.gears)
            .finish_non_exhaustive()
    }
}

fn c_path(path: &Path) -> Result<CString> {
    if let Err(e) = std::fs::File::open(path) {
        return Err(Error::io(OP, path, e));
    }
    CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::new(ErrorKind::Io, OP, format!("{} has a zero in its name", path.display())))
}

/// What a model needs; `None` where its shapes are open and only running it tells.
fn memory_of(queue: &Queue, file: &CString) -> Result<Option<OmMemory>> {
    let library = queue.library();
    queue.bind()?;
    let ask = function!(library, aclmdlQuerySize)?;
    let mut found = OmMemory { work: 0, weights: 0 };
    // SAFETY: a C string, and places that are ours.
    match unsafe { ask(file.as_ptr(), &raw mut found.work, &raw mut found.weights) } {
        0 => Ok(Some(found)),
        // It has the message; what is wrong with the file comes up when it is loaded.
        code => {
            tracing::debug!(error = %of(library, OP, code), "the model's memory is not known before it is loaded");
            Ok(None)
        }
    }
}

impl OmModel {
    /// What a model file needs on the device; `None` where its shapes are open and only running it tells.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read; [`ErrorKind::Device`] if `device` is no NPU.
    pub fn memory(device: &Device, path: impl AsRef<Path>) -> Result<Option<OmMemory>> {
        memory_of(&*queue_of(device, OP)?, &c_path(path.as_ref())?)
    }

    /// Loads an OM file onto a device.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read; [`ErrorKind::Format`] if it is no OM, is damaged or was compiled for another
    /// chip; [`ErrorKind::OutOfMemory`]; [`ErrorKind::Unsupported`] for inputs that AIPP makes while the model runs and for
    /// element types that tensors do not have; [`ErrorKind::Device`] if `device` is no NPU.
    pub fn load(device: &Device, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let queue = queue_of(device, OP)?;
        let file = c_path(path)?;
        let named = |e: Error| e.with("file", path.display()).with("chip", &queue.chip.soc);
        let sizes = memory_of(&queue, &file)?;
        let library = queue.library();
        let mut id = 0;
        let (code, memory) = match sizes {
            Some(OmMemory { work, weights }) => {
                let load = function!(library, aclmdlLoadFromFileWithMem)?;
                let memory = vec![queue.allocate(work.max(1))?, queue.allocate(weights.max(1))?];
                // What had these blocks before may still run; loading writes at once.
                queue.synchronize()?;
                let [w, p] = [memory[0].address(), memory[1].address()];
                // SAFETY: a C string; a place that is ours; blocks of at least these sizes, which stay until the model is
                // unloaded. The thread is bound.
                (unsafe { load(file.as_ptr(), &raw mut id, w, work, p, weights) }, memory)
            }
            None => {
                let load = function!(library, aclmdlLoadFromFile)?;
                // SAFETY: a C string, and a place that is ours. The thread is bound.
                (unsafe { load(file.as_ptr(), &raw mut id) }, Vec::new())
            }
        };
        check(library, OP, code).map_err(named)?;
        OmModel::loaded(queue.clone(), id, memory).map_err(named)
    }

    /// Loads an OM from memory.
    ///
    /// # Errors
    /// As [`OmModel::load`].
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<Self> {
        let queue = queue_of(device, OP)?;
        queue.bind()?;
        let load = function!(queue.library(), aclmdlLoadFromMem)?;
        let mut id = 0;
        // SAFETY: as many bytes as are said, which are only read during the call, and a place that is ours.
        let code = unsafe { load(bytes.as_ptr().cast(), bytes.len(), &raw mut id) };
        check(queue.library(), OP, code).map_err(|e| e.with("chip", &queue.chip.soc))?;
        OmModel::loaded(queue, id, Vec::new())
    }

    fn loaded(queue: Arc<Queue>, id: u32, memory: Vec<Block>) -> Result<Self> {
        let mut model = OmModel {
            stream: Stream::new(queue.clone()),
            id,
            description: Description::none(queue.library()),
            inputs: Vec::new(),
            outputs: Vec::new(),
            gears: Gears::None,
            pending: Mutex::new(false),
            memory,
            gear: None,
        };
        // From here on a failure unloads it.
        model.description = Description::of(queue.library(), id)?;
        let read = model.description.read()?;
        (model.inputs, model.outputs, model.gears) = (read.inputs, read.outputs, read.gears);
        if let Some(bytes) = read.gear_bytes {
            model.gear = Some(queue.allocate(bytes.max(8))?);
            // It is written at once, so nothing that had it before may still run.
            queue.synchronize()?;
        }
        Ok(model)
    }

    /// What it takes, in the order of [`OmModel::run`].
    pub fn inputs(&self) -> &[OmPort] {
        &self.inputs
    }

    /// What it gives.
    pub fn outputs(&self) -> &[OmPort] {
        &self.outputs
    }

    /// The sizes it was compiled for, where it was for several.
    pub fn gears(&self) -> &Gears {
        &self.gears
    }

    /// Bytes of weights and working memory that it has from the device's pool.
    pub fn pooled_bytes(&self) -> usize {
        self.memory.iter().chain(&self.gear).map(Block::bytes).sum()
    }

    /// Runs it: tensors of its device in, new ones out. Compiled models have no gradients.
    ///
    /// It returns before the model has run, unless shapes are open or the last execution of another gear has to end first.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of inputs, or shapes that the model was not compiled for, with those that it was;
    /// [`ErrorKind::DType`]; [`ErrorKind::Device`] for tensors of another device; [`ErrorKind::NoGradient`] if an input tracks
    /// gradients.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let choice = shapes::choose(self, inputs)?;
        let mut made: Vec<(StorageRef, Shape)> = Vec::new();
        let first = custom(
            OP,
            inputs,
            |_, views| {
                made = self.execute(views, &choice)?;
                made.reverse();
                made.pop().ok_or_else(|| Error::new(ErrorKind::Unsupported, OP, "the model has no outputs"))
            },
            CustomGradient::None,
        )?;
        let mut outputs = vec![first];
        while let Some(next) = made.pop() {
            outputs.push(custom(OP, inputs, |_, _| Ok(next), CustomGradient::None)?);
        }
        Ok(outputs)
    }

    /// The elements of an input side by side: its own storage, or a copy.
    fn row(&self, view: &View<'_>) -> Result<Option<AscendStorage>> {
        let storage = own(view.storage)?;
        if storage.block().is_some_and(|b| !Arc::ptr_eq(b.queue(), self.stream.queue())) {
            let message = "the tensor is of another device than the model";
            return Err(Error::new(ErrorKind::Device, OP, message).hint("move it with to_device"));
        }
        match view.layout.contiguous_range() {
            Some(range) if range.start == 0 => Ok(None),
            _ => copied(&self.stream, view).map(Some),
        }
    }

    fn execute(&self, views: &[View<'_>], choice: &Choice) -> Result<Vec<(StorageRef, Shape)>> {
        let (queue, library) = (self.stream.queue(), self.stream.queue().library());
        let mut copies = Vec::new();
        let mut inputs = Dataset::new(library)?;
        for view in views {
            let copy = self.row(view)?;
            let storage = match &copy {
                Some(copy) => copy,
                None => own(view.storage)?,
            };
            inputs.add(storage.address(), view.count() * view.dtype().size())?;
            copies.extend(copy);
        }
        queue.bind()?;
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match (choice, &self.gear) {
            (Choice::Open(shapes), _) => inputs.describe(shapes)?,
            (Choice::Fixed, _) | (_, None) => {}
            (gear, Some(block)) => {
                if *pending {
                    // The gear is written at once, and an execution that is queued would read it.
                    queue.synchronize()?;
                }
                inputs.add(block.address(), block.bytes())?;
                inputs.set_gear(self.id, views.len(), gear)?;
            }
        }
        let made = if matches!(choice, Choice::Open(_)) {
            self.execute_open(&inputs)
        } else {
            *pending = true;
            self.execute_queued(&inputs)
        };
        drop(pending);
        queue.launched("aclmdlExecute", false)?;
        made
    }

    /// Puts an execution on the stream, into outputs of known shapes.
    fn execute_queued(&self, inputs: &Dataset) -> Result<Vec<(StorageRef, Shape)>> {
        let (queue, library) = (self.stream.queue(), self.stream.queue().library());
        let mut outputs = Dataset::new(library)?;
        let mut made = Vec::new();
        for (i, port) in self.outputs.iter().enumerate() {
            let shape = Shape::from_slice(&self.description.current_dims(i)?);
            // The call wants room for the largest gear.
            let bytes = self.description.output_size(i)?.max(shape.count() * port.dtype.size());
            let block = queue.allocate(bytes.max(1))?;
            outputs.add(block.address(), bytes)?;
            made.push((AscendStorage::new(Some(block), port.dtype, shape.count()).share(), shape));
        }
        let execute = function!(library, aclmdlExecuteAsync)?;
        // SAFETY: the model is loaded; the datasets hold buffers of the sizes that were checked, whose blocks return to the pool in
        // the order of the stream; the stream is of the thread's context.
        check(library, OP, unsafe { execute(self.id, inputs.raw(), outputs.raw(), queue.stream()) })?;
        Ok(made)
    }

    /// Runs at once, into outputs that the runtime allocates when it knows their sizes.
    fn execute_open(&self, inputs: &Dataset) -> Result<Vec<(StorageRef, Shape)>> {
        let (queue, library) = (self.stream.queue(), self.stream.queue().library());
        let mut outputs = Dataset::new(library)?;
        for _ in &self.outputs {
            outputs.add(std::ptr::null_mut(), 0)?;
        }
        // The call does not go through our stream.
        queue.synchronize()?;
        let execute = function!(library, aclmdlExecute)?;
        // SAFETY: the model is loaded; what the inputs hold is there and ready; an output without memory asks for it.
        check(library, OP, unsafe { execute(self.id, inputs.raw(), outputs.raw()) })?;
        // All of it is ours now, whatever goes wrong with one.
        let taken: Vec<_> = (0..self.outputs.len()).map(|i| outputs.taken(i, queue)).collect();
        let mut made = Vec::new();
        for (i, (port, taken)) in self.outputs.iter().zip(taken).enumerate() {
            let shape = Shape::from_slice(&outputs.dims(i)?);
            let storage = room(&self.stream, port.dtype, shape.count())?;
            if let Some(block) = storage.block() {
                taken?.copy_to(block, shape.count() * port.dtype.size())?;
            }
            made.push((storage.share(), shape));
        }
        Ok(made)
    }
}

impl Drop for OmModel {
    fn drop(&mut self) {
        let queue = self.stream.queue();
        let library = queue.library();
        // Executions may be queued.
        if let Err(e) = queue.synchronize() {
            tracing::warn!(error = %e, "a model was unloaded with an error");
        }
        let Some(unload) = library.functions().aclmdlUnload else { return };
        // SAFETY: the model was loaded in this context, is unloaded once, and nothing runs it any more.
        let code = unsafe { unload(self.id) };
        if code != 0 {
            tracing::warn!(error = %of(library, OP, code), "a model was not unloaded");
        }
    }
}

/// Sizes as the contract has them.
fn dims(sizes: &[i64]) -> Result<Dims> {
    let all: Option<Vec<usize>> = sizes.iter().map(|&d| usize::try_from(d).ok()).collect();
    match all {
        Some(all) if all.len() <= vlm_core::shape::MAX_RANK => Ok(Dims::from_slice(&all)),
        _ => Err(Error::new(ErrorKind::Unsupported, OP, format!("an output of shape {sizes:?}"))),
    }
}
