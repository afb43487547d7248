"""The credentials for the broker, password and certificates, and why TLS to it failed.

The files are read again for every connection: certificates are renewed while the service runs.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from edgevision.errors import ConfigError
from edgevision.files import check_regular, read_regular

if TYPE_CHECKING:
    from edgevision.config.mqtt import MqttConfig, TlsConfig

CREDENTIAL = "mqtt_password"
MAX_PASSWORD_BYTES = 1 << 16

# A distribution's file of all public CAs is a quarter of this size.
MAX_PEM_BYTES = 1 << 20

# Verification results, from OpenSSL's x509_vfy.h.
_VERIFICATION = {
    9: "check this machine's clock, or wait until the broker's certificate is valid",
    10: "renew the broker's certificate, or check this machine's clock",
    18: "set mqtt.tls.ca_file to the CA that signed the broker's certificate",
    19: "set mqtt.tls.ca_file to the CA that signed the broker's certificate",
    20: "set mqtt.tls.ca_file to the CA that signed the broker's certificate",
    62: "set mqtt.host to a name in the broker's certificate",
    64: "set mqtt.host to a name or address in the broker's certificate",
}

_WANTED = "the broker wants a client certificate: set mqtt.tls.cert_file and key_file"
_REFUSED = "the broker refuses our client certificate: check mqtt.tls.cert_file"
_NO_TLS = "the server there does not speak TLS: check mqtt.port"

# OpenSSL's reasons for alerts (sslerr.h). TLS 1.2 has no alert of its own for a missing
# certificate: OpenSSL sends handshake_failure.
_REASONS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _WANTED,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
    "TLSV1_ALERT_DECRYPT_ERROR": _REFUSED,
    "TLSV1_ALERT_PROTOCOL_VERSION": "the broker must speak TLS 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "the broker must speak TLS 1.2 or newer",
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
}


def read_password(config: MqttConfig) -> str | None:
    """Return the password from the configuration, its file, or the systemd credential.

    Raises:
        ConfigError: the file cannot be read or is not UTF-8 text.
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
        why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else _reason(error)
        fault = f"mqtt.password_file: expected a readable UTF-8 file, got {path}: {why}"
        raise ConfigError(fault) from None


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or newer that verifies certificate and host name.

    Raises:
        ConfigError: a file cannot be read, is not a regular file, or contains no PEM.
    """
    key = "ca_file"
    try:
        authorities = None
        if config.ca_file is not None:
            authorities = _read_bounded(config.ca_file, MAX_PEM_BYTES).decode("latin-1")
        context = ssl.create_default_context(cadata=_certificates(authorities))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.cert_file is not None and config.key_file is not None:
            for key in ("key_file", "cert_file"):  # OpenSSL only accepts paths
                _check_size(getattr(config, key), MAX_PEM_BYTES)
            context.load_cert_chain(config.cert_file, config.key_file, _no_pass_phrase)
    except (OSError, ValueError) as error:
        got = f"{getattr(config, key)}: {_reason(error)}"
        fault = f"mqtt.tls.{key}: expected a readable PEM file, got {got}"
        raise ConfigError(fault) from None
    return context


def tls_failure(error: Exception, *, timeout_s: float) -> str:
    """Return why the handshake, or TLS after it, failed and what to do about it, in one line.

    Args:
        error: what was raised.
        timeout_s: how long the attempt was allowed to take.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _VERIFICATION.get(error.verify_code)
        why = str(error.verify_message).rstrip(".")
        return f"{why}; {hint}" if hint else why
    if isinstance(error, TimeoutError):
        return f"expected the end of the handshake within {timeout_s:g} s, got none"
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return f"it closed the connection in the handshake; {_NO_TLS}"
    reason = (getattr(error, "reason", None) or "").upper().replace(" ", "_")
    why = reason.lower().replace("_", " ") or str(error)
    hint = _REASONS.get(reason)
    return f"{why}; {hint}" if hint else why


def _certificates(text: str | None) -> str | None:
    """Return only the certificates of a PEM text: text between them may be in any charset."""
    if text is None:
        return None
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [block.partition(end)[0] for block in text.split(begin)[1:]]
    if not blocks:
        msg = "it contains no certificate"
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


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _no_pass_phrase() -> str:
    msg = "the key has a passphrase; remove it with openssl pkey"
    raise ValueError(msg)
