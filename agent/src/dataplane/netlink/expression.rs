//! The instructions that rules are made of, each as the kernel dumps it.

use crate::netlink::Writer;

/// `NFTA_LIST_ELEM`: an item of any list.
pub(super) const ITEM: u16 = 1;

/// `NFTA_DATA_VALUE`
pub(super) const VALUE: u16 = 1;
/// `NFTA_DATA_VERDICT`
pub(super) const VERDICT: u16 = 2;

/// `NFT_REG_VERDICT`
const VERDICT_REGISTER: u32 = 0;
/// `NFT_REG_1`, 16 bytes.
pub(super) const FIRST_REGISTER: u32 = 1;
/// `NFT_REG32_01`: what comes 4 bytes behind the beginning of [`FIRST_REGISTER`].
pub(super) const AFTER_4_BYTES: u32 = 9;
/// `NFT_REG_2`: what comes 16 bytes behind it.
pub(super) const AFTER_16_BYTES: u32 = 2;

/// Keys of `meta`.
#[derive(Clone, Copy)]
pub(super) enum Meta {
    /// `NFT_META_IIF`
    Interface = 4,
    /// `NFT_META_IIFNAME`
    InputName = 6,
    /// `NFT_META_OIFNAME`
    OutputName = 7,
    /// `NFT_META_NFPROTO`
    NetworkProtocol = 15,
    /// `NFT_META_L4PROTO`
    TransportProtocol = 16,
    /// `NFT_META_IIFKIND`
    InputKind = 26,
}

/// Keys of `ct`.
#[derive(Clone, Copy)]
pub(super) enum Connection {
    /// `NFT_CT_STATE`
    State = 0,
    /// `NFT_CT_STATUS`
    Status = 2,
    /// `NFT_CT_LABELS`
    Labels = 13,
}

/// Headers, by `enum nft_payload_bases`.
#[derive(Clone, Copy)]
pub(super) enum Header {
    Network = 1,
    Transport = 2,
}

/// Operators of `cmp`.
#[derive(Clone, Copy)]
pub(super) enum Compare {
    Equal = 0,
    NotEqual = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Drop,
    Accept,
    Jump(&'a str),
    Goto(&'a str),
}

/// Appends expressions to a rule's list. All use the first register.
pub(super) struct Expressions<'a>(pub(super) &'a mut Writer);

impl Expressions<'_> {
    pub(super) fn expression(&mut self, name: &str, data: impl FnOnce(&mut Writer)) {
        self.0.nest(ITEM, |w| {
            w.text(1, name);
            w.nest(2, data);
        });
    }

    pub(super) fn meta(&mut self, key: Meta) {
        self.expression("meta", |w| {
            w.be32(2, key as u32);
            w.be32(1, FIRST_REGISTER);
        });
    }

    pub(super) fn connection(&mut self, key: Connection) {
        self.expression("ct", |w| {
            w.be32(1, FIRST_REGISTER);
            w.be32(2, key as u32);
        });
    }

    /// `fib saddr type`
    pub(super) fn source_type(&mut self) {
        self.expression("fib", |w| {
            w.be32(1, FIRST_REGISTER);
            // NFT_FIB_RESULT_ADDRTYPE of NFTA_FIB_F_SADDR
            w.be32(2, 3);
            w.be32(3, 1);
        });
    }

    /// `fib saddr . iif oif missing`, up to the comparison
    pub(super) fn way_back(&mut self) {
        self.expression("fib", |w| {
            w.be32(1, FIRST_REGISTER);
            // NFT_FIB_RESULT_OIF of NFTA_FIB_F_SADDR, IIF and PRESENT
            w.be32(2, 1);
            w.be32(3, 1 | 1 << 3 | 1 << 5);
        });
    }

    /// Makes these the labels of the connection.
    pub(super) fn set_labels(&mut self, labels: &[u8; 16]) {
        self.expression("immediate", |w| {
            w.be32(1, FIRST_REGISTER);
            w.nest(2, |w| w.put(VALUE, labels));
        });
        self.expression("ct", |w| {
            w.be32(2, Connection::Labels as u32);
            w.be32(4, FIRST_REGISTER);
        });
    }

    /// Drops the packet and answers with a reset.
    pub(super) fn reset(&mut self) {
        // NFT_REJECT_TCP_RST
        self.expression("reject", |w| w.be32(1, 1));
    }

