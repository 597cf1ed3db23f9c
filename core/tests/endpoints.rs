//! Endpoint strings: every endpoint is parsed back from its string, no input makes the parser
//! panic, and every error names the part that is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use varta::{Endpoint, KeyFile, UnixSocket, Varta};

// ------------------------------------------------------------------------ properties

/// The text if it fits the address of a Unix socket.
fn short(text: String) -> Option<String> {
    (text.len() <= 107).then_some(text)
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "/[^\0]{0,40}",
        "\\.{1,2}/[^\0]{0,40}",
        // Relative paths that cannot be mistaken for something else.
        "[^\0@:/][^\0:/]{0,20}(/[^\0]{0,20})?",
        Just("/run/a://b".to_owned()),
        Just("a/udp://b".to_owned()),
        Just("./@name".to_owned()),
        Just("/run/a?lane=off".to_owned()),
        Just("/run/a?lane".to_owned()),
        Just("/run/a?lane=on?b=c".to_owned()),
        Just("./udp://127.0.0.1:9000".to_owned()),
    ]
    .prop_filter_map("too long", short)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "(?s).{1,40}",
        1 => Just("name?lane=off".to_owned()),
    ]
    .prop_filter_map("too long", short)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let scope = prop_oneof![Just(0_u32), any::<u32>()];
    prop_oneof![
        (any::<Ipv4Addr>(), 1_u16..).prop_map(SocketAddr::from),
        (any::<Ipv6Addr>(), 1_u16.., scope)
            .prop_map(|(v6, port, scope)| SocketAddrV6::new(v6, port, 0, scope).into()),
    ]
}

