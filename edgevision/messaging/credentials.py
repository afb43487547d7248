"""What proves who is who at the broker: the password and the certificates, read from files.

They are read again for every connection: certificates are renewed while the service runs.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.errors import ConfigError
from edgevision.regularfile import check_regular, read_regular

if TYPE_CHECKING:
    from edgevision.mqttconfig import MqttConfig, TlsConfig

CREDENTIAL = "mqtt_password"
MAX_PASSWORD_BYTES = 1 << 16
# A distribution's file of all public CAs has a quarter of this.
MAX_PEM_BYTES = 1 << 20


def read_password(config: MqttConfig) -> str | None:
    """Return the password from the configuration, its file, or the systemd credential.

    Raises:
        ConfigError: the file cannot be read or is no UTF-8 text.
    """
    if config.password is not None:
        return config.password.get_secret_value()
    path = config.password_file
    if path is None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        path = Path(folder) / CREDENTIAL if folder else None
        if path is None or config.username is None or not path.exists():
            return None
    try:
        content = _read_bounded(path, MAX_PASSWORD_BYTES)
        return content.decode().rstrip("\r\n") or None
    except (OSError, ValueError) as error:
        why = "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else _words(error)
        fault = f"mqtt.password_file: expected a readable UTF-8 file, got {path}: {why}"
        raise ConfigError(fault) from None


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and host name.

    Raises:
        ConfigError: a file cannot be read, is none, or has no PEM in it.
    """
    key = "ca_file"
    try:
        authorities = None
        if config.ca_file is not None:
            authorities = _read_bounded(config.ca_file, MAX_PEM_BYTES).decode("latin-1")
        context = ssl.create_default_context(cadata=_certificates(authorities))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.cert_file is not None and config.key_file is not None:
            for key in ("key_file", "cert_file"):  # OpenSSL takes them by their paths only
                _check_size(getattr(config, key), MAX_PEM_BYTES)
            context.load_cert_chain(config.cert_file, config.key_file, _no_pass_phrase)
    except (OSError, ValueError) as error:
        got = f"{getattr(config, key)}: {_words(error)}"
        fault = f"mqtt.tls.{key}: expected a readable PEM file, got {got}"
        raise ConfigError(fault) from None
    return context


def _certificates(text: str | None) -> str | None:
    """Return the certificates of a PEM text alone: text between them may be in any charset."""
    if text is None:
        return None
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [block.partition(end)[0] for block in text.split(begin)[1:]]
    if not blocks:
        msg = "no certificate in it"
        raise ValueError(msg)
    return "".join(f"{begin}{block}{end}\n" for block in blocks).encode("ascii", "replace").decode()


def _read_bounded(path: Path, limit_bytes: int) -> bytes:
    content = read_regular(path, limit_bytes)
    if len(content) > limit_bytes:
        raise ValueError(_too_large(limit_bytes))
    return content


def _check_size(path: Path, limit_bytes: int) -> None:
    check_regular(path)
    if path.stat().st_size > limit_bytes:
        raise ValueError(_too_large(limit_bytes))


def _too_large(limit_bytes: int) -> str:
    return f"more than {limit_bytes} bytes"


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _no_pass_phrase() -> str:
    msg = "the key has a pass phrase, which nobody could type; take it off with openssl pkey"
    raise ValueError(msg)
