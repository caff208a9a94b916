//! What `nft` keeps for itself with a rule, a set or an element. The kernel does not look at it; without it `nft` lists
//! keys byte by byte reversed, and no comments.

use policy_compiler::model::Protocol;
use policy_compiler::ruleset::Comment;

/// Byte orders of keys and values, as `nft` numbers them.
const UNKNOWN: u32 = 0;
const OWN: u32 = 1;
const BIG_ENDIAN: u32 = 2;

// What is told of a set.
const KEY_BYTE_ORDER: u8 = 0;
const VALUE_BYTE_ORDER: u8 = 1;
const MERGES: u8 = 2;
const KEY_EXPRESSION: u8 = 3;
const VALUES_ARE_INTERVALS: u8 = 6;
const SET_COMMENT: u8 = 7;

/// What is told of a rule.
const RULE_COMMENT: u8 = 0;

/// What is told of an element.
const ELEMENT_FLAGS: u8 = 1;
/// The interval goes on to the last key there is.
const IS_OPEN: u32 = 1;

// Kinds of expressions.
const PAYLOAD: u32 = 7;
const CONCATENATION: u32 = 13;

/// The field of the destination port, the same in all three protocols.
const DESTINATION_PORT: u32 = 2;

/// Items of a byte for the kind, a byte for the length, and the value. Numbers are in the machine's own order.
#[derive(Debug, Default)]
pub(super) struct Userdata(Vec<u8>);

impl Userdata {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn put(mut self, kind: u8, value: &[u8]) -> Self {
        // All there is is short: a comment has 127 bytes.
        let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
        self.0.extend([kind, length]);
        self.0.extend(value.iter().take(usize::from(length)));
        self
    }

    fn number(self, kind: u8, number: u32) -> Self {
        self.put(kind, &number.to_ne_bytes())
    }

    fn nest(self, kind: u8, inner: &Self) -> Self {
        self.put(kind, &inner.0)
    }

    fn comment(self, kind: u8, comment: &Comment) -> Self {
        let text: Vec<u8> = comment.as_str().bytes().chain([0]).collect();
        self.put(kind, &text)
    }

    /// A rule with a comment.
    pub(super) fn of_rule(comment: &Comment) -> Self {
        Self::default().comment(RULE_COMMENT, comment)
    }

    /// A set of addresses.
    pub(super) fn of_key() -> Self {
        Self::default().number(KEY_BYTE_ORDER, BIG_ENDIAN)
    }

    /// A set of numbers in the machine's own order.
    pub(super) fn of_number() -> Self {
        Self::default().number(KEY_BYTE_ORDER, OWN)
    }

    /// A set of pairs.
    pub(super) fn of_concatenation() -> Self {
        let key = Self::default().number(0, CONCATENATION).put(1, &[]);
        Self::default()
            .number(KEY_BYTE_ORDER, UNKNOWN)
            .nest(KEY_EXPRESSION, &key)
    }

    /// A map from addresses to verdicts.
    pub(super) fn of_verdict_map() -> Self {
        Self::of_key()
            .number(VALUE_BYTE_ORDER, UNKNOWN)
            .number(VALUES_ARE_INTERVALS, 0)
    }

    /// The set of a rule's list of ports.
    pub(super) fn of_ports(protocol: Protocol, has_intervals: bool) -> Self {
        let protocol = match protocol {
            Protocol::Udp => 6,
            Protocol::Tcp => 8,
            Protocol::Sctp => 10,
        };
        let field = Self::default()
            .number(0, protocol)
            .number(1, DESTINATION_PORT);
        let key = Self::default().number(0, PAYLOAD).nest(1, &field);
        let mut set = Self::of_key();
        if has_intervals {
            set = set.number(MERGES, 1);
        }
        set.nest(KEY_EXPRESSION, &key)
    }

    /// An interval without an end.
    pub(super) fn of_open_end() -> Self {
        Self::default().number(ELEMENT_FLAGS, IS_OPEN)
    }

    /// The comment of a rule, or of an element.
    pub(super) fn comment_of_rule(userdata: &[u8]) -> Option<&[u8]> {
        find_comment(userdata, RULE_COMMENT)
    }

    /// The comment of a set.
    pub(super) fn comment_of_set(userdata: &[u8]) -> Option<&[u8]> {
        find_comment(userdata, SET_COMMENT)
    }

    pub(super) fn with_comment(self, comment: &Comment) -> Self {
        self.comment(SET_COMMENT, comment)
    }
}

fn find_comment(mut userdata: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [kind, length, rest @ ..] = userdata {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *kind == wanted {
            return Some(value.strip_suffix(&[0]).unwrap_or(value));
        }
        userdata = next;
    }
    None
}
