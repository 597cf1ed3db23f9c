//! Endpoint strings: one notation for every transport, in every language and on every
//! command line.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::sys;

/// The environment variable that names the endpoint when a program does not.
pub const ENDPOINT_VARIABLE: &str = "VARTA_ENDPOINT";

/// The endpoint that is used when none is named.
pub const DEFAULT_ENDPOINT: &str = "/run/varta/varta.sock";

/// The longest path or abstract name that fits `sun_path` with its NUL.
pub const LONGEST_NAME: usize = 107;

/// Where an observer listens.
///
/// ```
/// use varta::Endpoint;
///
/// for text in [
///     "/run/varta.sock",
///     "@varta",
///     "/run/varta.sock?lane=off",
///     "udp://127.0.0.1:9000",
///     "udp://[::1]:9000",
///     "udp+secure://10.0.0.5:9443?key-file=/etc/varta/key",
///     "udp+secure://10.0.0.5:9443?master-key-file=/etc/varta/master",
/// ] {
///     assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
/// }
/// assert_eq!("unix:///run/varta.sock".parse(), "/run/varta.sock".parse::<Endpoint>());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Unix datagram socket in the file system.
    Path(PathBuf),
    /// A Unix datagram socket in Linux's abstract namespace, named without the `@`.
    Abstract(Vec<u8>),
    /// A Unix datagram socket to which beats go as datagrams only, never through memory that
    /// is shared with the observer: `?lane=off`.
    DatagramsOnly(UnixSocket),
    /// Plain UDP.
    Udp(SocketAddr),
    /// Sealed UDP.
    SecureUdp {
        /// The address.
        address: SocketAddr,
        /// The file that holds the key.
        key: KeyFile,
    },
}

/// A Unix socket.
///
/// ```
/// use varta::{Endpoint, UnixSocket};
///
/// let endpoint = "@varta?lane=off".parse();
/// assert_eq!(endpoint, Ok(Endpoint::DatagramsOnly(UnixSocket::Abstract(b"varta".to_vec()))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UnixSocket {
    /// In the file system.
    Path(PathBuf),
    /// In Linux's abstract namespace, named without the `@`.
    Abstract(Vec<u8>),
}

/// Which key a file holds.
///
/// ```
/// use varta::{Endpoint, KeyFile};
///
/// let endpoint = "udp+secure://[::1]:1?key-file=/k".parse().unwrap();
/// assert!(matches!(endpoint, Endpoint::SecureUdp { key: KeyFile::Shared(_), .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyFile {
    /// The key itself, the same for all agents.
    Shared(PathBuf),
    /// A master key, from which each agent's own is derived.
    Master(PathBuf),
}

impl Endpoint {
    /// The endpoint in `$VARTA_ENDPOINT` if that is set and not empty, else
    /// `/run/varta/varta.sock`.
    ///
    /// A program that has more rights than the user who started it (set-user-ID, set-group-ID,
    /// or file capabilities) ignores the variable: that user must not choose which sockets and
    /// key files it opens.
    ///
    /// # Errors
    ///
    /// The variable does not contain a valid endpoint.
    pub fn from_env() -> Result<Self, EndpointError> {
        match sys::trusted_variable(ENDPOINT_VARIABLE).filter(|text| !text.is_empty()) {
            Some(text) => Self::from_os_str(&text).map_err(|mut error| {
                error.problem = format!("{} (from ${ENDPOINT_VARIABLE})", error.problem).into();
                error
            }),
            None => DEFAULT_ENDPOINT.parse(),
        }
    }

    /// As [`FromStr`], for paths that need not be UTF-8.
    ///
    /// # Errors
    ///
    /// [`EndpointError`] if the text is not a valid endpoint.
    pub fn from_os_str(text: &OsStr) -> Result<Self, EndpointError> {
        parse(text).map_err(|problem| EndpointError {
            text: text.to_string_lossy().into_owned(),
            problem,
        })
    }

