"""The demo builds the tables that it names, and leaves the rest of a growing map alone."""

from feedmill.demo.week import TABLES as DEMO
from feedmill.spec import Files, Input
from include.tables import TABLES


def test_the_demo_s_tables_are_of_the_map_and_read_nothing_that_the_demo_does_not_build():
    for name in DEMO:
        inputs = [entry for entry in TABLES[name].inputs if not isinstance(entry, Files)]
        assert {entry.table.name for entry in inputs if isinstance(entry, Input)} <= set(DEMO), name
