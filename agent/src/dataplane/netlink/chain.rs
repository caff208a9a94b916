//! Chains, base chains among them.

use policy_compiler::ruleset::{Hook, Ident};

use crate::netlink::Writer;

// What follows the table's name.
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
/// What a chain is, behind the table's name.
pub(super) fn write_chain(writer: &mut Writer, name: &Ident, hook: Option<Hook>) {
    writer.text(CHAIN_NAME, name.as_str());
    let Some(hook) = hook else { return };
    writer.text(CHAIN_TYPE, FILTER);
    writer.be32(CHAIN_POLICY, ACCEPT);
    writer.nest(CHAIN_HOOK, |w| {
        w.be32(1, hook_number(hook));
        w.put(2, &hook.priority().to_be_bytes());
    });
}

/// The only type of base chains.
pub(super) const FILTER: &str = "filter";
/// `NF_ACCEPT`, the only policy.
pub(super) const ACCEPT: u32 = 1;

/// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_IN`, `NF_INET_FORWARD` or `NF_INET_LOCAL_OUT`
pub(super) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Arrival => 0,
        Hook::Input => 1,
        Hook::Forward(_) => 2,
        Hook::Output(_) => 3,
    }
}
