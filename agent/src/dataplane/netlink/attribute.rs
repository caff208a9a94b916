//! Netlink attributes: written into a buffer, and compared whatever their order.

use std::collections::BTreeMap;

/// `NLA_F_NESTED`: the value is attributes. Requests bear it; what the kernel dumps of nftables does not.
const NESTED: u16 = 1 << 15;
/// `NLA_TYPE_MASK`
const KIND: u16 = (1 << 14) - 1;

/// Bytes of an attribute's own header.
const HEADER: usize = 4;

/// Attributes and whole messages, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    has_overflowed: bool,
}

impl Writer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written; nothing if an attribute was longer than its 16-bit length can say.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.has_overflowed).then_some(self.bytes)
    }

    /// Bytes without a header of their own.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts the length of a message that begins at `start` into its first bytes.
    pub(super) fn close_message(&mut self, start: usize) {
        let length = u32::try_from(self.bytes.len() - start);
        self.has_overflowed |= length.is_err();
        self.patch(start, &length.unwrap_or_default().to_ne_bytes());
    }

    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |writer| writer.raw(value));
    }

    /// Text with the zero byte that ends it.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |writer| {
            writer.raw(text.as_bytes());
            writer.raw(&[0]);
        });
    }

    /// A number as `nf_tables` takes it: big endian.
    pub(super) fn be16(&mut self, kind: u16, number: u16) {
        self.put(kind, &number.to_be_bytes());
    }

    pub(super) fn be32(&mut self, kind: u16, number: u32) {
        self.put(kind, &number.to_be_bytes());
    }

    pub(super) fn be64(&mut self, kind: u16, number: u64) {
        self.put(kind, &number.to_be_bytes());
    }

    /// An attribute of attributes.
    pub(super) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        self.attribute(kind | NESTED, inner);
    }

    fn attribute(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.raw(&[0, 0]);
        self.raw(&kind.to_ne_bytes());
        value(self);
        let length = u16::try_from(self.bytes.len() - start);
        self.has_overflowed |= length.is_err();
        self.patch(start, &length.unwrap_or_default().to_ne_bytes());
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        self.bytes[at..at + value.len()].copy_from_slice(value);
    }
}

/// One attribute of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub(super) kind: u16,
    /// Whether it is marked as made of attributes.
    pub(super) is_nested: bool,
    pub(super) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A big-endian number; 0 if it is none.
    pub(super) fn number(&self) -> u32 {
        self.value
            .first_chunk()
            .map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// Text without the zero byte that ends it.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.value.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }
}

/// Reads attributes. What does not look like one ends them.
#[derive(Clone, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (head, _) = self.0.split_first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]);
        let value = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Attribute {
            kind: kind & KIND,
            is_nested: kind & NESTED != 0,
            value,
        })
    }
}

/// Whether the kernel's `dumped` attributes are those of the request `encoded`. The order does not matter but among
/// attributes of one kind, which make a list. Only requests mark what is nested, so they lead.
#[must_use]
pub fn same_attributes(encoded: &[u8], dumped: &[u8]) -> bool {
    let kinds = |bytes| Attributes(bytes).map(|attribute| attribute.kind);
    // Mostly they are in the same order, which is all the same for lists and costs no memory.
    if kinds(encoded).eq(kinds(dumped)) {
        let mut pairs = Attributes(encoded).zip(Attributes(dumped));
        return pairs.all(|(ours, theirs)| same_values(ours, theirs));
    }
    let (encoded, dumped) = (by_kind(encoded), by_kind(dumped));
    encoded.len() == dumped.len()
        && encoded
            .iter()
            .zip(&dumped)
            .all(|((kind, ours), (other, theirs))| {
                kind == other
                    && ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(ours, theirs)| same_values(*ours, *theirs))
            })
}

fn same_values(ours: Attribute<'_>, theirs: Attribute<'_>) -> bool {
    if ours.is_nested {
        same_attributes(ours.value, theirs.value)
    } else {
        ours.value == theirs.value
    }
}

fn by_kind(bytes: &[u8]) -> BTreeMap<u16, Vec<Attribute<'_>>> {
    let mut kinds: BTreeMap<u16, Vec<Attribute<'_>>> = BTreeMap::new();
    for attribute in Attributes(bytes) {
        kinds.entry(attribute.kind).or_default().push(attribute);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Option<Vec<u8>> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.finish()
    }

    #[test]
    fn attributes_are_padded_and_nested() {
        let bytes = written(|w| {
            w.text(1, "ab");
            w.nest(4, |w| w.be16(2, 0x0102));
        });
        assert_eq!(bytes.as_deref().map(<[u8]>::len), Some(20));
        let bytes = bytes.unwrap_or_default();
        assert_eq!(bytes[4..8], [b'a', b'b', 0, 0]);
        assert_eq!(bytes[8..10], 12_u16.to_ne_bytes());
        assert_eq!(bytes[10..12], (4_u16 | NESTED).to_ne_bytes());
        // The length leaves the padding out.
        assert_eq!(bytes[12..14], 6_u16.to_ne_bytes());
        assert_eq!(bytes[16..20], [1, 2, 0, 0]);
        let kinds: Vec<_> = Attributes(&bytes).map(|a| (a.kind, a.is_nested)).collect();
        assert_eq!(kinds, [(1, false), (4, true)]);
    }

    #[test]
    fn what_is_too_long_is_not_written_at_all() {
        let long = |length| written(|w| w.nest(1, |w| w.put(1, &vec![0; length])));
        // Padding counts towards what is around.
        let most = 0xfffc - 2 * HEADER;
        assert!(long(most).is_some());
        assert!(long(most + 1).is_none());
    }

    #[test]
    fn comparison_ignores_the_order_of_kinds_but_not_of_a_list() {
        let request = |swap: bool, list: [u32; 2]| {
            let two = |w: &mut Writer| w.nest(2, |w| list.iter().for_each(|n| w.be32(1, *n)));
            let one = |w: &mut Writer| w.be32(1, 7);
            let bytes = written(|w| {
                if swap {
                    two(w);
                    one(w);
                } else {
                    one(w);
                    two(w);
                }
            });
            bytes.unwrap_or_default()
        };
        // As the kernel dumps it.
        let mut dumped = request(true, [1, 2]);
        dumped[2..4].copy_from_slice(&2_u16.to_ne_bytes());
        assert!(same_attributes(&request(false, [1, 2]), &dumped));
        assert!(!same_attributes(&request(false, [2, 1]), &dumped));
        let mut longer = dumped.clone();
        longer.extend_from_slice(&written(|w| w.be32(3, 0)).unwrap_or_default());
        assert!(!same_attributes(&request(false, [1, 2]), &longer));
        assert!(!same_attributes(
            &request(false, [1, 2]),
            &dumped[..dumped.len() - 8]
        ));
    }

    #[test]
    fn broken_attributes_end() {
        for bytes in [&[1, 0, 0][..], &[3, 0, 1, 0], &[200, 0, 1, 0, 9], &[0; 8]] {
            assert_eq!(Attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
