//! A method per operation, made from the table.

use super::cache::{self, Key, KeyPart};
use super::{Number, Operand, Planned, Stream};
use crate::library::{Op, plan};
use std::ffi::{CStr, c_char, c_void};
use vlm_ascend_sys::{aclDataType, for_each_aclnn};
use vlm_core::{DType, Result};

/// What a method takes for an argument of this kind.
macro_rules! parameter {
    (tensor) => { &Operand };
    (out) => { &Operand };
    (inout) => { &Operand };
    (opt_tensor) => { Option<&Operand> };
    (opt_out) => { Option<&Operand> };
    (opt_inout) => { Option<&Operand> };
    (tensors) => { &[Operand] };
    (scalar) => { Number };
    (ints) => { &[i64] };
    (opt_ints) => { Option<&[i64]> };
    (bools) => { &[bool] };
    (dtype) => { DType };
    (str) => { &CStr };
    (opt_str) => { &CStr };
    ($number:ident) => { $number };
}

/// What the first phase gets for it.
macro_rules! raw {
    ($c:ident, $a:ident, tensor) => {
        $c.objects.tensor($a)?
    };
    ($c:ident, $a:ident, out) => {
        $c.objects.tensor($a)?
    };
    ($c:ident, $a:ident, inout) => {
        $c.objects.tensor($a)?
    };
    ($c:ident, $a:ident, opt_tensor) => {
        $c.objects.optional($a)?
    };
    ($c:ident, $a:ident, opt_out) => {
        $c.objects.optional($a)?
    };
    ($c:ident, $a:ident, opt_inout) => {
        $c.objects.optional($a)?
    };
    ($c:ident, $a:ident, tensors) => {
        $c.objects.tensors($a)?
    };
    ($c:ident, $a:ident, scalar) => {
        $c.objects.scalar($a)?
    };
    ($c:ident, $a:ident, ints) => {
        $c.objects.ints($a)?
    };
    ($c:ident, $a:ident, opt_ints) => {
        match $a {
            Some(v) => $c.objects.ints(v)?,
            None => std::ptr::null_mut(),
        }
    };
    ($c:ident, $a:ident, bools) => {
        $c.objects.bools($a)?
    };
    ($c:ident, $a:ident, dtype) => {
        super::operand::acl_type($a) as aclDataType
    };
    ($c:ident, $a:ident, str) => {
        $a.as_ptr().cast::<c_char>()
    };
    ($c:ident, $a:ident, opt_str) => {
        $a.as_ptr().cast::<c_char>()
    };
    ($c:ident, $a:ident, $number:ident) => {
        $a
    };
}

/// What distinguishes it from other calls, but for addresses.
macro_rules! part {
    ($k:ident, $a:ident, opt_ints) => {
        $a.unwrap_or(&[]).add_to(&mut $k)
    };
    ($k:ident, $a:ident, $kind:ident) => {
        $a.add_to(&mut $k)
    };
}

/// The addresses of its tensors.
macro_rules! addresses {
    ($v:ident, $a:ident, tensor) => {
        $v.push(($a.address, false))
    };
    ($v:ident, $a:ident, out) => {
        $v.push(($a.address, true))
    };
    ($v:ident, $a:ident, inout) => {
        $v.push(($a.address, true))
    };
    ($v:ident, $a:ident, opt_tensor) => {
        $v.extend($a.map(|o| (o.address, false)))
    };
    ($v:ident, $a:ident, opt_out) => {
        $v.extend($a.map(|o| (o.address, true)))
    };
    ($v:ident, $a:ident, opt_inout) => {
        $v.extend($a.map(|o| (o.address, true)))
    };
    ($v:ident, $a:ident, $kind:ident) => {};
}

macro_rules! methods {
    ($($library:ident $since:literal $op:ident($($name:ident: $kind:ident),* $(,)?);)*) => {
        #[allow(non_snake_case, clippy::too_many_arguments, dead_code)] // The interface's names and arguments; some are for others.
        impl Stream {
            $(
                pub(crate) fn $op(&self, $($name: parameter!($kind)),*) -> Result<()> {
                    const NAME: &str = concat!("aclnn", stringify!($op));
                    let (phase, run) = self.phases(Op::$op, NAME)?;
                    // SAFETY: the symbol of this name has the type that the table says.
                    let phase = unsafe { std::mem::transmute::<*mut c_void, plan::$op>(phase) };
                    let kept = if cache::is_repeatable(stringify!($op)) && self.cache.is_on() {
                        let mut key = Key::new(NAME);
                        $(part!(key, $name, $kind);)*
                        #[allow(unused_mut)] // Some operations have no tensors.
                        let mut addresses: Vec<(usize, bool)> = Vec::with_capacity(8);
                        $(addresses!(addresses, $name, $kind);)*
                        if self.replay(&key, &addresses, run)? {
                            return Ok(());
                        }
                        Some((key, addresses))
                    } else {
                        None
                    };
                    let mut call = self.start(NAME)?;
                    let mut planned = Planned::default();
                    $(let $name = raw!(call, $name, $kind);)*
                    // SAFETY: every argument has the type of the table; the objects live until the call is over, or as long as the
                    // executor that is kept.
                    let code = unsafe { phase($($name,)* &raw mut planned.workspace, &raw mut planned.executor) };
                    call.finish(code, planned, run, kept)
                }
            )*
        }
    };
}

for_each_aclnn!(methods);
