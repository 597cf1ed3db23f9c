//! A connection to NATS, which is never opened again by itself.
//!
//! The NATS client would connect again and then send what it still has queued. That could be sent
//! before earlier messages that were lost with the old connection, and the order would be lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ConnectOptions, Event, ServerAddr};
use clap::Args;
use nkeys::KeyPair;
use tokio::sync::Notify;

use crate::cli::secret;

/// The time limit for a server to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a connection without traffic is checked. The second check without an answer ends it.
const PING_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct Nats {
    /// Servers of one NATS cluster, separated by commas; tls:// requires TLS
    #[arg(long, value_name = "URLS", global = true, default_value = "nats://127.0.0.1:4222", value_parser = servers)]
    server: Servers,
    /// Log in with this credentials file, which contains a JWT and an nkey
    #[arg(long, value_name = "FILE", global = true, group = "login")]
    credentials_file: Option<PathBuf>,
    /// Log in with the nkey whose seed is in this file
    #[arg(long, value_name = "FILE", global = true, group = "login")]
    nkey_file: Option<PathBuf>,
    /// Log in with the token in this file
    #[arg(long, value_name = "FILE", global = true, group = "login")]
    nats_token_file: Option<PathBuf>,
    /// Log in as this user, with --password-file
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        group = "login",
        requires = "password_file"
    )]
    user: Option<String>,
    /// The password of --user
    #[arg(long, value_name = "FILE", global = true, requires = "user")]
    password_file: Option<PathBuf>,
    /// Refuse servers without TLS
    #[arg(long, global = true)]
    tls: bool,
    /// Start TLS before the server says anything, as with handshake_first in its configuration
    #[arg(long, global = true)]
    tls_first: bool,
    /// Trust the certificates in this file instead of those of the system
    #[arg(long, value_name = "FILE", global = true)]
    tls_ca_file: Option<PathBuf>,
    /// The client certificate
    #[arg(long, value_name = "FILE", global = true, requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The private key of the client certificate
    #[arg(long, value_name = "FILE", global = true, requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Servers(Vec<ServerAddr>);

fn servers(text: &str) -> Result<Servers, String> {
    let parse = |url: &str| {
        let server: ServerAddr = url.parse().map_err(|error| format!("{url}: {error}"))?;
        match (server.has_user_pass(), server.scheme()) {
            // Others can read the command line.
            (true, _) => {
                Err("a URL must not contain a password; use --password-file".to_owned())
            }
            (false, "nats" | "tls") if !server.host().is_empty() => Ok(server),
            (false, _) => Err(format!("{url}: give nats://HOST:PORT or tls://HOST:PORT")),
        }
    };
    text.split(',').map(|url| parse(url.trim())).collect::<Result<_, _>>().map(Servers)
}

