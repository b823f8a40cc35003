"""Text without what looks like a credential. Pure. It rather hides too much than too little."""

from __future__ import annotations

import re

HIDDEN = "*****"

_NAMES = (
    r"(?:(?:token|secret|passw(?:or)?d|pwd|passphrase|credential|authorization)s?(?:[_-][\w-]{0,40})?"
    r"|(?:\b|(?:api|access|account|client|integration|private|routing|secret|signing)[_ -]?)key)"
)
_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\+".*?\\+"|(?:(?:basic|bearer|geniekey|token)\s+)?\S+)"""

_SECRETS = (
    # A password in a URL may have any character but a blank; so all up to the last @ is hidden.
    (re.compile(r"(://[^\s/:@]*):\S*@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"://[^\s/:@]+@"), f"://{HIDDEN}@"),
    (re.compile(rf"(?i)({_NAMES}[\\\"']*\s*[=:]+>?\s*){_VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)(--{_NAMES}\s+|--[\w-]+[_-]{_NAMES}\s+){_VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(basic|bearer|geniekey)\s+\S{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)(hooks\.slack\.com/services/)\S+"), rf"\1{HIDDEN}"),
    # Keys that show what they are: of AWS, GitHub, GitLab, Slack, and signed JSON.
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-)[\w-]{10,}"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
)


def scrubbed(text: str) -> str:
    """The text without what looks like a credential."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
