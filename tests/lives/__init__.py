"""Lives of a run in a world of workers, a broker and a store, for the tests of the protocol."""
