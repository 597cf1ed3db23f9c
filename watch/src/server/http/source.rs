//! Defines what counts as one source of connections and requests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address, or an IPv6 network of 64 bits, because one host may have a whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl Source {
    pub(super) const fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// The machine of this source. All loopback addresses belong to one machine.
    pub(super) const fn machine(self) -> Self {
        if self.is_loopback() { Self(IpAddr::V4(Ipv4Addr::LOCALHOST)) } else { self }
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(Ipv6Addr::LOCALHOST) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(v6) => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
            }
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn all_loopback_addresses_belong_to_one_machine() {
        for local in ["127.0.0.1", "127.0.3.8", "::1", "::ffff:127.9.9.9"] {
            assert!(source(local).is_loopback(), "{local}");
            assert_eq!(source(local).machine(), source("127.0.0.1"), "{local}");
        }
        assert_eq!(source("192.0.2.1").machine(), source("192.0.2.1"));
        assert!(!source("::2").is_loopback());
    }
}
