"""Whose everything is, from the project's own facts in ``include/``."""

from __future__ import annotations

from feedmill.alerts.scene import Owners
from feedmill.spec import Expects


def of_project() -> Owners:
    """The maintainers of this project, and who owns its landing sources and its models.

    Raises:
        MapError: a fact of ``include/`` is wrong; the message names it.
    """
    from include.landing import LANDING
    from include.maintainers import DEFAULT, INFRASTRUCTURE, MAINTAINERS
    from include.models import MODELS

    MAINTAINERS.require_holidays()
    sources = {one.source: (one.maintainer, one.tier) for one in LANDING}
    models = {one.model_id: (one.maintainer, one.tier) for one in MODELS}
    expected = frozenset(one.source for one in LANDING if one.expects is Expects.ALWAYS)
    return Owners({one.name: one for one in MAINTAINERS}, DEFAULT, INFRASTRUCTURE, sources, expected, models)
