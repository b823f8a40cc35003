"""The generated pages and the lineage picture."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from feedmill.authoring.lineage import svg
from feedmill.authoring.table_pages import FOLDER, PICTURE, differences, pages, write
from feedmill.spec import Files, Input, Maintainer, Map, Ripple, Table
from feedmill.timeline import DAY, HOUR, days, hours
from include.tables import TABLES

PROJECT = Path(__file__).resolve().parents[2]
TEAM = Maintainer("team", "a team", "mailto:team@example.com")


def table(name, every, *inputs):
    return Table(name, every, inputs, TEAM, 2, days(400))


LANDED = table("a.landed", HOUR, Files("events"))
CLEAN = table("a.clean", HOUR, Input(LANDED, by="touches"))
ITEMS = table("a.items", DAY, Files("items", lookback=days(90)))
BASE = table("b.base", DAY, Input(CLEAN, lookback=days(28), ripple=Ripple.LATEST))
SCORE = table("c.score", HOUR, Input(CLEAN), Input(BASE, as_of=True, lag=hours(1)))
RATE = table("c.rate", DAY, Input(BASE, lookback=days(28), lag=days(1)), Input(CLEAN, lookback=hours(6), lag=hours(3)))
MAP = Map([LANDED, CLEAN, ITEMS, BASE, SCORE, RATE])


@pytest.fixture
def project(tmp_path):
    for one in MAP:
        path = tmp_path / one.ddl_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"CREATE TABLE {one.name} (p DATE NOT NULL COMMENT 'Partition.', x BIGINT COMMENT 'Either | or.') "
            "USING iceberg PARTITIONED BY (p) COMMENT 'One row per p.'"
        )
    return tmp_path


def test_the_committed_pages_are_as_the_map_says():
    assert differences(pages(TABLES, PROJECT), PROJECT) == {}


def test_every_link_of_the_committed_pages_leads_somewhere():
    for path in (PROJECT / FOLDER).glob("*.md"):
        for target in re.findall(r"\]\(((?!https?:|mailto:)[^)]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.landed", "| files of events | the files that arrived in the hour | every partition that reads it |"),
        ("a.clean", "by touches: every arrival hour that has rows of the hour, however late"),
        ("a.items", "the files that arrived in the day and the 90 days before it"),
        ("b.base", "its hours in the day and the 28 days before it | the newest partition only |"),
        ("c.rate", "| its days in the 28 days before the day |"),
        ("c.rate", "| its hours in the 27 hours that ended 3 hours before the end of the day |"),
        ("c.score", "as of: its newest day that ended plus 1 hour before the end of the hour"),
        ("c.score", "| [a.clean](a.clean.md) | the same hour |"),
        ("a.clean", "- [b.base](b.base.md)\n- [c.score](c.score.md)\n- [c.rate](c.rate.md)"),
        ("a.clean", "Either \\| or."),
        ("a.clean", "feedmill build a.clean --start 2026-05-01T13 --end 2026-05-01T18"),
    ],
)
def test_a_page_says_what_a_partition_reads_and_who_reads_it(project, name, sentence):
    assert sentence in pages(MAP, project)[FOLDER / f"{name}.md"]


def test_writing_makes_changes_and_removes_and_then_nothing_differs(project):
    made = pages(MAP, project)
    write(made, project)
    (project / FOLDER / "a.clean.md").write_text("old")
    (project / FOLDER / "gone.table.md").write_text("old")
    (project / PICTURE).unlink()
    assert set(differences(made, project).values()) == {"different", "left over", "missing"}
    write(made, project)
    assert differences(made, project) == {}
    assert not (project / FOLDER / "gone.table.md").exists()


def test_the_picture_is_well_formed_and_has_every_table_and_edge_as_text():
    root = ElementTree.fromstring(svg(MAP))
    texts = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"landed", "clean", "items", "base", "score", "rate", "files of events", "files of items"} <= texts
    assert {"by touches", "91 days", "29 days", "28 days", "27 hours", "as of"} <= texts
    edges = [n for n in root.iter("{http://www.w3.org/2000/svg}path") if "edge" in n.get("class", "")]
    assert len(edges) == 8


def test_no_box_of_the_picture_overlaps_another():
    boxes = [
        tuple(float(node.get(key, "0")) for key in ("x", "y", "width", "height"))
        for node in ElementTree.fromstring(svg(MAP)).iter("{http://www.w3.org/2000/svg}rect")
        if node.get("class") in ("box", "files")
    ]
    for i, (x, y, w, h) in enumerate(boxes):
        for other_x, other_y, other_w, other_h in boxes[i + 1 :]:
            assert x + w <= other_x or other_x + other_w <= x or y + h <= other_y or other_y + other_h <= y


def test_the_picture_is_the_same_whatever_the_order_of_the_tables():
    assert svg(MAP) == svg(Map([RATE, SCORE, BASE, ITEMS, CLEAN, LANDED]))
