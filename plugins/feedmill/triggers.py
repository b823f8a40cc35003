"""Where the trigger was before it moved: a task that was deferred by the version before names this path."""

from feedmill.airflow.triggers import LedgerTrigger

__all__ = ["LedgerTrigger"]
