"""Files written whole or not at all: cache, locks, run folders, tables, weights."""
