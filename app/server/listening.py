"""Binds the addresses that the settings name, before anything is loaded: a wrong one costs a
moment, and is told by the variable that gave it. Nobody is let in before the server listens.
"""

import errno
import socket

from app.settings import Settings, SettingsError, given_by

NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def public_sockets(settings: Settings) -> list[socket.socket]:
    """Returns a socket for each address at which everybody may ask.

    Raises:
        SettingsError: one is no address of this machine, or its port is not to be had.
    """
    return _bound(settings.host, settings.port, "host", "port")


def admin_sockets(settings: Settings) -> list[socket.socket]:
    """Returns a socket for each address at which the operator may; none without an admin port.

    Raises:
        SettingsError: as above.
    """
    if not settings.admin_port:
        return []
    if settings.admin_host:
        return _bound(settings.admin_host, settings.admin_port, "admin_host", "admin_port")
    return _bound(settings.host, settings.admin_port, "host", "admin_port")


def _bound(host: str, port: int, host_name: str, port_name: str) -> list[socket.socket]:
    """Binds each address of a host. `::` is every address of this machine, IPv4 too."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that no one can have
        raise _no_address(host_name, host, error) from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets += _socket(family, address)
    except OSError as error:
        for one in sockets:
            one.close()
        reason = f"cannot listen on {host} port {port}: {error.strerror}"
        raise SettingsError([f"setting {given_by(port_name)}: {reason}"]) from None
    if not sockets:
        raise _no_address(host_name, host, OSError(errno.EADDRNOTAVAIL, "of another one"))
    return sockets


def _socket(family: int, address: tuple[object, ...]) -> list[socket.socket]:
    """Returns one bound socket; none where this machine has no such address, as where localhost is
    ::1 too and there is no IPv6.
    """
    try:
        one = socket.socket(family)
    except OSError as error:
        if error.errno in NOT_HERE:
            return []
        raise
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        one.bind(address)
    except OSError as error:
        one.close()
        if error.errno in NOT_HERE:
            return []
        raise
    return [one]


def _no_address(host_name: str, host: str, error: Exception) -> SettingsError:
    reason = getattr(error, "strerror", None) or error
    shown = f"'{ascii(host)[1:-1][:80]}' is no address of this machine ({reason})"
    return SettingsError([f"setting {given_by(host_name)}: {shown}"])