    /// The Unix socket, if it is one.
    pub(crate) fn unix_socket(&self) -> Option<UnixSocket> {
        match self {
            Self::Path(path) => Some(UnixSocket::Path(path.clone())),
            Self::Abstract(name) => Some(UnixSocket::Abstract(name.clone())),
            Self::DatagramsOnly(socket) => Some(socket.clone()),
            Self::Udp(_) | Self::SecureUdp { .. } => None,
        }
    }

    /// The name under which the beats of a process to this endpoint are counted.
    pub(crate) fn counted_as(&self) -> OsString {
        match self {
            Self::Path(path) | Self::DatagramsOnly(UnixSocket::Path(path)) => {
                resolve(path).into_os_string()
            }
            Self::Abstract(name) | Self::DatagramsOnly(UnixSocket::Abstract(name)) => {
                abstract_text(name)
            }
            // An observer keeps one nonce per process, whether its beats are sealed or not;
            // and an IPv4-mapped IPv6 address is the same as the IPv4 address.
            Self::Udp(address) | Self::SecureUdp { address, .. } => {
                match address.ip().to_canonical() {
                    IpAddr::V4(v4) => SocketAddr::from((v4, address.port())).to_string().into(),
                    IpAddr::V6(_) => address.to_string().into(),
                }
            }
        }
    }

    fn to_os_string(&self) -> OsString {
        match self {
            Self::Path(path) => with_lane_on(path.clone().into_os_string()),
            Self::Abstract(name) => with_lane_on(abstract_text(name)),
            Self::DatagramsOnly(socket) => {
                let mut text = match socket {
                    UnixSocket::Path(path) => path.clone().into_os_string(),
                    UnixSocket::Abstract(name) => abstract_text(name),
                };
                text.push("?lane=off");
                text
            }
            Self::Udp(address) => format!("udp://{address}").into(),
            Self::SecureUdp { address, key } => {
                let (name, file) = match key {
                    KeyFile::Shared(file) => ("key-file", file),
                    KeyFile::Master(file) => ("master-key-file", file),
                };
                let mut text = OsString::from(format!("udp+secure://{address}?{name}="));
                text.push(file);
                text
            }
        }
    }
}

fn abstract_text(name: &[u8]) -> OsString {
    let mut text = OsString::from("@");
    text.push(OsStr::from_bytes(name));
    text
}

/// The name of a socket, with a parameter if its own end could be mistaken for one.
fn with_lane_on(mut text: OsString) -> OsString {
    if parameters_at(text.as_bytes()).is_some() {
        text.push("?lane=on");
    }
    text
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::from_os_str(OsStr::new(text))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Path::new(&self.to_os_string()).display().fmt(f)
    }
}

/// Why a text is not a valid endpoint: which part is wrong, and how to correct it.
///
/// ```
/// use varta::Endpoint;
///
/// let error = "udp://localhost:9000".parse::<Endpoint>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "bad endpoint \"udp://localhost:9000\": host \"localhost\" is not a numeric address; \
///      names are not looked up",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError {
    text: String,
    problem: Cow<'static, str>,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad endpoint {:?}: {}", self.text, self.problem)
    }
}

impl std::error::Error for EndpointError {}

