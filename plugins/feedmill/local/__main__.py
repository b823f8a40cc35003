"""``python -m feedmill.local up|down|status|clean``: the local stack without the rest of the command line."""

from __future__ import annotations

import sys

from feedmill.errors import FeedmillError
from feedmill.local import stack
from feedmill.local.home import Home


def main(arguments: list[str]) -> int:
    """Run one verb. Returns 0 if all is well, 1 if a part does not run or cannot start, 2 if there is no such verb."""
    home = Home.find()
    verb = arguments[0] if len(arguments) == 1 else ""
    try:
        if verb == "up":
            stack.up(home, say=_say)
        elif verb == "down":
            stack.down(home, say=_say)
        elif verb == "clean":
            stack.clean(home, say=_say)
        elif verb == "status":
            return _status(home)
        else:
            _say("usage: python -m feedmill.local up|down|status|clean")
            return 2
    except FeedmillError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _status(home: Home) -> int:
    states = stack.status(home)
    for state in states:
        place = state.where or (f"log: {state.log}" if state.condition in ("died", "not answering") else "")
        _say(f"{state.component:<18}{state.condition:<15}{state.pid or '':<9}{place}".rstrip())
    return 0 if all(state.condition == "running" for state in states) else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