    pub(super) fn payload(&mut self, header: Header, offset: u32, length: u32, register: u32) {
        self.expression("payload", |w| {
            w.be32(1, register);
            w.be32(2, header as u32);
            w.be32(3, offset);
            w.be32(4, length);
        });
    }

    pub(super) fn compare(&mut self, operator: Compare, with: &[u8]) {
        self.expression("cmp", |w| {
            w.be32(1, FIRST_REGISTER);
            w.be32(2, operator as u32);
            w.nest(3, |w| w.put(VALUE, with));
        });
    }

    /// Leaves the bits that are set in the mask, which is as long as what was loaded.
    pub(super) fn mask(&mut self, mask: &[u8]) {
        const NOTHING: [u8; 16] = [0; 16];
        let length = mask.len().min(NOTHING.len());
        self.expression("bitwise", |w| {
            w.be32(1, FIRST_REGISTER);
            w.be32(2, FIRST_REGISTER);
            w.be32(3, u32::try_from(length).unwrap_or_default());
            // NFT_BITWISE_BOOL
            w.be32(6, 0);
            w.nest(4, |w| w.put(VALUE, &mask[..length]));
            w.nest(5, |w| w.put(VALUE, &NOTHING[..length]));
        });
    }

    /// Goes on if the key is in the set. A set without a name of its own is found by its number in the batch.
    pub(super) fn lookup(&mut self, set: &str, number: Option<u32>) {
        self.lookup_in(set, number, 0);
    }

    /// Goes on if the key is not in the set.
    pub(super) fn lookup_absent(&mut self, set: &str) {
        // NFT_LOOKUP_F_INV
        self.lookup_in(set, None, 1);
    }

    fn lookup_in(&mut self, set: &str, number: Option<u32>, flags: u32) {
        self.expression("lookup", |w| {
            w.text(1, set);
            w.be32(2, FIRST_REGISTER);
            if let Some(number) = number {
                w.be32(4, number);
            }
            w.be32(5, flags);
        });
    }

    /// Goes where the map says for the key.
    pub(super) fn lookup_verdict(&mut self, map: &str) {
        self.expression("lookup", |w| {
            w.text(1, map);
            w.be32(2, FIRST_REGISTER);
            w.be32(3, VERDICT_REGISTER);
            w.be32(5, 0);
        });
    }

    /// Goes on for `rate` packets a second.
    pub(super) fn limit(&mut self, rate: u32, burst: u32) {
        self.expression("limit", |w| {
            w.be64(1, rate.into());
            // Seconds in the unit of time.
            w.be64(2, 1);
            w.be32(3, burst);
            // NFT_LIMIT_PKTS, not inverted
            w.be32(4, 0);
            w.be32(5, 0);
        });
    }

    pub(super) fn log(&mut self, prefix: &str, group: u16, snaplen: u32) {
        self.expression("log", |w| {
            w.text(2, prefix);
            w.be16(1, group);
            w.be32(3, snaplen);
        });
    }

    /// Counts in a named counter.
    pub(super) fn count(&mut self, counter: &str) {
        self.expression("objref", |w| {
            w.text(2, counter);
            w.be32(1, super::numbers::COUNTER);
        });
    }

    pub(super) fn verdict(&mut self, target: Target<'_>) {
        self.expression("immediate", |w| {
            w.be32(1, VERDICT_REGISTER);
            verdict_data(w, 2, target);
        });
    }
}

/// `NFT_GOTO`
pub(super) const GOTO: i32 = -4;

/// A verdict as the value of a rule or of a map's element.
pub(super) fn verdict_data(writer: &mut Writer, kind: u16, target: Target<'_>) {
    // NF_DROP and NF_ACCEPT; NFT_JUMP is negative, too.
    let (code, chain) = match target {
        Target::Drop => (0, None),
        Target::Accept => (1, None),
        Target::Jump(chain) => (-3_i32, Some(chain)),
        Target::Goto(chain) => (GOTO, Some(chain)),
    };
    writer.nest(kind, |w| {
        w.nest(VERDICT, |w| {
            w.put(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                w.text(2, chain);
            }
        });
    });
}

/// Bytes as the key of an element.
pub(super) fn value_data(writer: &mut Writer, kind: u16, value: &[u8]) {
    writer.nest(kind, |w| w.put(VALUE, value));
}
