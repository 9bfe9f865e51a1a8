"""Passwords are not shown: the one place that masks addresses, and texts that may quote them.

Of an address, what is known to be harmless is shown, and the rest masked: an address is at times
written wrongly, and then the password stands where nobody looks for it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://")
#: Their paths are those of files, and may hold an ``@``.
_OF_FILES = ("sqlite", "unix", "redis+socket", "valkey+socket", "socket", "file", "filesystem")
#: Hosts with ports, one or several.
_ONE_HOST = r"(?:[\w.\-]+|\[[0-9A-Fa-f:.%]+\])(?::[0-9]{0,5})?"
_HOSTS = re.compile(rf"{_ONE_HOST}(?:,{_ONE_HOST})*", re.ASCII)
_PATH = re.compile(r"[\w./%+\-]*", re.ASCII)
#: Parameters of a query whose values are shown.
_SHOWN = frozenset((
    "application_name", "authsource", "charset", "client_name", "connect_timeout",
    "connection_timeout", "database", "db", "dbname", "driver", "encoding",
    "health_check_interval", "heartbeat", "host", "hostaddr", "keepalives", "master_name",
    "max_connections", "mode", "port", "protocol", "read_timeout", "replicaset",
    "retry_on_timeout", "service", "socket_connect_timeout", "socket_keepalive",
    "socket_timeout", "ssl", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile",
    "ssl_check_hostname", "sslmode", "sslrootcert", "sslcert", "target_session_attrs",
    "timeout", "tls", "vhost", "virtual_host", "write_timeout",
))  # fmt: skip
#: Names in texts of libpq, ODBC and Azure, without their spaces.
_PAIR_NAMES = frozenset((
    "accountkey", "accountname", "authentication", "blobendpoint", "connecttimeout", "database",
    "dbname", "defaultendpointsprotocol", "driver", "dsn", "encrypt", "endpoint",
    "endpointsuffix", "entitypath", "host", "hostaddr", "initialcatalog", "password", "port",
    "pwd", "queueendpoint", "server", "service", "sharedaccesskey", "sharedaccesskeyname",
    "sharedaccesssignature", "sslmode", "tableendpoint", "uid", "usedevelopmentstorage", "user",
    "userid", "username",
))  # fmt: skip
#: Lengths are bounded, since a text may be long and hold nothing else.
_SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|api_?key|access_?key|"
    r"account_?key|shared_?key|sas_?key|signature)[\w.\-]{0,60}"
)
_PAIR = re.compile(
    rf"(?P<name>{_SECRET_NAME}['\"]?\s{{0,60}}[=:]\s{{0,60}})"
    r"(?P<value>\"[^\"]{0,2000}\"|'[^']{0,2000}'|\{[^}]{0,2000}\}|[^\s;&,)]+)",
    re.IGNORECASE,
)
_ODBC = re.compile(r"(?P<name>\bodbc_connect=)\S+", re.IGNORECASE)
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://[^\s'\"<>]*")
_USER = re.compile(r"(?<![\w/])[^\s:/@'\"(=,;]{0,200}:(?!//)(?=\S)")
_HOST_FOLLOWS = re.compile(r"@(?=[\w\[])")
_WORD = re.compile(r"\S+")
_ENDS = ".,:;!?)]}"
#: Shorter pieces of a password are not looked for in a text: they are in any word.
_SHORTEST = 3


def mask_url(url: str) -> str:
    """Hide what is secret in an address.

    Args:
        url: The address of a store, a broker or a result backend; also one that cannot be parsed,
            several joined by ``;``, or a text that is none.

    Returns:
        The address with ``***`` in place of passwords and of all that may be one.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return _without_scheme(url)
    again = re.escape(scheme.group())
    return ";".join(_one(part) for part in re.split(f";(?={again})", url, flags=re.IGNORECASE))


def mask_text(text: str, *urls: str) -> str:
    """Hide what is secret in a text, such as a driver's error.

    Args:
        text: May hold addresses, ``user:password@host`` and ``password=…``.
        urls: Addresses that the text is about: what is secret in them is hidden wherever it is
            quoted, and in whatever way it is cut.
    """
    for url in filter(None, urls):
        shown = mask_url(url)
        text = text.replace(url, shown)
        for secret in _secrets(url, shown):
            text = text.replace(secret, MASK)
    text = _IN_TEXT.sub(_masked_url, text)
    text = _ODBC.sub(rf"\g<name>{MASK}", text)
    text = _PAIR.sub(_masked_pair, text)
    return _WORD.sub(_masked_login, text)


def _masked_login(found: re.Match[str]) -> str:
    """``user:password@host`` in a word; up to the last ``@`` that a host may follow."""
    word = found.group()
    at = max((sign.start() for sign in _HOST_FOLLOWS.finditer(word)), default=0)
    user = _USER.search(word, 0, at)
    return word if user is None else f"{word[: user.end()]}{MASK}{word[at:]}"


