from tests.server.bridged import loaded

vars().update(loaded("test_foreign_bytes"))
