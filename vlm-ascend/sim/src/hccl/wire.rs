//! What ranks and hub say to each other, and the root information that says where the hub is.

use crate::types::DType;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

/// Bytes of the root information.
pub(crate) const ROOT_INFO: usize = 4108;
const MAGIC: &[u8; 16] = b"vlm-ascend-sim-1";
pub(super) const TOKEN: usize = 16;

/// Where the hub of a group is: the token is the end of its socket's name and what a rank shows to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(super) token: [u8; TOKEN],
}

/// FNV-1a: notices root information that was cut or changed on its way.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

impl Root {
    /// One that nobody else has.
    pub(super) fn fresh() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let mut token = [0; TOKEN];
        for half in token.chunks_exact_mut(8) {
            // The standard library's own source of random keys.
            half.copy_from_slice(&RandomState::new().hash_one(std::process::id()).to_ne_bytes());
        }
        Root { token }
    }

    /// As the interface hands it out. No byte behind the token is 0 all along, as the vendor's are not text either.
    pub(crate) fn bytes(&self) -> [u8; ROOT_INFO] {
        let mut all = [0; ROOT_INFO];
        all[..16].copy_from_slice(MAGIC);
        all[16..16 + TOKEN].copy_from_slice(&self.token);
        for (i, b) in all[32..ROOT_INFO - 8].iter_mut().enumerate() {
            *b = (i % 251) as u8;
        }
        let sum = checksum(&all[..ROOT_INFO - 8]);
        all[ROOT_INFO - 8..].copy_from_slice(&sum.to_le_bytes());
        all
    }

    /// From what the interface handed out, if it is whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<8>()?;
        if bytes.len() != ROOT_INFO || !body.starts_with(MAGIC) || checksum(body) != u64::from_le_bytes(*sum) {
            return None;
        }
        Some(Root { token: body[16..16 + TOKEN].try_into().ok()? })
    }

    /// The hub's socket, which is in no folder.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let digits: String = self.token[..8].iter().map(|b| format!("{b:02x}")).collect();
        SocketAddr::from_abstract_name(format!("vlm-ascend-sim-hccl-{digits}"))
    }
}

/// The element type that HCCL has this number for.
pub(crate) fn dtype(number: i32) -> Option<DType> {
    const TYPES: [DType; 12] = [
        DType::I8,
        DType::I16,
        DType::I32,
        DType::F16,
        DType::F32,
        DType::I64,
        DType::U64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::F64,
        DType::BF16,
    ];
    usize::try_from(number).ok().and_then(|n| TYPES.get(n)).copied()
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    AllReduce,
    Broadcast,
    AllGather,
    ReduceScatter,
    Reduce,
    Scatter,
    AlltoAll,
    Barrier,
    Send,
    Recv,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::AllReduce,
        Kind::Broadcast,
        Kind::AllGather,
        Kind::ReduceScatter,
        Kind::Reduce,
        Kind::Scatter,
        Kind::AlltoAll,
        Kind::Barrier,
        Kind::Send,
        Kind::Recv,
    ];

    pub(crate) fn reduces(self) -> bool {
        matches!(self, Kind::AllReduce | Kind::ReduceScatter | Kind::Reduce)
    }

    /// Whether `root` is the other one of a pair.
    pub(crate) fn is_pair(self) -> bool {
        matches!(self, Kind::Send | Kind::Recv)
    }

    pub(crate) fn has_root(self) -> bool {
        matches!(self, Kind::Broadcast | Kind::Reduce | Kind::Scatter) || self.is_pair()
    }
}

/// One rank's part of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Names it in the answer.
    pub(crate) id: u64,
    /// Which operation of all ranks, or of the pair, it is.
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) dtype: i32,
    pub(crate) op: i32,
    pub(crate) root: u32,
    pub(crate) count: u64,
}

impl Call {
    /// One that asks for nothing.
    pub(super) fn none() -> Self {
        Call { id: 0, seq: 0, kind: Kind::Barrier, dtype: 0, op: 0, root: 0, count: 0 }
    }

    /// In words, as all ranks have to ask for it.
    pub(super) fn words(&self) -> String {
        let mut text = format!("{:?}", self.kind);
        if self.kind != Kind::Barrier {
            let dtype = dtype(self.dtype).map_or_else(|| format!("type {}", self.dtype), |d| format!("{d:?}"));
            text += &format!(" of {} {dtype}", self.count);
        }
        if self.kind.reduces() {
            text += [" SUM", " PROD", " MAX", " MIN"].get(self.op as usize).unwrap_or(&" ?");
        }
        if self.kind.has_root() && !self.kind.is_pair() {
            text += &format!(" with root {}", self.root);
        }
        text
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    /// Rank to hub: lets me in. `count` ranks, rank `root`, device `seq`; the token.
    Join,
    /// Rank to hub: my part of an operation, with its data.
    Work,
    /// Rank to hub: nothing more comes.
    Bye,
    /// Hub to rank: all are there.
    Ready,
    /// Hub to rank: the group does not come to be, and why; `op` is 1 where not all joined in time.
    Refused,
    /// Hub to rank: an operation is done; what it gives.
    Done,
    /// Hub to rank: an operation cannot be done, and why; `op` is 1 where ranks asked for different things.
    Failed,
    /// Hub to rank: all that was done before has reached everyone.
    Farewell,
}

impl Tag {
    const ALL: [Tag; 8] =
        [Tag::Join, Tag::Work, Tag::Bye, Tag::Ready, Tag::Refused, Tag::Done, Tag::Failed, Tag::Farewell];
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) tag: Tag,
    pub(super) call: Call,
    pub(super) payload: Vec<u8>,
}

const HEAD: usize = 46;

/// Writes one frame.
pub(super) fn send(to: &mut impl Write, tag: Tag, call: &Call, payload: &[u8]) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    head.extend([tag as u8, call.kind as u8]);
    head.extend(call.dtype.to_le_bytes());
    head.extend(call.op.to_le_bytes());
    head.extend(call.root.to_le_bytes());
    for n in [call.id, call.seq, call.count, payload.len() as u64] {
        head.extend(n.to_le_bytes());
    }
    debug_assert_eq!(head.len(), HEAD);
    to.write_all(&head)?;
    to.write_all(payload)
}

/// Reads one frame of at most `most` bytes of payload.
pub(super) fn receive(from: &mut impl Read, most: usize) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let four = |at: usize| -> [u8; 4] { [head[at], head[at + 1], head[at + 2], head[at + 3]] };
    let eight = |at: usize| (0..8).fold(0, |n, i| n | u64::from(head[at + i]) << (8 * i));
    let (Some(&tag), Some(&kind)) = (Tag::ALL.get(usize::from(head[0])), Kind::ALL.get(usize::from(head[1]))) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no such frame"));
    };
    let call = Call {
        id: eight(14),
        seq: eight(22),
        kind,
        dtype: i32::from_le_bytes(four(2)),
        op: i32::from_le_bytes(four(6)),
        root: u32::from_le_bytes(four(10)),
        count: eight(30),
    };
    let len = usize::try_from(eight(38)).ok().filter(|&n| n <= most);
    let Some(len) = len else { return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long")) };
    let mut payload = vec![0; len];
    from.read_exact(&mut payload)?;
    Ok(Frame { tag, call, payload })
}
