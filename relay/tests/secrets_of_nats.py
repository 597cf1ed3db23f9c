"""Makes nkeys, credentials files and certificates, as `nsc` and a CA would."""

import base64
import binascii
import datetime
import hashlib
import ipaddress
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

# The first byte of a public key, by its kind.
KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
SEED = 18 << 3


def text_of(prefix: bytes, key: bytes) -> str:
    """A key as NATS writes it: in base 32, with a checksum."""
    data = prefix + key
    data += binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(data).decode().rstrip("=")


class NKey:
    def __init__(self, kind: str) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        prefix = KINDS[kind]
        self.public = text_of(bytes([prefix]), self.key.public_key().public_bytes_raw())
        first, second = SEED | prefix >> 5, (prefix & 31) << 3
        self.seed = text_of(bytes([first, second]), self.key.private_bytes_raw())

    def jwt(self, subject: str, name: str, nats: dict[str, object]) -> str:
        """A JWT about `subject` that this key signs."""
        claims = {"iss": self.public, "sub": subject, "name": name, "iat": 0, "nats": nats}
        claims["jti"] = hashlib.sha256(json.dumps(claims).encode()).hexdigest()

        def part(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).decode().rstrip("=")

        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(part(json.dumps(it).encode()) for it in (header, claims))
        return f"{text}.{part(self.key.sign(text.encode()))}"


def operator_and_credentials(folder: Path) -> tuple[str, Path]:
    """The configuration of a server with an operator, and a credentials file of a user of it."""
    operator, system, account, user = map(NKey, ["operator", "account", "account", "user"])
    limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1}
    limits |= {"payload": -1, "wildcards": True, "mem_storage": -1, "disk_storage": -1}
    limits |= {"streams": -1, "consumer": -1}
    kind = {"type": "account", "version": 2, "limits": limits}
    no_streams = {name: 0 for name in ("mem_storage", "disk_storage", "streams", "consumer")}
    system_kind = kind | {"limits": limits | no_streams}
    accounts = {
        system.public: operator.jwt(system.public, "SYS", system_kind),
        account.public: operator.jwt(account.public, "varta", kind),
    }
    about = {"type": "operator", "version": 2, "system_account": system.public}
    config = f"operator: {operator.jwt(operator.public, 'operator', about)}\n"
    config += f"resolver: MEMORY\nresolver_preload: {json.dumps(accounts)}\n"
    jwt = account.jwt(user.public, "relay", {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1})
    credentials = folder / "relay.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n"
        "NKEY Seed printed below can be used to sign and prove identity.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    return config, credentials


class Authority:
    """A certificate authority whose files are in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file, _ = self.write(name, self.name, self.key, [x509.BasicConstraints(True, None)])

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, and its key."""
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        key = ec.generate_private_key(ec.SECP256R1())
        return self.write(name, subject, key, [x509.SubjectAlternativeName([address])])

    def write(
        self, name: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: list
    ) -> tuple[Path, Path]:
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(self.name, subject, key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day).not_valid_after(now + day)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        files[1].write_bytes(private)
        return files
