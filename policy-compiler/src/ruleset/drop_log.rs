//! How the kernel tells of dropped packets.

/// How dropped packets are logged: what each `limit … log` statement before a drop says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DropLog {
    /// The netlink group (NFLOG) that packets are sent to. Whoever listens to it gets them.
    pub group: u16,
    /// Packets a second that are logged at one drop, that is for each pod and direction: a pod that floods another
    /// cannot keep the log from telling of a third. At least 1; the kernel refuses a table with 0.
    pub rate: u32,
    /// Packets that are logged at once after a quiet time, before `rate` holds. At least 1, as `rate`.
    pub burst: u32,
    /// Bytes of each packet that are handed on, from the beginning of its network header.
    pub snaplen: u32,
}

impl Default for DropLog {
    /// Group 9808, 100 packets a second after the first 500, 128 bytes of each: enough for the headers.
    fn default() -> Self {
        Self {
            group: 9808,
            rate: 100,
            burst: 500,
            snaplen: 128,
        }
    }
}
