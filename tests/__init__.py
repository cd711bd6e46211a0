"""The tests, as a package: oracles, factories and toys are imported as modules of it."""