fn key_file() -> impl Strategy<Value = KeyFile> {
    // An ampersand would begin the next parameter.
    ("[^\0&]{1,60}", any::<bool>()).prop_map(|(path, shared)| match shared {
        true => KeyFile::Shared(path.into()),
        false => KeyFile::Master(path.into()),
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        path().prop_map(|path| Endpoint::Path(path.into())),
        name().prop_map(|name| Endpoint::Abstract(name.into())),
        path().prop_map(|path| Endpoint::DatagramsOnly(UnixSocket::Path(path.into()))),
        name().prop_map(|name| Endpoint::DatagramsOnly(UnixSocket::Abstract(name.into()))),
        address().prop_map(Endpoint::Udp),
        (address(), key_file()).prop_map(|(address, key)| Endpoint::SecureUdp { address, key }),
    ]
}

/// Bytes that partly look like an endpoint.
fn near_miss() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => proptest::sample::select(vec![
            "udp", "udp+secure", "unix", "://", ":", "/", "//", "@", "[", "]", "%", "?", "&",
            "=", "+", "-", ".", " ", "\0", "key-file=", "master-key-file=", "lane", "on", "off", "127.0.0.1", "::1",
            "fe80::1", "[::1]", "localhost", "9000", "0", "65535", "65536", "/run/varta.sock",
        ])
        .prop_map(|part| part.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(part, 0..10).prop_map(|parts| parts.concat())
}

/// Checks what must hold for any input.
#[track_caller]
fn check(bytes: &[u8]) {
    let text = OsStr::from_bytes(bytes);
    match Endpoint::from_os_str(text) {
        // Its canonical form parses to the same endpoint.
        Ok(endpoint) if text.to_str().is_some() => {
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
        Ok(_) => {}
        Err(error) => {
            let quoted = format!("bad endpoint {:?}: ", text.to_string_lossy());
            let message = error.to_string();
            assert!(message.len() > quoted.len() && message.starts_with(&quoted), "{message}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..Default::default() })]

    #[test]
    fn a_displayed_endpoint_parses_to_the_same_endpoint(endpoint in endpoint()) {
        let text = endpoint.to_string();
        prop_assert_eq!(text.parse(), Ok(endpoint.clone()));
        prop_assert_eq!(Endpoint::from_os_str(OsStr::new(&text)), Ok(endpoint.clone()));
        if let Endpoint::Path(path) = &endpoint {
            let parsed = format!("unix://{text}").parse::<Endpoint>();
            prop_assert_eq!(parsed.is_ok(), path.is_absolute());
            prop_assert!(parsed.is_err() || parsed == Ok(endpoint));
        }
    }

    #[test]
    fn a_path_or_a_name_need_not_be_utf_8(bytes in vec(1_u8.., 1..107)) {
        // Without an equals sign nothing can be mistaken for a parameter.
        prop_assume!(!bytes.contains(&b'='));
        let path = [b"/", &bytes[..]].concat();
        prop_assert_eq!(
            Endpoint::from_os_str(OsStr::from_bytes(&path)),
            Ok(Endpoint::Path(Path::new(OsStr::from_bytes(&path)).into()))
        );
        let name = [b"@", &bytes[..]].concat();
        prop_assert_eq!(
            Endpoint::from_os_str(OsStr::from_bytes(&name)),
            Ok(Endpoint::Abstract(bytes.clone()))
        );
        let mut text = b"udp+secure://127.0.0.1:9?key-file=".to_vec();
        let file: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'&').collect();
        text.extend(&file);
        let parsed = Endpoint::from_os_str(OsStr::from_bytes(&text));
        let key = KeyFile::Shared(Path::new(OsStr::from_bytes(&file)).into());
        let wanted = Endpoint::SecureUdp { address: ([127, 0, 0, 1], 9).into(), key };
        prop_assert_eq!(parsed.ok(), (!file.is_empty()).then_some(wanted));
    }

    #[test]
    fn random_bytes_do_not_make_the_parser_panic(bytes in vec(any::<u8>(), 0..150)) {
        check(&bytes);
    }

    #[test]
    fn near_misses_do_not_make_the_parser_panic(bytes in near_miss()) {
        check(&bytes);
    }

    #[test]
    fn a_changed_added_or_removed_byte_does_not_make_the_parser_panic(
        endpoint in endpoint(), place: prop::sample::Index, byte: u8,
    ) {
        let bytes = endpoint.to_string().into_bytes();
        let at = place.index(bytes.len());
        let (front, back) = bytes.split_at(at);
        check(&[front, &[byte], back].concat());
        check(&[front, &back[1..]].concat());
        check(&[front, &[byte], &back[1..]].concat());
        check(front);
    }
}

// ---------------------------------------------------------------------------- tables

#[test]
fn each_part_is_parsed_verbatim() {
    let v4 = |port| SocketAddr::from(([10, 0, 0, 5], port));
    let v6 = |scope| SocketAddrV6::new("fe80::1".parse().unwrap(), 9000, 0, scope);
    let shared = |path: &str| KeyFile::Shared(path.into());
    let without_lane = Endpoint::DatagramsOnly;
    for (text, wanted) in [
        ("/run/varta.sock", Endpoint::Path("/run/varta.sock".into())),
        ("unix:///run/varta.sock", Endpoint::Path("/run/varta.sock".into())),
        ("varta.sock", Endpoint::Path("varta.sock".into())),
        ("./a:b", Endpoint::Path("./a:b".into())),
        ("/a:b?c&d@e", Endpoint::Path("/a:b?c&d@e".into())),
        ("unix:///a://b", Endpoint::Path("/a://b".into())),
        ("/a?lane=on", Endpoint::Path("/a".into())),
        ("/a?lane=off", without_lane(UnixSocket::Path("/a".into()))),
        ("unix:///a?lane=off", without_lane(UnixSocket::Path("/a".into()))),
        ("a?b?lane=off", without_lane(UnixSocket::Path("a?b".into()))),
        ("/a?b=c?lane=off", without_lane(UnixSocket::Path("/a?b=c".into()))),
        ("@varta?lane=off", without_lane(UnixSocket::Abstract(b"varta".to_vec()))),
        ("@varta?lane=on", Endpoint::Abstract(b"varta".to_vec())),
        ("@varta", Endpoint::Abstract(b"varta".to_vec())),
        ("@/run/varta.sock", Endpoint::Abstract(b"/run/varta.sock".to_vec())),
        ("@@", Endpoint::Abstract(b"@".to_vec())),
        ("@udp://", Endpoint::Abstract(b"udp://".to_vec())),
        ("udp://10.0.0.5:1", Endpoint::Udp(v4(1))),
        ("udp://10.0.0.5:65535", Endpoint::Udp(v4(65_535))),
        ("udp://[::1]:9000", Endpoint::Udp((Ipv6Addr::LOCALHOST, 9000).into())),
        ("udp://[fe80::1]:9000", Endpoint::Udp(v6(0).into())),
        ("udp://[fe80::1%2]:9000", Endpoint::Udp(v6(2).into())),
        ("udp://[fe80::1%4294967295]:9000", Endpoint::Udp(v6(u32::MAX).into())),
        (
            "udp+secure://10.0.0.5:9443?key-file=/etc/varta/key",
            Endpoint::SecureUdp { address: v4(9443), key: shared("/etc/varta/key") },
        ),
        (
            "udp+secure://[fe80::1%2]:9000?master-key-file=master",
            Endpoint::SecureUdp {
                address: v6(2).into(),
                key: KeyFile::Master("master".into()),
            },
        ),
        (
            "udp+secure://10.0.0.5:1?key-file=/a?b=c#d%20 e:f@g",
            Endpoint::SecureUdp { address: v4(1), key: shared("/a?b=c#d%20 e:f@g") },
        ),
    ] {
        assert_eq!(text.parse(), Ok(wanted), "{text}");
    }
}

#[test]
fn an_error_names_the_part_that_is_wrong() {
    const NO_SCHEME: &str =
        "it has no scheme; put udp:// before an address, or ./ before a path";
    const ABSOLUTE: &str = "the path after unix:// must begin with /";
    const PORT: &str = "the port must be a number from 1 to 65535, after a colon";
    const NO_HOST: &str = "the host is missing";
    const OPEN: &str = "the [ before the host has no closing ]";
    const BRACKETS: &str = "an IPv6 host must be in brackets, as in [::1]:9000";
    const PARAMETERS: &str = "udp:// takes no parameters; for a key use udp+secure://";
    const NEEDS_KEY: &str = "udp+secure:// needs ?key-file=PATH or ?master-key-file=PATH";
    const TWO_KEYS: &str = "it has more than one key file; give exactly one";
    const NO_FILE: &str = "key-file has no value; give the path of a file";
    const NO_MASTER_FILE: &str = "master-key-file has no value; give the path of a file";

    let host =
        |host| format!("host {host:?} is not a numeric address; names are not looked up");
    let scope =
        |scope| format!("IPv6 scope {scope:?} is not a number; use the index of the interface");
    let scheme = |scheme| format!("unknown scheme {scheme:?}; use unix, udp or udp+secure");
    let parameter =
        |name| format!("unknown parameter {name:?}; use key-file or master-key-file");
    let long = |what| format!("the {what} has 108 bytes; a Unix socket allows at most 107");
    let path_of = |length: usize| format!("/{}", "x".repeat(length - 1));
    let name_of = |length| format!("@{}", "x".repeat(length));

    for (text, problem) in [
        ("", "it is empty"),
        // Abstract names and paths.
        ("@", "the name after @ is empty"),
        (&name_of(108), &long("name")),
        (&path_of(108), &long("path")),
        (&format!("unix://{}", path_of(108)), &long("path")),
        ("/run/\0", "the path contains a NUL byte"),
        ("a\0b", "the path contains a NUL byte"),
        ("unix:///a\0b", "the path contains a NUL byte"),
        ("unix://", ABSOLUTE),
        ("unix://relative", ABSOLUTE),
        ("unix://./relative", ABSOLUTE),
        ("unix://@name", ABSOLUTE),
        // The lane.
        ("?lane=off", "the path before the parameters is empty"),
        ("@?lane=off", "the name after @ is empty"),
        ("/a?lane", "lane is \"\"; use lane=on or lane=off"),
        ("/a?lane=", "lane is \"\"; use lane=on or lane=off"),
        ("@a?lane=no", "lane is \"no\"; use lane=on or lane=off"),
        ("unix:///a?lane=off&lane=off", "it has more than one lane; give at most one"),
        ("/a?lan=off", "unknown parameter \"lan\"; use lane"),
        ("/a?lane=off&key-file=b", "unknown parameter \"key-file\"; use lane"),
        (&format!("{}?lane=off", path_of(108)), &long("path")),
        // Schemes.
        ("http://127.0.0.1:9000", &scheme("http")),
        ("udp+tls://127.0.0.1:9000", &scheme("udp+tls")),
        ("UDP://127.0.0.1:9000", &scheme("UDP")),
        ("://127.0.0.1:9000", &scheme("")),
        ("localhost:9000", NO_SCHEME),
        ("127.0.0.1:9000", NO_SCHEME),
        ("[::1]:9000", NO_SCHEME),
        ("udp:127.0.0.1:9000", NO_SCHEME),
        ("unix:/run/varta.sock", NO_SCHEME),
        // Hosts.
        ("udp://", NO_HOST),
        ("udp://:9000", NO_HOST),
        ("udp://[]:9000", NO_HOST),
        ("udp://localhost:9000", &host("localhost")),
        ("udp://observer.example:9000", &host("observer.example")),
        ("udp://[localhost]:9000", &host("localhost")),
        ("udp://user@127.0.0.1:9000", &host("user@127.0.0.1")),
        ("udp://127.1:9000", &host("127.1")),
        ("udp://127.0.0.256:9000", &host("127.0.0.256")),
        ("udp://0x7f000001:9000", &host("0x7f000001")),
        ("udp://127.0.0.1\0:9000", &host("127.0.0.1\0")),
        ("udp://[127.0.0.1]:9000", "brackets are for IPv6; write the host as 127.0.0.1"),
        ("udp://::1:9000", BRACKETS),
        ("udp://::1", BRACKETS),
        ("udp://fe80::1%2:9000", BRACKETS),
        ("udp://[::1", OPEN),
        ("udp://[::1:9000", OPEN),
        ("udp://[fe80::1%eth0]:9000", &scope("eth0")),
        ("udp://[fe80::1%]:9000", &scope("")),
        ("udp://[fe80::1%+2]:9000", &scope("+2")),
        ("udp://[fe80::1%-2]:9000", &scope("-2")),
        ("udp://[fe80::1%4294967296]:9000", &scope("4294967296")),
        // Ports.
        ("udp://127.0.0.1", PORT),
        ("udp://127.0.0.1:", PORT),
        ("udp://127.0.0.1:0", PORT),
        ("udp://127.0.0.1:65536", PORT),
        ("udp://127.0.0.1:4294967297", PORT),
        ("udp://127.0.0.1:-1", PORT),
        ("udp://127.0.0.1:+5", PORT),
        ("udp://127.0.0.1: 5", PORT),
        ("udp://127.0.0.1:5 ", PORT),
        ("udp://127.0.0.1:http", PORT),
        ("udp://127.0.0.1:9000/", PORT),
        ("udp://[::1]", PORT),
        ("udp://[::1]9000", PORT),
        ("udp://[::1]:0", PORT),
        // Parameters.
        ("udp://127.0.0.1:9000?", PARAMETERS),
        ("udp://127.0.0.1:9000?key-file=/key", PARAMETERS),
        ("udp+secure://127.0.0.1:9000", NEEDS_KEY),
        ("udp+secure://127.0.0.1:9000?", NEEDS_KEY),
        ("udp+secure://127.0.0.1:9000?key=/key", &parameter("key")),
        ("udp+secure://127.0.0.1:9000?Key-File=/key", &parameter("Key-File")),
        ("udp+secure://127.0.0.1:9000?key-file=/key&epoch=1", &parameter("epoch")),
        ("udp+secure://127.0.0.1:9000?key-file=/key&", &parameter("")),
        ("udp+secure://127.0.0.1:9000?=/key", &parameter("")),
        ("udp+secure://127.0.0.1:9000?key-file", NO_FILE),
        ("udp+secure://127.0.0.1:9000?key-file=", NO_FILE),
        ("udp+secure://127.0.0.1:9000?master-key-file=", NO_MASTER_FILE),
        ("udp+secure://127.0.0.1:9000?key-file=\0", "the path of key-file contains a NUL byte"),
        ("udp+secure://127.0.0.1:9000?key-file=/a&key-file=/a", TWO_KEYS),
        ("udp+secure://127.0.0.1:9000?key-file=/a&master-key-file=/b", TWO_KEYS),
        // The address is parsed as for plain UDP.
        ("udp+secure://localhost:9000?key-file=/key", &host("localhost")),
        ("udp+secure://127.0.0.1?key-file=/key", PORT),
        ("udp+secure://127.0.0.1:0?key-file=/key", PORT),
        ("udp+secure://[fe80::1%eth0]:9000?key-file=/key", &scope("eth0")),
    ] {
        let error = text.parse::<Endpoint>().expect_err(text);
        assert_eq!(error.to_string(), format!("bad endpoint {text:?}: {problem}"));

        // Opening an agent returns the same error.
        let opened = Varta::open(text).unwrap_err();
        assert_eq!(opened.to_string(), error.to_string());
        assert_eq!(opened.kind(), io::ErrorKind::InvalidInput);
    }

    for text in [path_of(107), name_of(107), format!("unix://{}", path_of(107))] {
        assert!(text.parse::<Endpoint>().is_ok(), "{text}");
    }
}

#[test]
fn the_longest_names_are_accepted_by_the_system() {
    // The only error is that no observer is there.
    for text in [format!("/{}", "x".repeat(106)), format!("@{}", "x".repeat(107))] {
        let endpoint = text.parse().unwrap();
        let error = varta::AnyTransport::connect(&endpoint).unwrap_err();
        let errno = varta::BeatError::from_io(&error).errno;
        assert!(matches!(errno, libc::ENOENT | libc::ECONNREFUSED), "{error}");
    }
}
