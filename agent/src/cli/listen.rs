//! An address to listen on.

use std::net::{IpAddr, SocketAddr};

/// Reads `127.0.0.1:9808` or `[fd00::1]:9808`. `fd00::1:9808` is good, too: where the address is put in by the kubelet
/// nobody can put brackets around it.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let problem =
        || format!("{text:?} is no ADDRESS:PORT, such as 127.0.0.1:9808 or [fd00::1]:9808");
    let (address, port) = text.rsplit_once(':').ok_or_else(problem)?;
    let address: IpAddr = address.parse().map_err(|_| problem())?;
    let port = port.parse().map_err(|_| problem())?;
    Ok(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_may_be_missing() {
        let rows = [
            ("127.0.0.1:9808", Some("127.0.0.1:9808")),
            ("[fd00::1]:9808", Some("[fd00::1]:9808")),
            ("fd00::1:9808", Some("[fd00::1]:9808")),
            ("127.0.0.1", None),
            ("::1", None),
            ("[fd00::1]", None),
            ("node-a:9808", None),
            ("127.0.0.1:70000", None),
            (":9808", None),
        ];
        for (text, wanted) in rows {
            let wanted = wanted.map(|text| text.parse().expect("an address"));
            assert_eq!(parse(text).ok(), wanted, "{text}");
        }
    }
}
