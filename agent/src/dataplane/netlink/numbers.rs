//! The numbers that `nf_tables` has for messages, and for attributes of several of them.

/// `NFT_OBJECT_COUNTER`
pub(crate) const COUNTER: u32 = 1;

// Messages.
pub(crate) const NEW_TABLE: u8 = 0;
pub(crate) const GET_TABLE: u8 = 1;
pub(crate) const DELETE_TABLE: u8 = 2;
pub(crate) const NEW_CHAIN: u8 = 3;
pub(crate) const GET_CHAINS: u8 = 4;
pub(crate) const DELETE_CHAIN: u8 = 5;
pub(crate) const NEW_RULE: u8 = 6;
pub(crate) const GET_RULES: u8 = 7;
pub(crate) const DELETE_RULE: u8 = 8;
pub(crate) const NEW_SET: u8 = 9;
pub(crate) const GET_SETS: u8 = 10;
pub(crate) const DELETE_SET: u8 = 11;
pub(crate) const NEW_ELEMENTS: u8 = 12;
pub(crate) const GET_ELEMENTS: u8 = 13;
pub(crate) const DELETE_ELEMENTS: u8 = 14;
pub(crate) const NEW_GENERATION: u8 = 15;
pub(crate) const GET_GENERATION: u8 = 16;
pub(crate) const NEW_OBJECT: u8 = 18;
pub(crate) const GET_OBJECTS: u8 = 19;
pub(crate) const DELETE_OBJECT: u8 = 20;
pub(crate) const NEW_FLOW_TABLE: u8 = 22;
pub(crate) const GET_FLOW_TABLES: u8 = 23;

// What follows the table's name (1) in most messages.
pub(crate) const IN_TABLE: u16 = 1;
pub(crate) const NAME: u16 = 2;
pub(crate) const RULE_CHAIN: u16 = 2;
pub(crate) const RULE_EXPRESSIONS: u16 = 4;
pub(crate) const RULE_USERDATA: u16 = 7;
pub(crate) const OBJECT_TYPE: u16 = 3;
pub(crate) const OBJECT_DATA: u16 = 4;
pub(crate) const ELEMENTS: u16 = 3;
pub(crate) const ELEMENTS_SET_NUMBER: u16 = 4;