impl From<EndpointError> for std::io::Error {
    fn from(error: EndpointError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

type Problem = Cow<'static, str>;

fn parse(text: &OsStr) -> Result<Endpoint, Problem> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if let Some(name) = bytes.strip_prefix(b"@") {
        return with_lane(name, abstract_name);
    }
    match split_scheme(bytes) {
        Some((b"unix", path)) if path.starts_with(b"/") => with_lane(path, path_of),
        Some((b"unix", _)) => Err("the path after unix:// must begin with /".into()),
        Some((b"udp", rest)) => match rest.iter().position(|byte| *byte == b'?') {
            Some(_) => Err("udp:// takes no parameters; for a key use udp+secure://".into()),
            None => address(rest).map(Endpoint::Udp),
        },
        Some((b"udp+secure", rest)) => secure(rest),
        Some((scheme, _)) => Err(format!(
            "unknown scheme {:?}; use unix, udp or udp+secure",
            String::from_utf8_lossy(scheme)
        )
        .into()),
        None if has_colon_before_slash(bytes) => {
            Err("it has no scheme; put udp:// before an address, or ./ before a path".into())
        }
        None => with_lane(bytes, path_of),
    }
}

/// Reads the name of a Unix socket, and the parameters after it.
fn with_lane(
    text: &[u8],
    socket: impl FnOnce(&[u8]) -> Result<UnixSocket, Problem>,
) -> Result<Endpoint, Problem> {
    let (name, uses_lane) = match parameters_at(text) {
        Some(at) => {
            let (name, parameters) = text.split_at(at);
            (name, uses_lane(parameters.get(1..).unwrap_or_default())?)
        }
        None => (text, true),
    };
    Ok(match (socket(name)?, uses_lane) {
        (UnixSocket::Path(path), true) => Endpoint::Path(path),
        (UnixSocket::Abstract(name), true) => Endpoint::Abstract(name),
        (socket, false) => Endpoint::DatagramsOnly(socket),
    })
}

/// Where the parameters of a Unix socket begin: at the last question mark, if a name and `=`
/// follow it. Any other question mark belongs to the socket's own name.
fn parameters_at(text: &[u8]) -> Option<usize> {
    let at = text.iter().rposition(|byte| *byte == b'?')?;
    let mut parts = text.get(at + 1..)?.splitn(2, |byte| *byte == b'=');
    let name = parts.next()?;
    let is_word =
        !name.is_empty() && name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'-'));
    (is_word && (parts.next().is_some() || name == b"lane")).then_some(at)
}

fn uses_lane(parameters: &[u8]) -> Result<bool, Problem> {
    let mut uses_lane = None;
    for parameter in parameters.split(|byte| *byte == b'&') {
        let at = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let (name, value) = parameter.split_at(at);
        if name != b"lane" {
            let name = String::from_utf8_lossy(name);
            return Err(format!("unknown parameter {name:?}; use lane").into());
        }
        let value = match value.get(1..).unwrap_or_default() {
            b"on" => true,
            b"off" => false,
            other => {
                let value = String::from_utf8_lossy(other);
                return Err(format!("lane is {value:?}; use lane=on or lane=off").into());
            }
        };
        if uses_lane.replace(value).is_some() {
            return Err("it has more than one lane; give at most one".into());
        }
    }
    Ok(uses_lane.unwrap_or(true))
}

fn split_scheme(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const MARK: &[u8] = b"://";
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)?;
    // After a slash it is a directory whose name ends in a colon.
    let scheme = bytes.get(..at).filter(|scheme| !scheme.contains(&b'/'))?;
    Some((scheme, bytes.get(at + MARK.len()..)?))
}

fn has_colon_before_slash(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| matches!(byte, b':' | b'/')) == Some(&b':')
}

fn abstract_name(name: &[u8]) -> Result<UnixSocket, Problem> {
    match name {
        [] => Err("the name after @ is empty".into()),
        _ if name.len() > LONGEST_NAME => Err(too_long("name", name.len())),
        _ => Ok(UnixSocket::Abstract(name.to_vec())),
    }
}

fn path_of(path: &[u8]) -> Result<UnixSocket, Problem> {
    if path.is_empty() {
        return Err("the path before the parameters is empty".into());
    }
    if path.contains(&0) {
        return Err("the path contains a NUL byte".into());
    }
    if path.len() > LONGEST_NAME {
        return Err(too_long("path", path.len()));
    }
    Ok(UnixSocket::Path(Path::new(OsStr::from_bytes(path)).to_owned()))
}

fn too_long(what: &str, length: usize) -> Problem {
    format!("the {what} has {length} bytes; a Unix socket allows at most {LONGEST_NAME}").into()
}

