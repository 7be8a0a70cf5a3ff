"""One generator for each operation, by topic. No I/O: a step that is yielded is one round trip."""
