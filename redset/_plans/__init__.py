"""Plans: a generator for each operation, by topic. No I/O: each step yielded is one round trip."""