fn secure(rest: &[u8]) -> Result<Endpoint, Problem> {
    const NEEDS_KEY: &str = "udp+secure:// needs ?key-file=PATH or ?master-key-file=PATH";
    let Some(at) = rest.iter().position(|byte| *byte == b'?') else {
        return Err(NEEDS_KEY.into());
    };
    let (host, query) = rest.split_at(at);
    let address = address(host)?;
    if query.len() == 1 {
        return Err(NEEDS_KEY.into());
    }
    let mut key = None;
    for parameter in query.get(1..).unwrap_or_default().split(|byte| *byte == b'&') {
        let at = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let (name, value) = parameter.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        let kind = match name {
            b"key-file" => KeyFile::Shared,
            b"master-key-file" => KeyFile::Master,
            _ => {
                return Err(format!(
                    "unknown parameter {:?}; use key-file or master-key-file",
                    String::from_utf8_lossy(name)
                )
                .into());
            }
        };
        let name = String::from_utf8_lossy(name);
        if value.is_empty() {
            return Err(format!("{name} has no value; give the path of a file").into());
        }
        if value.contains(&0) {
            return Err(format!("the path of {name} contains a NUL byte").into());
        }
        if key.is_some() {
            return Err("it has more than one key file; give exactly one".into());
        }
        key = Some(kind(Path::new(OsStr::from_bytes(value)).to_owned()));
    }
    match key {
        Some(key) => Ok(Endpoint::SecureUdp { address, key }),
        None => Err(NEEDS_KEY.into()),
    }
}

fn address(text: &[u8]) -> Result<SocketAddr, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| "the address is not valid UTF-8")?;
    match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) =
                rest.split_once(']').ok_or("the [ before the host has no closing ]")?;
            let (host, scope) = host_v6(host)?;
            let port = port(after.strip_prefix(':'))?;
            Ok(SocketAddrV6::new(host, port, 0, scope).into())
        }
        None if text.matches(':').count() > 1 => {
            Err("an IPv6 host must be in brackets, as in [::1]:9000".into())
        }
        None => {
            let (host, digits) = match text.split_once(':') {
                Some((host, digits)) => (host, Some(digits)),
                None => (text, None),
            };
            let host: Ipv4Addr = host.parse().map_err(|_| not_numeric(host))?;
            Ok((host, port(digits)?).into())
        }
    }
}

fn port(digits: Option<&str>) -> Result<u16, Problem> {
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|port| *port != 0)
        .ok_or("the port must be a number from 1 to 65535, after a colon".into())
}

/// The host, and the index of the interface through which it is reached; 0 for any.
fn host_v6(text: &str) -> Result<(Ipv6Addr, u32), Problem> {
    let (host, scope) = match text.split_once('%') {
        None => (text, 0),
        Some((host, scope)) => match scope.parse() {
            Ok(index) if !scope.starts_with('+') => (host, index),
            _ => {
                return Err(format!(
                    "IPv6 scope {scope:?} is not a number; use the index of the interface"
                )
                .into());
            }
        },
    };
    match host.parse() {
        Ok(v6) => Ok((v6, scope)),
        Err(_) if host.parse::<Ipv4Addr>().is_ok() => {
            Err(format!("brackets are for IPv6; write the host as {host}").into())
        }
        Err(_) => Err(not_numeric(host)),
    }
}

fn not_numeric(host: &str) -> Problem {
    if host.is_empty() {
        return "the host is missing".into();
    }
    format!("host {host:?} is not a numeric address; names are not looked up").into()
}

/// The path without symlinks and dots, as far as it exists. Two spellings of one socket must
/// share a counter even before the socket exists.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    const LINKS_FOLLOWED: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS_FOLLOWED {
        if let Ok(resolved) = path.canonicalize() {
            return resolved;
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => break,
        };
        match path.read_link() {
            Ok(target) => path = parent.join(target),
            Err(_) => {
                if let (Ok(parent), Some(name)) = (parent.canonicalize(), path.file_name()) {
                    return parent.join(name);
                }
                break;
            }
        }
    }
    std::path::absolute(&path).unwrap_or(path)
}
