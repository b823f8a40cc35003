"""The prediction services, and who maintains each: it is told when the error budget of its objective burns too fast."""

from feedmill.spec import Service
from include.maintainers import personalization

SERVICES = (
    Service(
        "ranker",
        description="Ranks the feed. Good: an answer without a server error in 200 ms.",
        maintainer=personalization,
        tier=1,
        conn_id="prometheus_default",
        good='sum(increase(http_request_duration_seconds_bucket{service="ranker",code!~"5..",le="0.2"}[{window}]))',
        total='sum(increase(http_request_duration_seconds_count{service="ranker"}[{window}]))',
        objective=0.999,
        runbook="https://example.com/runbooks/ranker",
    ),
)
