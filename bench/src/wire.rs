//! Encoding and sealing, without a socket.

use std::hint::black_box;
use std::io;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};

use crate::agent::VARTA_0_2;
use crate::measure::{Contender, Group, Plan, side_by_side};
use crate::report::Target;
use crate::stage::Stage;

const VARTA: &str = "varta";
const RUST_CRYPTO: &str = "RustCrypto";

const ENCODE: &str = "encode";
const SEAL: &str = "seal 32 bytes";

/// Operations per sample: enough that the clock's resolution does not matter.
const EACH: u32 = 100;

pub(crate) const SEAL_TARGETS: &[Target] = &[Target::median(SEAL, VARTA, RUST_CRYPTO, 0.25)];
pub(crate) const ENCODE_TARGETS: &[Target] = &[Target::median(ENCODE, VARTA, VARTA_0_2, 0.20)];

pub(crate) fn encode(plan: Plan, _: &Stage) -> io::Result<Group> {
    side_by_side(ENCODE, Plan { each: EACH, ..plan }, || {
        let ours = varta::Frame::new(varta::Status::Ok, 4321, 1_000, 7, 42);
        let (mut our_wire, mut their_wire) = ([0; 32], [0; 32]);
        let theirs = varta_vlp::Frame::new(varta_vlp::Status::Ok, 4321, 1_000, 7, 42);
        let contenders = vec![
            repeated(VARTA, move || {
                black_box(&ours).encode(black_box(&mut our_wire));
            }),
            repeated(VARTA_0_2, move || {
                black_box(&theirs).encode(black_box(&mut their_wire));
            }),
        ];
        Ok(((), contenders))
    })
}

/// Seals a frame into a datagram of 60 bytes, with a key that was prepared before.
pub(crate) fn seal(plan: Plan, _: &Stage) -> io::Result<Group> {
    side_by_side(SEAL, Plan { each: EACH, ..plan }, || {
        use varta::secure::{Cipher, Iv, Key};

        let (key, iv, frame) = ([7; 32], Iv { prefix: [9; 8], counter: 1 }, [0x55; 32]);
        let ours = Cipher::new(&Key::from_bytes(key));
        let theirs = ChaCha20Poly1305::new(&key.into());
        let contenders = vec![
            repeated(VARTA, move || {
                black_box(ours.seal(black_box(iv), black_box(&frame)).ok());
            }),
            repeated(RUST_CRYPTO, move || {
                let iv = black_box(iv).to_bytes();
                let mut wire = [0; 60];
                let (nonce, rest) = wire.split_at_mut(iv.len());
                let (text, tag) = rest.split_at_mut(frame.len());
                nonce.copy_from_slice(&iv);
                text.copy_from_slice(black_box(&frame));
                if let Ok(made) = theirs.encrypt_in_place_detached(&iv.into(), &[], text) {
                    tag.copy_from_slice(&made);
                }
                black_box(wire);
            }),
        ];
        Ok(((), contenders))
    })
}

fn repeated(name: &'static str, mut operation: impl FnMut() + 'static) -> Contender<'static> {
    Contender::new(name, move || {
        for _ in 0..EACH {
            operation();
        }
        true
    })
}
