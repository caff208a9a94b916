//! Netlink attributes: written into a buffer, and read.

/// `NLA_F_NESTED`: the value is attributes. Requests bear it; what the kernel dumps of nftables does not.
const NESTED: u16 = 1 << 15;
/// `NLA_TYPE_MASK`
const KIND: u16 = (1 << 14) - 1;

/// Bytes of an attribute's own header.
const HEADER: usize = 4;

/// Attributes and whole messages, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    has_overflowed: bool,
}

impl Writer {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written; nothing if an attribute was longer than its 16-bit length can say.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.has_overflowed).then_some(self.bytes)
    }

    /// Bytes without a header of their own.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts the length of a message that begins at `start` into its first bytes.
    pub(crate) fn close_message(&mut self, start: usize) {
        let length = u32::try_from(self.bytes.len() - start);
        self.has_overflowed |= length.is_err();
        self.patch(start, &length.unwrap_or_default().to_ne_bytes());
    }

    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |writer| writer.raw(value));
    }

    /// Text with the zero byte that ends it.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |writer| {
            writer.raw(text.as_bytes());
            writer.raw(&[0]);
        });
    }

    /// A number as `nf_tables` takes it: big endian.
    pub(crate) fn be16(&mut self, kind: u16, number: u16) {
        self.put(kind, &number.to_be_bytes());
    }

    pub(crate) fn be32(&mut self, kind: u16, number: u32) {
        self.put(kind, &number.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, number: u64) {
        self.put(kind, &number.to_be_bytes());
    }

    /// An attribute of attributes.
    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
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

/// What `write` writes; nothing if an attribute was too long.
pub(crate) fn written(write: impl FnOnce(&mut Writer)) -> Option<Vec<u8>> {
    let mut writer = Writer::default();
    write(&mut writer);
    writer.finish()
}

/// One attribute of several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    /// Whether it is marked as made of attributes.
    pub(crate) is_nested: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A big-endian number; 0 if it is none.
    pub(crate) fn number(&self) -> u32 {
        self.value
            .first_chunk()
            .map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// Text without the zero byte that ends it.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.value.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }
}

/// Reads attributes. What does not look like one ends them.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn broken_attributes_end() {
        for bytes in [&[1, 0, 0][..], &[3, 0, 1, 0], &[200, 0, 1, 0, 9], &[0; 8]] {
            assert_eq!(Attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
