"""A simulated feed whose truth is known: events and items as they land, and beside them what caused them.

=============  ==================================================================================
``settings``   what a simulation is asked for
``draws``      random numbers by key: any hour can be generated alone
``tastes``     users: who they are, how active, what they like on which day
``items``      the catalogue: quality, categories, lifetimes
``trends``     items whose engagement jumps, and when
``product``    surfaces, policies, models, experiments, countries, devices, rhythm: the constants
``hour``       the events of one hour, in blocks of bounded size
``columns``    a block as Arrow columns of the contract
``landing``    the folders of the landing zone, written whole or not at all
``truth``      what caused the events: written beside them, and read back by evaluations
=============  ==================================================================================

NumPy and PyArrow only. The formulas stand in docs/simulator.md.
"""

from __future__ import annotations

VERSION = 2
"""Raised with every change of the rows that a seed gives."""
