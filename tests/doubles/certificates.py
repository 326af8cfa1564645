"""Certificates for one test run, made when it begins: an authority, the broker's, and one for each client."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from producers.broker_config import LOOPBACK


class Authority:
    """Signs certificates and writes them, with their keys, as PEM files into a folder.

    Attributes:
        file: its own certificate, which those who trust it are given.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def server(self) -> Path:
        """Key and certificate of a server on the loopback address, in one file, as Kafka wants them."""
        leaf = self._authority.issue_cert(LOOPBACK, "localhost")
        file = self._folder / "server.pem"
        file.write_bytes(_key(leaf) + _chain(leaf))
        return file

    def client(self, name: str, password: str) -> tuple[Path, Path]:
        """Certificate and key of a client with this common name; the key opens with the password."""
        leaf = self._authority.issue_cert("worker@example.org", common_name=name)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(_chain(leaf))
        key.write_bytes(_key(leaf, password))
        return certificate, key


def _chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(pem.bytes() for pem in leaf.cert_chain_pems)


def _key(leaf: trustme.LeafCert, password: str | None = None) -> bytes:
    """The key in PKCS #8, the one form that Kafka reads."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), password=None)
    protection = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
