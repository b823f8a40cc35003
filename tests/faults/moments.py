"""The moments at which something is killed, as steps of ``child.py``."""

from __future__ import annotations

DISCOVERY = {
    "in the middle of the files": "feedmill.landing.discover:_inspect:5",
    "with the files in hand": "feedmill.ledger.files:register",
    "registered, nothing begun": "feedmill.flow.build:_interrupt_earlier_tries",
}
BUILD = {
    "claimed, nothing pinned": "feedmill.ledger.builds:pin",
    "pinned, nothing written": "feedmill.flow.build:_transformed",
    "written, not recorded": "feedmill.ledger.builds:finish",
    "in the ledger's transaction": "feedmill.ledger.builds:finish:after",
    "recorded, and its task does not know": "feedmill.flow.build:Built",
}
CHECK = {
    "before the verdicts": "feedmill.ledger.verdicts:record",
    "in the middle of the verdicts": "feedmill.ledger.verdicts:record:after",
    "before the page": "feedmill.flow.check:render",
}
PUBLISH = {
    "before the intent": "feedmill.ledger.publishes:write_intent",
    "before the commit": "feedmill.flow.publish:_commit",
    "in the commit, metadata written": "pyiceberg.catalog.sql:SqlCatalog._write_metadata:after",
    "after the commit": "feedmill.flow.publish:_commit:after",
    "before the ledger's rows": "feedmill.ledger.publishes:record",
    "in the ledger's transaction": "feedmill.ledger.publishes:record:after",
    "before the branch is dropped": "feedmill.flow.publish:drop_branch",
    "done": "feedmill.flow.publish:drop_branch:after",
}
QUARANTINE = {
    "the read has failed": "feedmill.flow.suspects:Search.culprits",
    "the good file is written": "feedmill.flow.suspects:_Group.divide",
    "found, not declared": "feedmill.ledger.quarantine:declare",
    "in the ledger's transaction": "feedmill.ledger.quarantine:declare:after",
    "declared, nothing begun": "feedmill.ledger.builds:begin:2",
    "begun anew": "feedmill.flow.build:_write:2",
}
DECLARED = ("declared, nothing begun", "begun anew")
AFTER_THE_COMMIT = ("after the commit", "before the ledger's rows", "in the ledger's transaction")
RECORDED = ("before the branch is dropped", "done")
