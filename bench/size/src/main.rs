//! The smallest program that sends a beat.

use std::io;

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_default();

    #[cfg(all(feature = "varta", not(feature = "varta-all")))]
    let _ = varta::Varta::connect(&path)?.beat(varta::Status::Ok, 0);

    #[cfg(feature = "varta-all")]
    {
        varta::install_panic_handler(&path)?;
        let _ = varta::Varta::open(&path)?.beat(varta::Status::Ok, 0);
    }

    #[cfg(feature = "varta-0-2")]
    let _ = varta_client::Varta::connect(&path)?.beat(varta_client::Status::Ok, 0);

    // varta 0.2 needs three functions for what `open` above does.
    #[cfg(feature = "varta-0-2-all")]
    {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let key = varta_vlp::crypto::Key::from_file(path.as_ref())?;
        varta_client::install_panic_handler(&path)?;
        let _ = varta_client::Varta::connect_udp(address)?.beat(varta_client::Status::Ok, 0);
        let _ = varta_client::Varta::connect_secure_udp(address, key)?
            .beat(varta_client::Status::Ok, 0);
    }

    std::fs::metadata(&path).map(|_| ())
}
