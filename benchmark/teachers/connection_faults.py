"""Says in words what broke a connection to a server, from the exceptions of the package `openai` and below it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")


@dataclass(frozen=True)
class ConnectionFault:
    """Why a request brought no reply."""

    reason: str
    """A few words, for the counts."""
    detail: str
    """What happened and what to do, if more is known; never the value of a variable, which may hold a password."""
    cures_itself: bool = True
    """Whether sending the same request again may help."""
    nothing_sent: bool = True
    """Whether the server cannot have charged anything."""


def connection_fault(error: BaseException, url: str) -> ConnectionFault:
    """What broke a connection to the address `url`."""
    causes = list(_causes(error))
    names = [type(cause).__name__ for cause in causes]
    words = next((str(cause) for cause in reversed(causes) if str(cause)), "")  # the deepest says most
    parts = urlsplit(url)
    through = _proxy_of(url)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        told = next(c.verify_message for c in causes if isinstance(c, ssl.SSLCertVerificationError))
        return ConnectionFault(
            "certificate",
            f"its certificate is not trusted ({told}); give the certificates of its issuer as SSL_CERT_FILE=FILE",
            cures_itself=False,
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ConnectionFault(
            "wrong scheme",
            f"{parts.netloc} does not speak {parts.scheme}; servers of one's own mostly have teacher.base_url=http://...",
            cures_itself=False,
        )
    if "ProxyError" in names:
        return ConnectionFault("proxy", f"the proxy in {through or 'the environment'} refuses ({words})", False)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        where = f"the proxy in {through}" if through else f"a host named {parts.hostname}"
        return ConnectionFault("unknown host", f"{where} is not known to the name service (DNS)")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes) or f"[Errno {errno.ECONNREFUSED}]" in words:
        where = f"at the proxy in {through}" if through else f"at {parts.netloc}; is the server running?"
        return ConnectionFault("no connection", f"nothing listens {where}")
    if any(name.startswith("Connect") for name in names if name != "ConnectionResetError"):
        return ConnectionFault("no connection", words)
    return ConnectionFault("connection cut", "", nothing_sent=False)


def unusable_environment(error: Exception) -> str:
    """Why no client could be made at all: settings of the environment that every request would use."""
    certificates = [name for name in CERTIFICATE_VARIABLES if os.environ.get(name)]
    certificates = [name for name in certificates if not os.path.exists(os.environ[name])] or certificates
    proxies = [name for name in PROXY_VARIABLES if os.environ.get(name)]
    if isinstance(error, ImportError) and "socks" in str(error).lower():
        return f"{', '.join(proxies)} names a SOCKS proxy, which needs a package: pip install 'httpx[socks]'"
    if isinstance(error, OSError) and certificates:
        return (
            f"{' and '.join(certificates)} names certificates that cannot be read ({error.strerror or error}); unset it"
        )
    if isinstance(error, ValueError) and proxies:
        return f"{', '.join(proxies)} does not hold the address of a proxy, such as http://HOST:PORT"
    return f"{type(error).__name__} while the connection was prepared"


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _proxy_of(url: str) -> str | None:
    """The name of the variable whose proxy stands between us and the address; None without one."""
    parts = urlsplit(url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if kind in proxies), None)
    return None if kind is None else f"{kind.upper()}_PROXY"
