//! What kind of address a machine has, and whether a request may go there.
//!
//! It knows the registries of special addresses, and no names. The rule that must stay true: of IPv6 only what is
//! known to be public is public, and an IPv4 address is judged as itself however an IPv6 address wraps it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a name of a grant may lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// To machines that everybody reaches.
    Public,
    /// There, and to this machine and those near it.
    Near,
    /// To this machine alone.
    ThisMachine,
}

impl Reach {
    /// Each of them, in the order of their numbers.
    pub(super) const ALL: [Reach; 3] = [Reach::Public, Reach::Near, Reach::ThisMachine];

    /// # Errors
    /// What kind of address it is instead: `a private address`.
    pub(super) fn judge(self, address: IpAddr) -> Result<(), &'static str> {
        match (self, class(address)) {
            (Reach::Public | Reach::Near, Class::Public)
            | (Reach::Near, Class::Near(_))
            | (Reach::Near | Reach::ThisMachine, Class::ThisMachine) => Ok(()),
            (Reach::ThisMachine, Class::Public) => Err("an address of another machine"),
            (Reach::Public, Class::ThisMachine) => Err("a loopback address"),
            (_, Class::Near(kind) | Class::Nowhere(kind)) => Err(kind),
        }
    }
}

/// Who has an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Public,
    /// This machine, spoken to by itself.
    ThisMachine,
    /// Machines of the same house, or of the same provider.
    Near(&'static str),
    /// Nobody who could be asked anything.
    Nowhere(&'static str),
}

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

/// After the IANA registry of special-purpose IPv4 addresses.
fn class_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [0, 0, 0, 0] => Class::Nowhere("the unspecified address"),
        [0, ..] => Class::Nowhere("an address of \"this network\""),
        [127, ..] => Class::ThisMachine,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Near("a private address"),
        [100, 64..=127, ..] => Class::Near("an address of a provider's shared space"),
        [169, 254, ..] => Class::Near("a link-local address"),
        [192, 0, 0, _] | [192, 88, 99, _] => Class::Nowhere("a reserved address"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Nowhere("an address for documentation"),
        [198, 18..=19, ..] => Class::Nowhere("an address for benchmarks"),
        [224..=239, ..] => Class::Nowhere("a multicast address"),
        [255, 255, 255, 255] => Class::Nowhere("the broadcast address"),
        [240..=255, ..] => Class::Nowhere("a reserved address"),
        _ => Class::Public,
    }
}

/// After the IANA registry of special-purpose IPv6 addresses.
fn class_v6(address: Ipv6Addr) -> Class {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        class_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Nowhere("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::ThisMachine,
        // An IPv4 address: mapped, as it was once written, or behind a translator that everybody may run (NAT64).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // And 6to4, which carries it at the front.
        [0x2002, high, low, ..] => v4(high, low),
        // Behind a translator of the house, which may lead anywhere in it.
        [0x64, 0xff9b, 1, ..] => Class::Near("an address of a local translator"),
        [0xfc00..=0xfdff, ..] => Class::Near("a unique local address"),
        [0xfe80..=0xfebf, ..] => Class::Near("a link-local address"),
        [0xfec0..=0xfeff, ..] => Class::Near("a site-local address"),
        [0xff00..=0xffff, ..] => Class::Nowhere("a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Nowhere("an address for documentation"),
        // Teredo, benchmarks, ORCHID and what else the first 512 of the block are for.
        [0x2001, 0..=0x1ff, ..] => Class::Nowhere("a reserved address"),
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Nowhere("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_but_a_public_one_is_taken_for_public() {
        for (addresses, kind) in [
            (
                &["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"][..],
                "a loopback address",
            ),
            (
                &[
                    "10.0.0.1",
                    "10.255.255.255",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "::ffff:10.0.0.1",
                    "::ffff:c0a8:1",
                    "2002:0a00:1::1",
                    "64:ff9b::ac10:1",
                ],
                "a private address",
            ),
            (
                &["169.254.0.1", "169.254.169.254", "::ffff:169.254.169.254", "2002:a9fe:a9fe::", "fe80::1", "febf::1"],
                "a link-local address",
            ),
            (&["100.64.0.0", "100.127.255.255", "::ffff:100.100.100.200"], "an address of a provider's shared space"),
            (&["fc00::1", "fd00:ec2::254", "fdff::"], "a unique local address"),
            (&["fec0::1", "feff::1"], "a site-local address"),
            (&["64:ff9b:1::a00:1", "64:ff9b:1:ffff::1"], "an address of a local translator"),
            (&["0.0.0.0", "::", "::ffff:0.0.0.0"], "the unspecified address"),
            (&["0.0.0.1", "0.255.255.255"], "an address of \"this network\""),
            (&["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "::ffff:224.0.0.1"], "a multicast address"),
            (&["255.255.255.255"], "the broadcast address"),
            (&["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1"], "an address for documentation"),
            (&["198.18.0.1", "198.19.255.255"], "an address for benchmarks"),
            (
                &[
                    "192.0.0.8",
                    "192.88.99.1",
                    "240.0.0.1",
                    "255.255.255.254",
                    "100::1",
                    "2001::1",
                    "2001:2::1",
                    "2001:10::1",
                    "2001:1ff::1",
                    "5f00::1",
                    "4000::1",
                    "1::1",
                    "64:ff9c::1",
                ],
                "a reserved address",
            ),
        ] {
            for address in addresses {
                assert_eq!(Reach::Public.judge(address.parse().unwrap()), Err(kind), "{address}");
            }
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860::8888",
            "3ffe::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(Reach::Public.judge(address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_is_near_is_reached_where_it_is_granted_and_what_is_nowhere_never() {
        let judge = |reach: Reach, address: &str| reach.judge(address.parse().unwrap());
        for near in [
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "fd00::1",
            "fe80::1",
            "64:ff9b:1::1",
            "1.1.1.1",
            "2606:4700::1111",
        ] {
            assert_eq!(judge(Reach::Near, near), Ok(()), "{near}");
        }
        for nowhere in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "192.0.2.1", "ff02::1", "2001:db8::1", "::ffff:0.0.0.0"] {
            assert!(Reach::ALL.iter().all(|reach| judge(*reach, nowhere).is_err()), "{nowhere}");
        }
        assert_eq!((judge(Reach::ThisMachine, "127.0.0.1"), judge(Reach::ThisMachine, "::1")), (Ok(()), Ok(())));
        assert_eq!(judge(Reach::ThisMachine, "10.0.0.1"), Err("a private address"));
        assert_eq!(judge(Reach::ThisMachine, "1.1.1.1"), Err("an address of another machine"));
    }
}
