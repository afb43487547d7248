"""Why TLS to the broker failed and what to do about it, in one line."""

from __future__ import annotations

import ssl

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
_NO_TLS = "what answers there speaks no TLS: check mqtt.port"
# OpenSSL's reasons for alerts (sslerr.h). TLS 1.2 has no alert of its own for an absent
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


def tls_words(error: Exception, *, timeout_s: float) -> str:
    """Return what is said of a fault of the handshake or of TLS behind it.

    Args:
        error: the fault.
        timeout_s: how long the attempt was allowed to take.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = _VERIFICATION.get(error.verify_code)
        words = str(error.verify_message).rstrip(".")
        return f"{words}; {hint}" if hint else words
    if isinstance(error, TimeoutError):
        return f"expected the end of the handshake within {timeout_s:g} s, got none"
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return f"it hung up in the handshake; {_NO_TLS}"
    reason = (getattr(error, "reason", None) or "").upper().replace(" ", "_")
    words = reason.lower().replace("_", " ") or str(error)
    hint = _REASONS.get(reason)
    return f"{words}; {hint}" if hint else words
