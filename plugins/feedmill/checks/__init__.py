"""Checks: suites of expectations, verdicts per partition, and the page that explains a held one."""
