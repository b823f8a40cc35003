"""Links between the documents: each leads to a file of the project, and to a heading if it names one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])

LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
"""Also of pictures, and of pictures that are links."""

CODE = re.compile(r"^(?:```.*?^```|(?: {4}|\t).*?)$|(`+)(?!`).+?(?<!`)\1(?!`)", re.MULTILINE | re.DOTALL)


def broken(page: Path, project: Path) -> Iterator[str]:
    """The page's links into the project that lead nowhere."""
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / unquote(path)).resolve() if path else page
        if not found.exists() or not found.is_relative_to(project):
            yield f"{target}: there is no such file in the project"
        elif anchor and anchor not in anchors(found):
            yield f"{target}: {found.name} has no such heading"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, flags=re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert list(broken(page, PROJECT)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One heading\n## `build` failed\n## Twice\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#one-heading) [b](other.md#build-failed) [c](other.md#twice-1) [d](#here)\n"
        "[e](https://example.com/x.md) `[code](nowhere.md)`\n\n    [code](nowhere.md)\n\n"
        "[![picture](gone.png)](other.md) [f](missing.md) [g](other.md#no-heading) [h](#twice) [i](../outside.md)\n"
    )
    (tmp_path.parent / "outside.md").touch()
    assert [line.partition(":")[0] for line in broken(page, tmp_path)] == [
        "gone.png",
        "missing.md",
        "other.md#no-heading",
        "#twice",
        "../outside.md",
    ]
