//! Checks the Host header. A page of another site can make its own name resolve to this address
//! (DNS rebinding) and could then read the responses; but its requests contain that name.

use std::net::{IpAddr, Ipv6Addr};

use hyper::http::uri::Authority;
use hyper::{Request, StatusCode, Version, header};

/// Checks the form of a request's Host header, and returns its value.
pub(super) fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, StatusCode> {
    let target = request.uri().authority();
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if request.version() < Version::HTTP_11 => return Ok(target.cloned()),
        _ => return Err(StatusCode::BAD_REQUEST),
    };
    let host = Authority::try_from(host.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    if host.as_str().contains('@') || target.is_some_and(|target| *target != host) {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Some(host))
}

/// Whether this is an IP address, `localhost` or one of `names`, which no other site's page can
/// send.
pub(super) fn is_ours(authority: &Authority, names: &[String]) -> bool {
    let host = authority.host();
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if v6.map_or(host.parse::<IpAddr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok()) {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut names = names.iter().map(String::as_str).chain(["localhost"]);
    names.any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        let names = ["monitor.example".to_owned()];
        let is_ours = |host: &str| is_ours(&host.parse().unwrap(), &names);
        for host in ["127.0.0.1", "10.0.0.5:9464", "[::1]:9464", "LocalHost:1", "localhost."] {
            assert!(is_ours(host), "{host}");
        }
        assert!(is_ours("Monitor.Example:9464"));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "monitor"] {
            assert!(!is_ours(host), "{host}");
        }
    }
}
