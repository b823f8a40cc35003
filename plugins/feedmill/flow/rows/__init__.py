"""From pinned inputs to the rows of a branch: frames, passes, the branch and the digest."""
