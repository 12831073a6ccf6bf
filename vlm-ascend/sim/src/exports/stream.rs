//! Streams.

use crate::abi::{Out, Ref, exports};
use crate::runtime::joint::{Until, wait_for_others};
use crate::state::{Outcome, Sim, call};
use std::ffi::c_void;

impl Sim {
    fn new_stream(&mut self, name: &'static str) -> Outcome<u64> {
        self.ready(name)?;
        let context = self.current_context(name)?;
        Ok(self.streams.create(context, true))
    }
}

exports! {
    fn aclrtCreateStream(stream: Out<*mut c_void>) -> i32 {
        call("aclrtCreateStream", |sim| {
            let made = sim.new_stream("aclrtCreateStream")?;
            stream.put_handle(made)
        })
    }

    fn aclrtCreateStreamWithConfig(stream: Out<*mut c_void>, _priority: u32, _flag: u32) -> i32 {
        call("aclrtCreateStreamWithConfig", |sim| {
            let made = sim.new_stream("aclrtCreateStreamWithConfig")?;
            stream.put_handle(made)
        })
    }

    fn aclrtDestroyStream(stream: Ref) -> i32 {
        wait_for_others(Until::Stream(stream.id()), None);
        call("aclrtDestroyStream", |sim| sim.destroy_stream(stream.id()))
    }

    fn aclrtDestroyStreamForce(stream: Ref) -> i32 {
        call("aclrtDestroyStreamForce", |sim| sim.destroy_stream(stream.id()))
    }

    fn aclrtSynchronizeStream(stream: Ref) -> i32 {
        wait_for_others(Until::Stream(stream.id()), None);
        call("aclrtSynchronizeStream", |sim| {
            sim.not_while_captured("aclrtSynchronizeStream")?;
            let stream = sim.stream_of_call(stream.id(), "aclrtSynchronizeStream")?;
            sim.finish_stream(stream)
        })
    }

    fn aclrtSynchronizeStreamWithTimeout(stream: Ref, milliseconds: i32) -> i32 {
        // -1 is no limit.
        let limit = u64::try_from(milliseconds).ok().map(std::time::Duration::from_millis);
        wait_for_others(Until::Stream(stream.id()), limit);
        call("aclrtSynchronizeStreamWithTimeout", |sim| {
            sim.not_while_captured("aclrtSynchronizeStreamWithTimeout")?;
            let stream = sim.stream_of_call(stream.id(), "aclrtSynchronizeStreamWithTimeout")?;
            sim.finish_stream(stream)
        })
    }

    fn aclrtStreamQuery(stream: Ref, status: Out<i32>) -> i32 {
        call("aclrtStreamQuery", |sim| {
            let stream = sim.stream_of_call(stream.id(), "aclrtStreamQuery")?;
            sim.check_context(stream)?;
            // Asking lets time go by.
            sim.step_any(true);
            status.put(i32::from(!sim.streams.is_idle(stream)))
        })
    }
}
