"""Errors of Spark itself, of two writers at once, or of what a file holds; not errors in the query."""

from __future__ import annotations

import re

from feedmill.errors import Exit, FeedmillError, Turn


class SparkUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """Spark cannot be reached or started, or died during the work; the message says where, why and what to do."""


_CONFLICTS = ("CommitFailedException", "ValidationException", "CommitStateUnknownException")

_ENVIRONMENT = re.compile(
    # Memory, disk, and what dies or is stopped.
    r"OutOfMemoryError|GC overhead limit|No space left on device|Disk quota exceeded|Too many open files"
    r"|ExecutorLost|ExecutorDeadException|Executor heartbeat timed out|FetchFailedException|SparkUpgradeException"
    r"|OPERATION_CANCELED|JOB_CANCELLED|cancelled|InterruptedException|InterruptedIOException|ClosedByInterrupt"
    # The server and its client.
    r"|INVALID_HANDLE|StatusCode\.(?:UNAVAILABLE|CANCELLED|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|UNAUTHENTICATED)"
    # The network, and the storage: who may read, how often, and whether it answers.
    r"|TimeoutException|timed out|java\.net\.|javax\.net\.|UnknownHost|NoRouteToHost|Connection (?:refused|reset)"
    r"|AccessDenied|AccessControlException|Permission denied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|NoAuthWithAWSException|CredentialInitializationException|ExpiredToken|invalid_grant|Unauthorized"
    r"|SlowDown|Throttl|TooManyRequests|Too Many Requests|ServiceUnavailable|Service Unavailable|InternalError"
    r"|FileNotFoundException|NoSuchFileException|FILE_NOT_EXIST|PATH_NOT_FOUND|BlockMissingException"
    r"|Input/output error|Stale file handle|java\.nio\.file\."
)
"""Signs of what surrounds a read, in the names and messages of its errors: no file is to blame for these."""

_CAUSE = re.compile(r"^(?:Caused by: )?((?:[\w$]+\.)+[\w$]*(?:Exception|Error)): ?(.*)$", re.MULTILINE)
"""An error's class and message, as a JVM writes them above each stack of calls."""


def is_conflict(error: Exception) -> bool:
    """Whether the error is Iceberg's, because another commit to the table came first."""
    return any(name in str(error) for name in _CONFLICTS)


def may_be_of_content(error: BaseException) -> bool:
    """Whether Spark's error may be due to what a file holds. False: to memory, the network, the storage, the server."""
    # Spark quotes the values that it stumbles over. A row that says 'timed out' is no sign of a timeout.
    said = re.sub(r"'[^'\n]*'", "''", _whole(error))
    return not isinstance(error, FeedmillError) and _ENVIRONMENT.search(said) is None


def root_cause(error: BaseException) -> str:
    """What went wrong at the bottom, in the words of whoever found it; one line, without classes and SQL states."""
    causes = [(name, message.strip()) for name, message in _CAUSE.findall(_whole(error))]
    said = [(name, message) for name, message in causes if message]
    if said:
        name, message = said[-1]
        text = message if " " in message else f"{name.rpartition('.')[2]}: {message}"
    else:
        text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    text = re.sub(r"^\[[A-Z0-9_.]+\] ", "", text.partition(" SQLSTATE: ")[0])
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _whole(error: BaseException) -> str:
    """The error with all its causes, on this side and in Spark."""
    parts, seen = [], set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        # Over Spark Connect it is asked for; an application's own error holds it.
        asked = getattr(current, "getStackTrace", None)
        stack = asked() if callable(asked) else getattr(current, "_stackTrace", None)
        parts.append(f"{type(current).__module__}.{type(current).__name__}: {current}\n{stack or ''}")
        current = current.__cause__ or current.__context__
    # Without the stacks' calls: a method's name is no sign of anything.
    return "\n".join(line for part in parts for line in part.splitlines() if not line.startswith("\tat "))
