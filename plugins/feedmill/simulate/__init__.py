"""A simulated feed whose truth is known: events and items as they would land, and the truth that caused them.

=============  ==================================================================================
``settings``   what the caller chooses: span, size and seed
``draws``      random numbers by key, so that any hour can be generated alone
``tastes``     users: who they are, how active, what they like on which day
``items``      the catalogue: quality, categories, lifetimes
``trends``     items whose engagement jumps, and when
``product``    surfaces, policies, models, experiments, countries, devices, rhythm: the constants
``world``      all that is drawn once: users, items, trends
``hour``       the events of one hour, in blocks of bounded size
``columns``    a block as Arrow columns of the contract
``totals``     what ``events.clean`` must hold, counted while the events are generated
``feed``       the folders of the landing zone, written as a whole or not at all
``truth``      what caused the events; evaluations read it
=============  ==================================================================================

It needs only NumPy and PyArrow. docs/simulator.md has the formulas.
"""

from __future__ import annotations

VERSION = 2
"""Raise it with every change of the rows that a seed gives."""
