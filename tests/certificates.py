"""Certificates for a broker and its clients, made by a CA of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A CA whose own certificate lies in `ca_file`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.ca_file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *identities: str, **times: Any) -> Certificate:
        """Write NAME.pem and NAME.key for these host names and addresses."""
        issued = self._ca.issue_cert(*(identities or ("127.0.0.1",)), **times)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self._write(name, chain, issued.private_key_pem.bytes())

    def self_signed(self, name: str) -> Certificate:
        """Write the CA's own certificate as if it were a broker's."""
        return self._write(name, self._ca.cert_pem.bytes(), self._ca.private_key_pem.bytes())

    def _write(self, name: str, cert: bytes, key: bytes) -> Certificate:
        certificate = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        certificate.cert.write_bytes(cert)
        certificate.key.write_bytes(key)
        return certificate
