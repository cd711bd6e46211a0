"""The built site: every link leads somewhere, and nothing is asked of a network."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "site"
PAGES = sorted(page for page in SITE.rglob("*.html") if "run" not in page.relative_to(SITE).parts)


class _Page(HTMLParser):
    """What a page links to, what it loads, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a":
            self.links.add(given.get("href", ""))
        elif tag in ("script", "img", "iframe", "link") and given.get("rel") != "canonical":
            self.loaded.add(given.get("src") or given.get("href", ""))


@cache
def _page(path: Path) -> _Page:
    return _Page(path)


def test_there_is_a_site() -> None:
    assert len(PAGES) > 20, "make docs builds it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(SITE).as_posix())
def test_links_lead_somewhere_and_all_is_here(page: Path) -> None:
    if page.name == "404.html":  # a server shows it from its top
        return
    found = _page(page)
    assert not [url for url in found.loaded if urlsplit(url).netloc]
    for url in sorted(found.links | found.loaded - {""}):
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        assert target.is_file(), f"{page.name} links to {url}"
        if parts.fragment and target.suffix == ".html" and target in PAGES:
            anchors = _page(target).anchors
            assert unquote(parts.fragment) in anchors | {"__tabbed"}, f"{page.name}: {url}"
