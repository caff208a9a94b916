//! Keys of elements.

use std::net::IpAddr;

/// The bytes of a key, as they are in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    bytes: [u8; 20],
    length: u8,
}

impl Key {
    /// The first 20 bytes of what is given, which is all that a key has.
    pub(super) fn of(parts: &[u8]) -> Self {
        let mut bytes = [0; 20];
        for (place, byte) in bytes.iter_mut().zip(parts) {
            *place = *byte;
        }
        let length = u8::try_from(parts.len().min(bytes.len())).unwrap_or_default();
        Self { bytes, length }
    }

    /// The last key as long as this one.
    pub(super) fn last(mut self) -> Self {
        let length = usize::from(self.length);
        self.bytes[..length].fill(u8::MAX);
        self
    }

    pub(super) fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of(&address.octets()),
            IpAddr::V6(address) => Self::of(&address.octets()),
        }
    }

    pub(super) fn port(port: u16) -> Self {
        Self::of(&port.to_be_bytes())
    }

    pub(super) fn with_port(mut self, port: u16) -> Self {
        let [high, low] = port.to_be_bytes();
        for byte in [high, low, 0, 0] {
            if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
                *place = byte;
                self.length += 1;
            }
        }
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The key before, if this is not the first.
    pub(super) fn predecessor(mut self) -> Option<Self> {
        let length = usize::from(self.length);
        for byte in self.bytes[..length].iter_mut().rev() {
            let (next, is_under) = byte.overflowing_sub(1);
            *byte = next;
            if !is_under {
                return Some(self);
            }
        }
        None
    }

    /// The next key, if this is not the last.
    pub(super) fn successor(mut self) -> Option<Self> {
        let length = usize::from(self.length);
        for byte in self.bytes[..length].iter_mut().rev() {
            let (next, is_over) = byte.overflowing_add(1);
            *byte = next;
            if !is_over {
                return Some(self);
            }
        }
        None
    }
}
