"""Downloads that resume where they stopped and are believed only when verified."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.api import BenchError
from bench.storage.files import sha256_of

_CHUNK = 1 << 18


class _Retry(Exception):
    """The transfer stopped in a way that another attempt may mend."""


class _GiveUp(Exception):
    """The address will not do."""


def fetch(
    urls: Sequence[str],
    out: Path,
    *,
    progress: Callable[[str], None],
    sha256: str | None = None,
    max_bytes: int = 8 << 30,
    attempts: int = 5,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Download a file to `out`; a transfer that was cut off goes on where it stopped.

    Bytes gather in ``<out>.part``; only a whole file that passes the check takes the name
    `out`, in one step. An interrupted transfer is resumed with a ``Range`` request, guarded
    by the server's validator (``If-Range``), so two versions of a file are never joined.

    Parameters
    ----------
    urls
        Where it is, best first (``http`` and ``https`` only).
    out
        The file to make. When it is there already, and right, nothing is fetched.
    progress
        Takes a line of text now and then.
    sha256
        Of the whole file; None where the caller verifies what is in it.
    max_bytes
        A server that sends more is cut off.
    attempts, timeout, pause
        Tries per address, seconds of silence allowed, seconds before the second try
        (doubled after each).

    Raises
    ------
    BenchError
        When no address gave the right file: what happened, and what to do by hand.
    """
    if out.is_file() and (sha256 is None or sha256_of(out) == sha256):
        return out
    part = out.with_name(out.name + ".part")
    reason = "no address is known"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                _complete(url, part, progress, sha256, max_bytes, attempts, timeout, pause)
            except _GiveUp as failure:
                reason = f"{url}: {failure}"
                progress(f"download failed, {reason}")
                continue
            if sha256 is not None and (found := sha256_of(part)) != sha256:
                _forget(part)
                reason = f"{url}: sha256 is {found[:12]}…, not {sha256[:12]}…"
                progress(f"download refused, {reason}")
                continue
            part.replace(out)
            _forget(part)
            return out
    except OSError as error:
        raise BenchError(f"{out} cannot be written: {error.strerror}") from None
    raise BenchError(
        f"{out.name} could not be downloaded ({reason}): fetch {urls[0] if urls else 'it'} "
        f"by other means and put it at {out}"
    )


def _complete(
    url: str,
    part: Path,
    progress: Callable[[str], None],
    sha256: str | None,
    max_bytes: int,
    attempts: int,
    timeout: float,
    pause: float,
) -> None:
    """Bring the whole of `url` into `part`, in as many attempts as allowed."""
    for attempt in range(attempts):
        try:
            _transfer(url, part, progress, sha256 is not None, max_bytes, timeout)
            return
        except _Retry as failure:
            if attempt == attempts - 1:
                raise _GiveUp(f"{failure} ({attempts} attempts)") from None
            progress(f"{url}: {failure}; trying again")
            time.sleep(pause * 2**attempt)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, with the proxies of the environment; no ``file:`` and no ``ftp:``."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _transfer(
    url: str,
    part: Path,
    progress: Callable[[str], None],
    verified: bool,
    max_bytes: int,
    timeout: float,
) -> None:
    """One request: resume `part` where the server agrees, else begin again."""
    have, validator = _known(part, url, verified)
    # The standard library asks for no encoding of its own: lengths are those of the file.
    headers = {"User-Agent": "translation-bench"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener decides
    try:
        with _opener().open(request, timeout=timeout) as answer:
            have, total = _agree(answer, part, have)
            _note(part, url, answer.headers.get("ETag") or answer.headers.get("Last-Modified"))
            if total is not None and total > max_bytes:
                raise _GiveUp(
                    f"the file is {total >> 20} MiB, more than the {max_bytes >> 20} allowed"
                )
            if total is not None and total - have > (free := shutil.disk_usage(part.parent).free):
                raise _GiveUp(f"needs {total - have >> 20} MiB, {free >> 20} are free")
            _pour(answer, part, have, total, max_bytes, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _forget(part)
        if error.code in (408, 416, 425, 429) or error.code >= 500:
            raise _Retry(f"the server answered {error.code}") from None
        raise _GiveUp(f"the server answered {error.code}") from None
    except urllib.error.URLError as error:
        raise _Retry(f"no connection ({error.reason})") from None
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Retry(f"the connection broke ({type(error).__name__})") from None
    except ValueError as error:
        raise _GiveUp(str(error)) from None


def _agree(answer: Any, part: Path, have: int) -> tuple[int, int | None]:
    """From which byte the answer goes on, and how long the whole file is."""
    if answer.status == 206:
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != have:
            _forget(part)
            raise _Retry("the server resumed at another place")
        return have, None if span[3] == "*" else int(span[3])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length is not None else None


def _pour(
    answer: Any,
    part: Path,
    have: int,
    total: int | None,
    max_bytes: int,
    progress: Callable[[str], None],
) -> None:
    """Append the body to `part`, from byte `have` on."""
    shown = time.monotonic()
    with part.open("r+b" if have else "wb") as handle:
        handle.seek(have)
        handle.truncate()
        # `read1` hands over what has arrived, so a broken connection loses nothing.
        while block := answer.read1(_CHUNK):
            handle.write(block)
            have += len(block)
            if have > max_bytes:
                raise _GiveUp(f"the server sends more than {max_bytes >> 20} MiB")
            if time.monotonic() - shown > 2:
                shown = time.monotonic()
                of = f" of {total / 1e6:.0f}" if total else ""
                progress(f"downloaded {have / 1e6:.0f}{of} MB")
        handle.flush()
        os.fsync(handle.fileno())
    if total is not None and have != total:
        if have > total:
            _forget(part)
        raise _Retry(f"the transfer stopped at {have} of {total} bytes")


def _note(part: Path, url: str, validator: str | None) -> None:
    """Remember where the bytes of `part` come from."""
    usable = validator if validator and not validator.startswith("W/") else None
    _beside(part).write_text(json.dumps({"url": url, "validator": usable}), "utf-8")


def _known(part: Path, url: str, verified: bool) -> tuple[int, str | None]:
    """How many bytes of `part` may be kept for `url`, and their validator."""
    try:
        note = json.loads(_beside(part).read_text("utf-8"))
        size = part.stat().st_size
        # Without a validator only a known hash makes it safe to join two transfers.
        if note["url"] == url and (note["validator"] or verified):
            return size, note["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    _forget(part)
    return 0, None


def _beside(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part).unlink(missing_ok=True)
