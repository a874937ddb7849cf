"""Keeps everybody else from writing into a SQLite database until stdin ends."""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
