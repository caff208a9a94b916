//! How the runtime's bytes are to be read: frames of several connections in one, messages on each, fields in those.
//!
//! All of it comes from the container runtime, which is root on the node. It is read as if it came from anybody: sizes are
//! bounded, and what makes no sense is an error.

pub(super) mod messages;
pub(super) mod multiplex;
pub(super) mod protobuf;
pub(super) mod ttrpc;

#[cfg(test)]
mod tests;

/// The largest message of ttrpc. Its own implementation sends none that is larger.
pub(super) const LARGEST_MESSAGE: usize = 4 << 20;

/// What the runtime sent makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// A frame of the multiplexed connection claims more than any message can have.
    #[error("a frame of {0} bytes")]
    Frame(u32),
    /// A message claims more than ttrpc allows.
    #[error("a message of {0} bytes")]
    Message(u32),
    /// A field ends after the message it is in.
    #[error("a message that ends within a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number that is too long")]
    Number,
    /// A field without a number, or of a kind that does not exist.
    #[error("a field of no known kind")]
    Field,
    /// A field holds something else than its name says.
    #[error("a field of the wrong kind")]
    Kind,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Text,
}
