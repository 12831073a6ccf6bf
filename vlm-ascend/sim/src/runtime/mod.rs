//! Memory, streams, events and contexts of the simulated devices.

pub(crate) mod capture;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod host;
pub(crate) mod joint;
pub(crate) mod memory;
pub(crate) mod stream;
pub(crate) mod virtual_memory;
