"""A local page that asks, and takes the answers: 127.0.0.1 only, behind a random token.

Nothing the page shows tells whose a picture is: pictures are named by ballot and side. An
answer is on the disk before the page shows the next question, so a crash loses none.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from bench.api import BenchError
from bench.data.images import read_image
from bench.storage.files import write_atomic
from bench.storage.votes import Ballot, Side, append_votes, read_votes, vote_of

HOST = "127.0.0.1"
_LONGEST_BODY = 4096
_HERE = Path(__file__).parent
SIDES = ("input", "left", "right")


def picture(run: Path, ballot: Ballot, side: str) -> bytes:
    """Return one picture of a ballot as PNG; ``input``, ``left`` or ``right``."""
    if side == "input":
        return _encoded(read_image(_inside(run, ballot.input_path)))
    shown: Side = ballot.left if side == "left" else ballot.right
    if shown.path:
        return _encoded(read_image(_inside(run, shown.path)))
    shape = read_image(_inside(run, ballot.input_path)).shape
    seed = int.from_bytes(hashlib.sha256(ballot.id.encode()).digest()[:8], "big")
    return _encoded(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def _inside(run: Path, name: str) -> Path:
    """A file named by the tables; one that leads out of the run is refused."""
    path = (run / name).resolve()
    if not path.is_relative_to(run.resolve()):
        raise BenchError(f"{name} lies outside the run folder")
    return path


def _encoded(pixels: Any) -> bytes:
    """PNG without anything that tells two files of the same pixels apart."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def page(
    ballots: Sequence[Ballot], *, pictures: Mapping[str, str] | None = None, name: str = ""
) -> str:
    """Return the page that asks `ballots`.

    Parameters
    ----------
    pictures
        ``<ballot>/<side>`` to data URIs: the page works offline and gives a file of votes.
        None: it asks the server that serves it.
    name
        Under which the file of votes is saved.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    questions = [{"id": one.id, "target": one.target} for one in ballots]
    data = {"ballots": questions, "pictures": pictures, "name": name}
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return made.get_template("page.html.j2").render(data=text, offline=pictures is not None)


def export(run: Path, ballots: Sequence[Ballot], out: Path) -> None:
    """Write the page as one file that works offline and saves a file of votes."""
    uris = {
        f"{ballot.id}/{side}": "data:image/png;base64,"
        + base64.b64encode(picture(run, ballot, side)).decode()
        for ballot in ballots
        for side in SIDES
    }
    write_atomic(out, page(ballots, pictures=uris, name=f"votes-{run.name}.json"))


def read_votes_file(file: Path, ballots: Mapping[str, Ballot]) -> list[Any]:
    """Return the votes of a file that an exported page saved.

    Raises
    ------
    BenchError
        When it is no such file, or a vote of it is wrong.
    """
    try:
        rows = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} is no file of votes: {str(error).splitlines()[0]}") from None
    if not isinstance(rows, list):
        raise BenchError(f"{file} is no file of votes: it holds no list")
    votes = []
    for number, row in enumerate(rows, 1):
        try:
            votes.append(vote_of(row, ballots))
        except BenchError as error:
            raise BenchError(f"{file}, vote {number}: {error}") from None
    return votes


class VoteServer(ThreadingHTTPServer):
    """Serves the ballots of a run at `url`, and appends what comes back.

    Parameters
    ----------
    run, ballots
        The run folder and its questions.
    port
        0: any that is free.
    on_vote
        Called after each vote with the number of votes taken.
    """

    daemon_threads = True

    def __init__(
        self,
        run: Path,
        ballots: Sequence[Ballot],
        *,
        port: int = 0,
        on_vote: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.run, self.order = run, list(ballots)
        self.ballots = {ballot.id: ballot for ballot in ballots}
        self.token, self.on_vote, self.taken = secrets.token_urlsafe(24), on_vote, 0
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise BenchError(
                f"port {port} cannot be opened: {error.strerror}; choose another with --port"
            ) from None

    @property
    def url(self) -> str:
        """Where the page is; whoever knows it may vote."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def answered(self, voter: str) -> list[str]:
        """Return the ballots that a voter has answered already."""
        votes = read_votes(self.run, self.ballots)
        return [vote.ballot for vote in votes if vote.voter == voter]


class _Handler(BaseHTTPRequestHandler):
    server: VoteServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the token is part of every address."""

    def _parts(self) -> list[str] | None:
        """The address behind the token; None for whoever does not know it.

        The host is checked, too: a page elsewhere whose name is made to lead here sends its own.
        """
        host = self.headers.get("Host", "")
        known = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        _, token, *rest = [*self.path.split("/"), "", ""]
        if host not in known or not secrets.compare_digest(token, self.server.token):
            return None
        return [part for part in rest if part]

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._answer(status, json.dumps(value).encode(), "application/json")

    def _refuse(self, reason: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self.close_connection = True  # what was not read must not be taken for a request
        self._json({"error": reason}, status)

    def do_GET(self) -> None:
        """Answer with the page, or a picture."""
        match self._parts():
            case []:
                html = page(self.server.order).encode()
                self._answer(HTTPStatus.OK, html, "text/html; charset=utf-8")
            case ["image", ballot, side] if ballot in self.server.ballots and side in SIDES:
                try:
                    body = picture(self.server.run, self.server.ballots[ballot], side)
                except BenchError as error:
                    self._refuse(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)
                    return
                self._answer(HTTPStatus.OK, body, "image/png")
            case _:
                self._refuse("there is nothing here", HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take a vote, or say which ballots a voter has answered."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _LONGEST_BODY:
            self._refuse("the body is missing or too long")
            return
        body = self.rfile.read(int(length))
        try:
            row = json.loads(body)
        except ValueError:
            self._refuse("the body is no JSON")
            return
        match self._parts():
            case ["answered"] if isinstance(row, dict):
                self._json({"answered": self.server.answered(str(row.get("voter", "")))})
            case ["vote"] if isinstance(row, dict):
                stamp = datetime.now(UTC).isoformat(timespec="seconds")
                try:
                    vote = vote_of(row | {"time": stamp}, self.server.ballots)
                    append_votes(self.server.run, [vote])
                except (BenchError, OSError) as error:
                    self._refuse(str(error))
                    return
                self.server.taken += 1
                self.server.on_vote(self.server.taken)
                self._json({"taken": True})
            case _:
                self._refuse("there is nothing here", HTTPStatus.NOT_FOUND)
