"""What Feedmill costs, measured by a command: ``make bench``, or one question of it, ``make bench ONLY=parse``.

Each question has a module. Its docstring says what is measured and how, and docs/benchmarks.md quotes it. Its function
``main(small)`` returns a :class:`~benchmarks.measure.Result`, and its ``rows(result)`` turns that into lines of a
table. Each module runs alone (``python -m benchmarks.parse``), keeps its samples as JSON in ``benchmarks/results/``,
and never touches the stack of ``make up``. ``report`` makes the document and the README's table from the JSON files.
"""

QUESTIONS = (
    "parse",
    "freshness",
    "watch",
    "landing",
    "build",
    "transforms",
    "windows",
    "ranges",
    "shares",
    "runners",
    "latency",
    "housekeeping",
    "simulate",
)
"""In the order of the document."""
