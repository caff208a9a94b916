//! `ipBlock`: a CIDR minus its exceptions.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The addresses in `cidr` and in none of `except` (semantics rules E1 to E5). Of one address family.
///
/// Networks are stored canonical (host bits cleared), exceptions sorted and without duplicates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    cidr: IpNet,
    except: Vec<IpNet>,
}

/// Why an exception does not fit its block (semantics rule E3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a strict subset of `cidr` {cidr}")]
pub struct IpBlockError {
    /// The block.
    pub cidr: IpNet,
    /// The place of the offending exception in the given list.
    pub index: usize,
}

impl IpBlock {
    /// Joins a CIDR and its exceptions, each of which must lie inside it with a strictly longer prefix.
    pub fn new(cidr: IpNet, except: &[IpNet]) -> Result<Self, IpBlockError> {
        let cidr = cidr.trunc();
        let mut inside: Vec<IpNet> = except.iter().map(IpNet::trunc).collect();
        if let Some(index) = inside
            .iter()
            .position(|hole| !cidr.contains(hole) || hole.prefix_len() <= cidr.prefix_len())
        {
            return Err(IpBlockError { cidr, index });
        }
        inside.sort_unstable();
        inside.dedup();
        Ok(Self {
            cidr,
            except: inside,
        })
    }

    /// The block's network.
    pub fn cidr(&self) -> IpNet {
        self.cidr
    }

    /// The networks taken out of it, sorted.
    pub fn except(&self) -> &[IpNet] {
        &self.except
    }

    /// Whether the block holds `address`; never for an address of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(&address) && !self.except.iter().any(|hole| hole.contains(&address))
    }
}

impl fmt::Display for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        for (i, hole) in self.except.iter().enumerate() {
            write!(f, "{}{hole}", if i == 0 { " except " } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for IpBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn exceptions_lie_strictly_inside() {
        let cidr = net("10.0.0.7/8");
        let block = IpBlock::new(cidr, &[net("10.1.0.0/16")]).expect("valid");
        assert_eq!(block.cidr(), net("10.0.0.0/8"));
        assert!(block.contains("10.2.0.1".parse().expect("ip")));
        assert!(!block.contains("10.1.0.1".parse().expect("ip")));
        assert!(!block.contains("::1".parse().expect("ip")));
        for bad in ["10.0.0.0/8", "11.0.0.0/16", "0.0.0.0/0", "fd00::/8"] {
            let error = IpBlock::new(cidr, &[net("10.1.0.0/16"), net(bad)]).expect_err(bad);
            assert_eq!(error.index, 1);
        }
    }
}
