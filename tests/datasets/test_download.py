"""Downloads against a server on this machine that misbehaves on demand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.api import BenchError, WeightFile
from bench.data import fetch
from bench.storage.weights import find

BODY = bytes(range(256)) * 4000
SHA = hashlib.sha256(BODY).hexdigest()


class Server:
    """Answers with BODY, after the faults in `plan`, one per request."""

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.ranges: list[str | None] = []
        self.etag = '"one"'
        self.body = BODY
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                fault = server.plan.pop(0) if server.plan else "fine"
                server.ranges.append(self.headers.get("Range"))
                self.close_connection = True
                if fault.isdigit():
                    self.send_response(int(fault))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body, first = server.body, 0
                wanted = self.headers.get("Range")
                same = self.headers.get("If-Range") in (None, server.etag)
                if wanted and same and fault != "ignore-range":
                    first = int(wanted.removeprefix("bytes=").rstrip("-"))
                    self.send_response(206)
                    shown = first + 7 if fault == "wrong-range" else first
                    self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
                else:
                    self.send_response(200)
                payload = body[first:]
                self.send_header("Content-Length", str(len(payload)))
                self.send_header("ETag", server.etag)
                self.end_headers()
                if fault == "truncate":
                    payload = payload[: len(payload) // 3]
                elif fault == "garbage":
                    payload = b"x" * len(payload)
                self.wfile.write(payload)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/file.zip"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()
    one.thread.join()


def get(server: Server, out: Path, **options: object) -> Path:
    options = {"sha256": SHA, "pause": 0.01, "timeout": 5.0, **options}
    return fetch([server.url], out, progress=lambda line: None, **options)  # type: ignore[arg-type]


def only(folder: Path, *names: str) -> bool:
    return sorted(p.name for p in folder.iterdir()) == sorted(names)


def test_plain(server: Server, tmp_path: Path) -> None:
    out = get(server, tmp_path / "f.zip")
    assert out.read_bytes() == BODY
    assert only(tmp_path, "f.zip")
    get(server, out)
    assert len(server.ranges) == 1, "what is right is not fetched again"


def test_cut_off_transfer_resumes_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.plan = ["truncate", "503", "truncate"]
    assert get(server, tmp_path / "f.zip").read_bytes() == BODY
    assert server.ranges[0] is None
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in server.ranges[1:] if r]
    third = len(BODY) // 3
    assert starts == [third, third, third + (len(BODY) - third) // 3]


def test_resumes_in_a_later_call(server: Server, tmp_path: Path) -> None:
    server.plan = ["truncate"]
    with pytest.raises(BenchError, match="stopped at"):
        get(server, tmp_path / "f.zip", attempts=1)
    assert only(tmp_path, "f.zip.part", "f.zip.part.json")
    assert get(server, tmp_path / "f.zip").read_bytes() == BODY
    assert server.ranges[-1] == f"bytes={len(BODY) // 3}-"


@pytest.mark.parametrize("fault", ["ignore-range", "wrong-range", "416"])
def test_server_that_resumes_wrongly(server: Server, tmp_path: Path, fault: str) -> None:
    server.plan = ["truncate", fault]
    assert get(server, tmp_path / "f.zip").read_bytes() == BODY


def test_two_versions_are_never_joined(server: Server, tmp_path: Path) -> None:
    server.plan = ["truncate"]
    with pytest.raises(BenchError):
        get(server, tmp_path / "f.zip", attempts=1, sha256=None)
    server.body, server.etag = BODY[::-1], '"two"'
    assert get(server, tmp_path / "f.zip", sha256=None).read_bytes() == BODY[::-1]


def test_wrong_bytes_are_refused_and_the_old_file_stays(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "f.zip"
    out.write_bytes(b"old")
    server.plan = ["garbage"] * 9
    with pytest.raises(BenchError, match=r"sha256 is .* fetch http.* by other means") as caught:
        get(server, out)
    assert "\n" not in str(caught.value)
    assert out.read_bytes() == b"old"
    assert only(tmp_path, "f.zip")


def test_mirror_is_asked_when_the_first_address_fails(server: Server, tmp_path: Path) -> None:
    server.plan = ["404"]
    lines: list[str] = []
    out = fetch([server.url, server.url], tmp_path / "f", progress=lines.append, sha256=SHA)
    assert out.read_bytes() == BODY
    assert any("answered 404" in line for line in lines)


def test_gives_up_on_a_server_that_is_down(server: Server, tmp_path: Path) -> None:
    server.plan = ["503"] * 9
    with pytest.raises(BenchError, match=r"answered 503 \(3 attempts\)"):
        get(server, tmp_path / "f.zip", attempts=3)
    assert len(server.ranges) == 3


def test_limits_and_schemes(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="more than the 0 allowed"):
        get(server, tmp_path / "f.zip", max_bytes=1000)
    secret = tmp_path / "secret"
    secret.write_text("s")
    with pytest.raises(BenchError, match="unknown url type"):
        fetch([secret.as_uri()], tmp_path / "f", progress=lambda line: None, attempts=1)
    with pytest.raises(BenchError, match="no connection"):
        fetch(["http://127.0.0.1:9/x"], tmp_path / "f", progress=lambda line: None, attempts=1)


def test_weights_come_in_the_same_way(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    file = WeightFile("net.pth", SHA, "tests", url=server.url)
    server.plan = ["truncate"]
    path = find(file, weights_dir=None, offline=False)
    assert path == tmp_path / "weights" / "net.pth" and path.read_bytes() == BODY
    assert len(server.ranges) == 2
    assert find(file, weights_dir=None, offline=False) == path
    assert len(server.ranges) == 2, "what is in the cache is not fetched again"
    server.body = BODY[::-1]
    other = WeightFile("other.pth", SHA, "tests", url=server.url)
    with pytest.raises(BenchError, match=r"other\.pth could not be downloaded .*sha256 is"):
        find(other, weights_dir=None, offline=False)
    assert not (tmp_path / "weights" / "other.pth").exists()
