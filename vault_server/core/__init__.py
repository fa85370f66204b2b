"""Words that every layer shares: operations, callers, refusals, transition tables. No I/O."""
