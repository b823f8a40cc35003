"""The doctor's rules for the alerts: would anybody be told?"""

from __future__ import annotations

from collections.abc import Iterator

from feedmill.connections import HEARTBEAT
from feedmill.doctor.facts import Facts
from feedmill.doctor.rule import Finding, Rule


class NoHeartbeat(Rule[Facts]):
    """People are paged, and nobody would notice if the process that pages them died."""

    ill = "no heartbeat"

    def look(self, seen: Facts) -> Iterator[Finding]:
        if seen.pages_go_to and not seen.has_heartbeat:
            what = "if `feedmill watch` dies, nobody is told of anything any more, and nobody notices"
            mend = (
                f"Let a dead-man's-switch service page you when its pings stop: put the URL that it gives you into the "
                f"password of the connection {HEARTBEAT}."
            )
            yield self.finding("", what, mend)
