//! Graphs: tasks that are captured instead of run, and run again and again.

use super::stream::{Task, Work};
use crate::objects::Object;
use crate::state::{Outcome, Sim, code, fail};

/// A graph (`aclmdlRI`): its tasks, in an order in which they can run.
#[derive(Default)]
struct Graph {
    tasks: Vec<Task>,
    /// The stream on which the capture began, while it goes on.
    origin: Option<u64>,
    mode: i32,
    /// What the program did that a capture forbids.
    spoiled: Option<String>,
}

const KIND: &str = "graphs";

impl Sim {
    /// The graph that a task on this stream belongs to. A stream that waits for an event of a captured stream joins its graph.
    pub(crate) fn join_capture(&mut self, stream: u64, task: &Task) -> Option<u64> {
        if let Some(graph) = self.streams.capture_of(stream) {
            return Some(graph);
        }
        if let Work::Wait { event, .. } = task.work {
            let graph = self.events.get(event)?.captured?;
            self.objects.other::<Graph>(graph)?.origin?;
            self.streams.set_capture(stream, Some(graph));
            return Some(graph);
        }
        None
    }

    /// Puts a task into a graph. Its order is that of the calls, so that events within it need no waiting.
    pub(crate) fn capture_task(&mut self, graph: u64, task: Task) -> Outcome {
        if let Work::Record { event, .. } = task.work
            && let Some(e) = self.events.get_mut(event)
        {
            e.captured = Some(graph);
        }
        let Some(g) = self.objects.other_mut::<Graph>(graph) else {
            return fail(code::INVALID_HANDLE, "no such graph");
        };
        match task.work {
            Work::Record { .. } | Work::Wait { .. } => {}
            Work::UploadKept { .. } => {
                let text = format!("{} with host memory that is not pinned", task.name);
                g.spoiled.get_or_insert(text.clone());
                return fail(code::NOT_WHILE_CAPTURED, text);
            }
            _ => g.tasks.push(task),
        }
        Ok(())
    }

    /// `aclmdlRICaptureBegin`.
    pub(crate) fn begin_capture(&mut self, stream: u64, mode: i32) -> Outcome {
        if !self.chip().graphs {
            return fail(code::NOT_SUPPORTED, format!("{} cannot capture work", self.chip().soc));
        }
        if !(0..=2).contains(&mode) {
            return fail(
                code::RT_PARAM_INVALID,
                format!("capture mode {mode} is not 0 (global), 1 (thread) or 2 (relaxed)"),
            );
        }
        if self.streams.capture_of(stream).is_some() {
            return fail(code::NOT_WHILE_CAPTURED, "the stream is already captured");
        }
        let graph =
            self.objects.add(Object::Other(KIND, Box::new(Graph { origin: Some(stream), mode, ..Graph::default() })));
        self.streams.set_capture(stream, Some(graph));
        Ok(())
    }

    /// `aclmdlRICaptureEnd`.
    pub(crate) fn end_capture(&mut self, stream: u64) -> Outcome<u64> {
        let Some(graph) = self.streams.capture_of(stream) else {
            return fail(code::NOT_WHILE_CAPTURED, "the stream is not captured");
        };
        let Some(g) = self.objects.other_mut::<Graph>(graph) else {
            return fail(code::INVALID_HANDLE, "no such graph");
        };
        if g.origin != Some(stream) {
            return fail(code::NOT_WHILE_CAPTURED, "the capture began on another stream");
        }
        g.origin = None;
        let spoiled = g.spoiled.take();
        self.streams.end_capture(graph);
        if let Some(text) = spoiled {
            self.objects.remove(graph);
            return fail(code::NOT_WHILE_CAPTURED, format!("the capture is invalid: {text}"));
        }
        Ok(graph)
    }

    /// `aclmdlRIExecuteAsync`: all tasks of the graph, with the memory's contents of that time.
    pub(crate) fn replay(&mut self, graph: u64, stream: u64) -> Outcome {
        let tasks = match self.objects.other::<Graph>(graph) {
            Some(g) if g.origin.is_none() => g.tasks.clone(),
            Some(_) => return fail(code::NOT_WHILE_CAPTURED, "the graph is still being captured"),
            None => {
                self.violation("aclmdlRIExecuteAsync of a graph that is not there");
                return fail(code::INVALID_HANDLE, "no such graph");
            }
        };
        tasks.into_iter().try_for_each(|t| self.enqueue(stream, t))
    }

    /// `aclmdlRIDestroy`.
    pub(crate) fn destroy_graph(&mut self, graph: u64) -> Outcome {
        if self.objects.other::<Graph>(graph).is_none() {
            self.violation("aclmdlRIDestroy of a graph that is not there");
            return fail(code::INVALID_HANDLE, "no such graph");
        }
        self.objects.remove(graph);
        Ok(())
    }

    /// Refuses a call that no capture allows, unless the capture is relaxed, and spoils the capture.
    pub(crate) fn not_while_captured(&mut self, call: &str) -> Outcome {
        if !self.streams.any_captured() {
            return Ok(());
        }
        let mut refused = false;
        for graph in self.objects.graphs() {
            if let Some(g) = self.objects.other_mut::<Graph>(graph)
                && g.origin.is_some()
                && g.mode != 2
            {
                g.spoiled.get_or_insert(format!("{call} was called"));
                refused = true;
            }
        }
        if refused {
            fail(code::NOT_WHILE_CAPTURED, format!("{call} is not allowed while a stream is captured"))
        } else {
            Ok(())
        }
    }
}
