"""The local page: who may ask, what is told, and that no vote is lost."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.api import BenchError
from bench.cli import app
from bench.storage.votes import (
    Ballot,
    Vote,
    append_votes,
    read_ballots,
    read_votes,
    write_ballots,
)
from bench.voting.ballots import make_ballots
from bench.voting.server import HOST, VoteServer, picture, read_votes_file
from tests.factories import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    made = make_run(path, methods=("munit", "cyclegan"), inputs=4, samples=2, size=16)
    write_ballots(path, make_ballots(made, count=20))
    return path


@pytest.fixture(scope="module")
def ballots(run: Path) -> dict[str, Ballot]:
    return {ballot.id: ballot for ballot in read_ballots(run)}


@pytest.fixture
def server(run: Path, ballots: dict[str, Ballot]) -> Iterator[VoteServer]:
    with VoteServer(run, list(ballots.values())) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
    (run / "votes" / "votes.jsonl").unlink(missing_ok=True)


def ask(
    server: VoteServer, method: str, where: str, body: Any = None, **headers: str
) -> tuple[int, bytes]:
    """Status and body of a request; `where` follows the token unless it begins with a slash."""
    path = where if where.startswith("/") else f"/{server.token}/{where}"
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(HOST, server.server_port, timeout=10)) as connection:
        connection.request(method, path, data, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()


def test_only_who_knows_the_token_gets_anything(server: VoteServer, run: Path) -> None:
    assert server.server_address[0] == "127.0.0.1" and len(server.token) >= 32
    ballot = server.order[0]
    vote = {"ballot": ballot.id, "voter": "x", "answer": "left", "seconds": 1}
    for method, path, body in (
        ("GET", "/", None),
        ("GET", "/wrong/", None),
        ("GET", f"/wrong/image/{ballot.id}/left", None),
        ("POST", "/wrong/vote", vote),
        ("GET", f"/{server.token}/../../etc/passwd", None),
        ("GET", f"/{server.token}/image/{ballot.id}/..%2f..", None),
    ):
        assert ask(server, method, path, body)[0] == 404
    # A page elsewhere whose name leads here brings its own name along.
    assert ask(server, "GET", "", Host="evil.example")[0] == 404
    assert not (run / "votes" / "votes.jsonl").exists()


def test_the_page_tells_no_names(server: VoteServer) -> None:
    status, body = ask(server, "GET", "")
    html = body.decode()
    assert status == 200 and server.order[0].id in html
    for name in ("munit", "cyclegan", "trials/", "static"):
        assert name not in html


def test_pictures_are_those_of_the_ballot(server: VoteServer, run: Path) -> None:
    for ballot in server.order:
        for side in ("input", "left", "right"):
            status, body = ask(server, "GET", f"image/{ballot.id}/{side}")
            assert status == 200
            pixels = np.asarray(Image.open(io.BytesIO(body)))
            path = {"input": ballot.input_path}.get(side) or getattr(ballot, side).path
            if path:
                assert np.array_equal(pixels, np.asarray(Image.open(run / path).convert("RGB")))
            else:
                assert pixels.std() > 50 and body == picture(run, ballot, side)


def test_a_vote_is_on_the_disk_before_it_is_acknowledged(
    server: VoteServer, run: Path, ballots: dict[str, Ballot]
) -> None:
    first, second = server.order[:2]
    for ballot, answer in ((first, "left"), (second, "tie"), (first, "right")):
        vote = {"ballot": ballot.id, "voter": " Ann\n B ", "answer": answer, "seconds": 1.25}
        assert ask(server, "POST", "vote", vote) == (200, b'{"taken": true}')
    votes = {vote.ballot: vote for vote in read_votes(run, ballots)}
    assert votes[first.id].answer == "right" and votes[second.id].answer == "tie"
    assert votes[first.id].voter == "Ann B" and votes[first.id].seconds == 1.25
    assert len((run / "votes" / "votes.jsonl").read_text().splitlines()) == 3
    status, body = ask(server, "POST", "answered", {"voter": "Ann B"})
    assert status == 200 and set(json.loads(body)["answered"]) == {first.id, second.id}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"x" * 5000, "too long"),
        ({"ballot": "none", "voter": "x", "answer": "left"}, "none of this run"),
        ({"voter": "x", "answer": "left"}, "none of this run"),
        ({"ballot": "@", "voter": "x", "answer": "up"}, "unknown: left, right or tie"),
        ({"ballot": "@", "voter": " ", "answer": "left"}, "name of its voter"),
        ({"ballot": "@", "voter": "\x1b[31m", "answer": "left"}, "name of its voter"),
        ({"ballot": "@", "voter": "x", "answer": "left", "seconds": -1}, "no time"),
        ({"ballot": "@", "voter": "x", "answer": "left", "seconds": "soon"}, "no time"),
    ],
)
def test_a_wrong_vote_is_one_line_and_not_kept(
    server: VoteServer, run: Path, body: Any, says: str
) -> None:
    if isinstance(body, dict) and body.get("ballot") == "@":
        body = body | {"ballot": server.order[0].id}
    status, answer = ask(server, "POST", "vote", body)
    assert status == 400 and says in json.loads(answer)["error"]
    assert not (run / "votes" / "votes.jsonl").exists()


def test_a_line_cut_short_costs_itself_alone(run: Path, ballots: dict[str, Ballot]) -> None:
    one, two, three = list(ballots)[:3]
    append_votes(run, [Vote(one, "a", "left", 1.0, "")])
    file = run / "votes" / "votes.jsonl"
    with file.open("ab") as handle:
        handle.write(b'{"ballot": "' + two.encode())  # the machine went down here
    append_votes(run, [Vote(three, "a", "tie", 1.0, "")])
    assert {vote.ballot for vote in read_votes(run, ballots)} == {one, three}
    file.unlink()


def test_an_exported_page_comes_back_as_votes(tmp_path: Path) -> None:
    path = tmp_path / "run"
    make_run(path, methods=("munit", "cyclegan"), inputs=3, samples=1, size=16, failures=False)
    out = tmp_path / "page.html"
    made = CliRunner().invoke(app, ["vote", str(path), "--export", str(out), "--ballots", "12"])
    assert made.exit_code == 0 and made.output.strip() == str(out)
    html = out.read_text("utf-8")
    asked = read_ballots(path)
    assert len(asked) == 12 and html.count("data:image/png;base64,") == 36
    assert "munit" not in html and "cyclegan" not in html
    file = tmp_path / "votes.json"
    rows = [{"ballot": b.id, "voter": "Bo", "answer": "left", "seconds": 2} for b in asked]
    file.write_text(json.dumps(rows))
    taken = CliRunner().invoke(app, ["vote", str(path), "--take", str(file)])
    assert taken.exit_code == 0 and taken.output.startswith("12 votes added")
    known = {ballot.id: ballot for ballot in asked}
    assert len(read_votes(path, known)) == 12
    file.write_text(json.dumps([{**rows[0], "answer": "both"}]))
    with pytest.raises(BenchError, match=r"votes.json, vote 1: answer 'both' is unknown"):
        read_votes_file(file, known)
    # Other questions do not make the votes on earlier ones worthless.
    assert (
        not CliRunner()
        .invoke(app, ["vote", str(path), "--export", str(out), "--ballots", "5", "--seed", "7"])
        .exit_code
    )
    later = {ballot.id: ballot for ballot in read_ballots(path)}
    assert len(later) == 17 and len(read_votes(path, later)) == 12


def test_a_damaged_picture_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", methods=("munit", "cyclegan"), inputs=2, size=16).path
    for file in path.glob("trials/*/images/**/*.png"):
        file.write_bytes(file.read_bytes()[:40])
    out = tmp_path / "page.html"
    made = CliRunner().invoke(app, ["vote", str(path), "--export", str(out), "--ballots", "12"])
    assert isinstance(made.exception, BenchError) and ".png" in str(made.exception)
    assert not out.exists() and read_ballots(path) == []


def test_killed_in_the_middle_nothing_is_lost(run: Path, ballots: dict[str, Ballot]) -> None:
    program = (
        "import sys; from pathlib import Path; from bench.storage.votes import read_ballots;"
        "from bench.voting.server import VoteServer; run = Path(sys.argv[1]);"
        "s = VoteServer(run, read_ballots(run)); print(s.url, flush=True); s.serve_forever()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(run)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    token, port = url.split("/")[3], int(url.split(":")[2].split("/")[0])
    taken = 0
    end = time.monotonic() + 20
    for ballot in ballots:
        if taken == 10:
            os.kill(process.pid, signal.SIGKILL)
            break
        vote = {"ballot": ballot, "voter": "a", "answer": "left", "seconds": 1}
        with closing(http.client.HTTPConnection(HOST, port, timeout=10)) as connection:
            connection.request("POST", f"/{token}/vote", json.dumps(vote))
            taken += connection.getresponse().status == 200
        assert time.monotonic() < end
    process.wait()
    process.stdout.close()
    assert len(read_votes(run, ballots)) == taken == 10
    (run / "votes" / "votes.jsonl").unlink()
