"""``feedmill watch`` as a part of the local stack."""

from __future__ import annotations

import sys

from feedmill.local.home import Home
from feedmill.local.process import Component, stop


class Watching:
    """The process of one home folder that looks after everything and tells whoever must know."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.component = Component(home, "watch")

    def launch(self) -> None:
        """Start it, unless it runs. It tells nobody of parts that are only starting: start it last."""
        if self.component.pid() is None:
            self.component.start(
                [sys.executable, "-m", "feedmill.cli", "watch"], env=self.home.process_env(), cwd=self.home.project
            )

    def revive(self) -> bool:
        """Start it again if it died; whether it did."""
        died = self.component.expected() and self.component.pid() is None
        if died:
            self.launch()
        return died

    def stop(self) -> None:
        """Stop it before everything else: that the others stop is no incident. It ends its round first."""
        stop([self.component], grace=45)