impl Nats {
    /// The addresses of the servers.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<_> = self.server.0.iter().map(address).collect();
        addresses.join(", ")
    }

    /// Checks the files that the flags name.
    pub(crate) fn check(&self) -> Result<(), String> {
        // What is signed does not matter here.
        self.login(b"check")?;
        let files = [
            ("--tls-ca-file", &self.tls_ca_file),
            ("--tls-cert-file", &self.tls_cert_file),
            ("--tls-key-file", &self.tls_key_file),
        ];
        for (flag, file) in files {
            if let Some(file) = file {
                secret(file).map_err(|why| format!("{flag} {why}"))?;
            }
        }
        Ok(())
    }

    /// What a server that sent `nonce` is sent to log in. The files are read for each connection,
    /// so that their content can be replaced at any time.
    fn login(&self, nonce: &[u8]) -> Result<Auth, String> {
        let mut auth = Auth::new();
        if let Some(file) = &self.credentials_file {
            let named = |why: String| format!("--credentials-file {why}");
            let text = secret(file).map_err(named)?;
            let mut blocks = decorated(&text);
            let (Some(jwt), Some(seed)) = (blocks.next(), blocks.next()) else {
                let why = "it does not contain a JWT and an nkey";
                return Err(named(format!("{}: {why}", file.display())));
            };
            let key =
                key_of(seed).map_err(|why| named(format!("{}: {why}", file.display())))?;
            auth.jwt = Some(jwt.to_owned());
            auth.signature = Some(key.sign(nonce).map_err(|error| named(error.to_string()))?);
        }
        if let Some(file) = &self.nkey_file {
            let named = |why: String| format!("--nkey-file {why}");
            let text = secret(file).map_err(named)?;
            let key =
                key_of(&text).map_err(|why| named(format!("{}: {why}", file.display())))?;
            auth.nkey = Some(key.public_key());
            auth.signature = Some(key.sign(nonce).map_err(|error| named(error.to_string()))?);
        }
        if let Some(file) = &self.nats_token_file {
            auth.token = Some(secret(file).map_err(|why| format!("--nats-token-file {why}"))?);
        }
        if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
            auth.username = Some(user.clone());
            auth.password = Some(secret(file).map_err(|why| format!("--password-file {why}"))?);
        }
        Ok(auth)
    }

    /// Connects to one of the servers.
    pub(crate) async fn connect(&self) -> Result<Connection, String> {
        let servers = self.addresses();
        let failed = |why: String| format!("cannot connect to {servers}: {why}");
        // Before anything is sent, for a message that names the file.
        self.check()?;
        let (ended, connected) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (nats, again) = (self.clone(), Arc::clone(&connected));
        let login = move |nonce: Vec<u8>| {
            // A connection is opened once. A login that fails ends the client's attempts.
            let auth = match again.load(Ordering::Relaxed) {
                true => Err("the connection has ended".to_owned()),
                false => nats.login(&nonce),
            };
            async { auth.map_err(AuthError::new) }
        };
        let notify = Arc::clone(&ended);
        let mut options = ConnectOptions::with_auth_callback(login)
            .name(concat!("varta-relay ", env!("CARGO_PKG_VERSION")))
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .max_reconnects(self.server.0.len())
            .ignore_discovered_servers()
            .require_tls(self.tls)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::LameDuckMode | Event::Closed) {
                    notify.notify_one();
                }
                async {}
            });
        if self.tls_first {
            options = options.tls_first();
        }
        if let Some(file) = &self.tls_ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(cert), Some(key)) = (&self.tls_cert_file, &self.tls_key_file) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        let client = options.connect(&self.server.0[..]).await;
        let client = client.map_err(|error| failed(error.to_string()))?;
        connected.store(true, Ordering::Relaxed);
        Ok(Connection { client, ended })
    }
}

/// The contents of the blocks of a credentials file, each between two lines of dashes.
fn decorated(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    std::iter::from_fn(move || {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN"))?;
        lines.next()
    })
}

fn key_of(seed: &str) -> Result<KeyPair, String> {
    KeyPair::from_seed(seed.trim()).map_err(|error| format!("invalid nkey: {error}"))
}

fn address(server: &ServerAddr) -> String {
    format!("{}://{}:{}", server.scheme(), server.host(), server.port())
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    ended: Arc<Notify>,
}

impl Connection {
    /// Returns when the connection has ended, or when the server asks clients to leave.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_with_passwords_and_of_other_protocols_are_refused() {
        assert!(servers("nats://a, tls://b:5222").is_ok());
        for (urls, wanted) in [
            ("nats://a:b@c", "--password-file"),
            ("nats://a,ws://b", "ws://b: give nats://HOST:PORT or tls://HOST:PORT"),
            ("", ": give nats://"),
        ] {
            let why = servers(urls).unwrap_err();
            assert!(why.contains(wanted), "{urls}: {why}");
        }
    }

    #[test]
    fn the_blocks_of_a_credentials_file_are_read() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ.x\n------END NATS USER JWT------\n\n\
            ***** IMPORTANT *****\nNKEYs are sensitive.\n\n\
            -----BEGIN USER NKEY SEED-----\r\nSUA\r\n------END USER NKEY SEED------\n";
        assert_eq!(decorated(text).collect::<Vec<_>>(), ["eyJ.x", "SUA"]);
    }
}
