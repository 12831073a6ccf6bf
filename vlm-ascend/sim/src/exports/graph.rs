//! Captured graphs.

use crate::abi::{Out, Ref, exports};
use crate::state::call;
use std::ffi::c_void;

exports! {
    fn aclmdlRICaptureBegin(stream: Ref, mode: i32) -> i32 {
        call("aclmdlRICaptureBegin", |sim| {
            let stream = sim.stream_of_call(stream.id(), "aclmdlRICaptureBegin")?;
            sim.begin_capture(stream, mode)
        })
    }

    fn aclmdlRICaptureEnd(stream: Ref, graph: Out<*mut c_void>) -> i32 {
        call("aclmdlRICaptureEnd", |sim| {
            let stream = sim.stream_of_call(stream.id(), "aclmdlRICaptureEnd")?;
            let made = sim.end_capture(stream)?;
            graph.put_handle(made)
        })
    }

    fn aclmdlRICaptureGetInfo(stream: Ref, status: Out<i32>, graph: Out<*mut c_void>) -> i32 {
        call("aclmdlRICaptureGetInfo", |sim| {
            let stream = sim.stream_of_call(stream.id(), "aclmdlRICaptureGetInfo")?;
            let found = sim.streams.capture_of(stream);
            graph.offer(found.unwrap_or(0) as usize as *mut c_void);
            status.put(i32::from(found.is_some()))
        })
    }

    fn aclmdlRIExecuteAsync(graph: Ref, stream: Ref) -> i32 {
        call("aclmdlRIExecuteAsync", |sim| {
            let stream = sim.stream_of_call(stream.id(), "aclmdlRIExecuteAsync")?;
            sim.replay(graph.id(), stream)
        })
    }

    fn aclmdlRIDestroy(graph: Ref) -> i32 {
        call("aclmdlRIDestroy", |sim| sim.destroy_graph(graph.id()))
    }
}
