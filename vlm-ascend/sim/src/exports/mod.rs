//! The functions of the interface, by topic.
#![allow(non_snake_case)] // They have the interface's names.

pub(crate) mod aclnn;
pub(crate) mod control;
pub(crate) mod data;
pub(crate) mod device;
pub(crate) mod event;
pub(crate) mod graph;
pub(crate) mod hccl;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod object;
pub(crate) mod stream;
pub(crate) mod virtual_memory;

/// The names of all functions but the operations'.
pub(crate) fn all() -> impl Iterator<Item = &'static &'static str> {
    [
        control::NAMES,
        data::NAMES,
        device::NAMES,
        event::NAMES,
        graph::NAMES,
        hccl::NAMES,
        memory::NAMES,
        model::NAMES,
        object::NAMES,
        stream::NAMES,
        virtual_memory::NAMES,
    ]
    .into_iter()
    .flatten()
}
