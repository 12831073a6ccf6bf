//! The collective operations between devices, of one process or of several on one machine.
//!
//! Who asks for root information opens a [`hub`]: a thread that the ranks connect to over a local socket. A rank sends
//! it what an operation takes when the operation's turn comes on its stream, and gets the result when all ranks have
//! done so. So ranks that are threads, devices or processes go the same way, and one that ends or asks for something
//! else is noticed by all.

pub(crate) mod comm;
mod hub;
pub(crate) mod job;
mod reduce;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

/// `HcclResult`.
pub(crate) mod result {
    pub(crate) const PARA: i32 = 1;
    pub(crate) const PTR: i32 = 2;
    pub(crate) const MEMORY: i32 = 3;
    pub(crate) const INTERNAL: i32 = 4;
    pub(crate) const NOT_SUPPORT: i32 = 5;
    pub(crate) const TIMEOUT: i32 = 9;
    pub(crate) const TCP_CONNECT: i32 = 11;
    pub(crate) const RUNTIME: i32 = 15;
    pub(crate) const REMOTE: i32 = 21;
}

/// A number of seconds that the environment sets; `None` for 0, which is no limit.
fn seconds(variable: &str, default: u64) -> Option<std::time::Duration> {
    let set = std::env::var(variable).ok().and_then(|v| v.trim().parse().ok());
    Some(std::time::Duration::from_secs(set.unwrap_or(default))).filter(|d| !d.is_zero())
}

/// How long a rank waits for the others to join.
fn connect_limit() -> std::time::Duration {
    // There is always a limit.
    seconds("HCCL_CONNECT_TIMEOUT", 120).unwrap_or(std::time::Duration::from_secs(120))
}

/// How long an operation waits for the others. The devices wait for half an hour by default.
fn execution_limit() -> Option<std::time::Duration> {
    seconds("HCCL_EXEC_TIMEOUT", 60)
}