def _masked_url(found: re.Match[str]) -> str:
    url = found.group().rstrip(_ENDS)  # of the sentence around it
    return mask_url(url) + found.group()[len(url) :]


def _masked_pair(found: re.Match[str]) -> str:
    return found["name"] + MASK


def _one(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if rest.startswith("/") and scheme.lower().split("+")[0] in _OF_FILES:
        path, query, asked = rest.partition("?")
        return f"{scheme}://{path}{query}{_query(asked) if query else ''}"
    # Up to the last "@": a password that is not escaped may hold any character.
    login, at, place = rest.rpartition("@")
    if _may_be_query(login):
        return f"{scheme}://{MASK}"
    user, colon, _ = login.partition(":")
    shown = (f"{user}:{MASK}@" if colon else f"{MASK}@") if at else ""
    return f"{scheme}://{shown}{_place(place)}"


def _may_be_query(login: str) -> bool:
    """Whether what is before an ``@`` may be a host and its query, and the rest a password."""
    host = re.split("[/?#]", login, maxsplit=1)[0]
    whole = _HOSTS.fullmatch(host) is not None and "?" in login
    return whole or re.search("[?&;][^=&;]*=|#", login) is not None


def _place(place: str) -> str:
    if not place:
        return ""
    if _SCHEME.match(place) and place.count("://") == 1:  # of Azure: a key, "@", and a URL
        return _one(place)
    address, query, asked = place.partition("?")
    host, slash, path = address.partition("/")
    if (host and not _HOSTS.fullmatch(host)) or not _PATH.fullmatch(path):
        return MASK
    return f"{host}{slash}{path}{query}{_query(asked) if query else ''}"


def _query(asked: str) -> str:
    shown: list[str] = []
    hidden = False
    for whole in re.split("(&)", asked.partition("#")[0]):
        for part in re.split("(;)", whole):
            name, given, _ = part.partition("=")
            plain = unquote(name).strip().lower()
            if plain == "odbc_connect":
                return "".join([*shown, f"{name}={MASK}"])  # it may hold separators of its own
            if part in ("&", ";", "") or (given and plain in _SHOWN):
                shown.append(part)
                continue
            # After a password that is not escaped, a name may be the rest of it.
            named = given and not hidden and re.fullmatch(r"[\w.\-]{1,40}", name, re.ASCII)
            shown.append(f"{name}={MASK}" if named else MASK)
            hidden = True
            if ";" in whole and given:
                shown.append(f";{MASK}")
                break
    return "".join(shown) + (f"#{MASK}" if "#" in asked else "")


def _without_scheme(text: str) -> str:
    login, at, place = text.rpartition("@")
    if re.search(r"(?:^|[;\s])\s*\w[\w ]*=", login):
        return _pairs(text)
    if at:
        if _may_be_query(login):
            return MASK
        user, colon, _ = login.partition(":")
        plain = colon and re.fullmatch(r"[\w.\-]{0,40}", user, re.ASCII)
        return (f"{user}:{MASK}@" if plain else f"{MASK}@") + _place(place)
    if "=" in text:  # of libpq, ODBC or Azure
        return _pairs(text)
    host, slash, path = text.partition("/")
    named = re.fullmatch(r"([\w.\-]+(:[0-9]{1,5})?)?", host, re.ASCII) and _PATH.fullmatch(path)
    return f"{host}{slash}{path}" if named else MASK


def _pairs(text: str) -> str:
    found = re.findall(r"(?:^|[;\s])\s*([A-Za-z][\w ]{0,30}?)\s*=", text)
    # Only known names: any other may be the rest of a password.
    names = [name for name in found if name.lower().replace(" ", "") in _PAIR_NAMES]
    return "; ".join(f"{name}={MASK}" for name in names) or MASK


def _secrets(url: str, shown: str) -> list[str]:
    """What was masked in an address, whole and in pieces, the longest first."""
    hidden = set()
    rest = url.partition("://")[2] or url
    for part in f"{rest}@{unquote(rest)}".split("@"):
        hidden.add(part)
        hidden.update(re.split(r"[:/?#&;=,@\[\]\s]+", part))
        hidden.update(re.split(r"\W+", part))  # a quoted one may be written with escapes
        hidden.update(part.split(":", 1))
    hidden |= {unquote(piece) for piece in hidden}
    seen = set(re.split(r"[^\w]+", shown)) | set(re.split(r"[:/?#&;=,@\s]+", shown))
    pieces = (piece for piece in hidden if len(piece) >= _SHORTEST and piece not in seen)
    return sorted((piece for piece in pieces if piece not in shown), key=len, reverse=True)
