"""The database of labels: SQLite, in memory or in a file, with the standard library's full-text search (FTS5).

Labels are numbered by their length first, and full-text search gives rows in the order of their numbers. So the
shortest label with the words asked for, the one they say most about, comes first without any sorting, and a keystroke
costs the rows shown instead of the rows found.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from steerkit.dictionaries.label_files import Label
from steerkit.dictionaries.spelling import joined_words
from steerkit.errors import DictionaryError

TABLES = ("edited", "imported")  # in the order in which they win

_APPLICATION = 0x736B6C62  # "sklb", written into the file's header
_ARRIVAL_BITS = 40  # of a label's number: when it came, below its length

_SCHEMA = [
    f"PRAGMA application_id = {_APPLICATION}",
    "CREATE TABLE arrivals (next INTEGER)",
    "INSERT INTO arrivals VALUES (0)",
    "CREATE TABLE meanings (maker TEXT, text TEXT, vector BLOB, PRIMARY KEY (maker, text)) WITHOUT ROWID",
]
for _table in TABLES:
    _SCHEMA += [
        f"CREATE TABLE {_table} "
        "(id INTEGER PRIMARY KEY, feature INTEGER NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL, score REAL)",
        f"CREATE INDEX {_table}_feature ON {_table} (feature)",
        f"CREATE VIRTUAL TABLE {_table}_words USING fts5 (words, content='', prefix='1 2')",
        f"CREATE VIRTUAL TABLE {_table}_vocabulary USING fts5vocab ({_table}_words, row)",
    ]


class Store:
    """A database of labels.

    Args:
        path: File that keeps it; in memory without one. Several processes may use it at once.

    Attributes:
        lock: Held by whoever uses the database; reentrant.
        execute: Runs a statement.
        close: Closes the file.

    Raises:
        DictionaryError: The file is no file of labels.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.lock = threading.RLock()
        self._vocabulary: tuple[tuple[int, int] | None, list[str]] = (None, [])
        with self._explained():
            self._database = sqlite3.connect(
                self.path or ":memory:", timeout=30, isolation_level=None, check_same_thread=False
            )
        self._database.create_function("words", 1, joined_words, deterministic=True)
        self.execute = self._database.execute
        self.close = weakref.finalize(self, self._database.close)
        with self._explained():
            if self._is_empty():
                with self.writing():
                    if self._is_empty():  # still, now that no other process can be making it
                        for statement in _SCHEMA:
                            self.execute(statement)
            ours = self._one("PRAGMA application_id") == _APPLICATION
        if not ours:
            raise DictionaryError(f"'{self.path}' is a database of something else. Give a new file for labels.")

    @property
    def state(self) -> tuple[int, int]:
        """Changes with every change, whichever process makes it."""
        return self._one("PRAGMA data_version"), self._database.total_changes

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All changes in the block become one, or none if it ends in an exception."""
        with self.lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self.execute("ROLLBACK")
                raise

    def insert(self, table: str, labels: Iterable[tuple[int, Label]]) -> None:
        """Add labels, within `writing`."""
        arrival = self._one("SELECT next FROM arrivals")
        rows = [
            (numbers(len(joined_words(x.text)))[0] + arrival + i, index, x.text, x.source, x.score)
            for i, (index, x) in enumerate(labels)
        ]
        self.execute("UPDATE arrivals SET next = ?", [arrival + len(rows)])
        self._database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", rows)
        # By number, as its index is written out whenever a number is below the one before. Triggers take five times
        # as long.
        self.execute(
            f"INSERT INTO {table}_words (rowid, words) "
            f"SELECT id, words(text) FROM {table} WHERE {ARRIVAL} >= ? ORDER BY id",
            [arrival],
        )

    def delete(self, table: str, keys: Iterable[tuple[int, str]]) -> None:
        """Take away what a source says of a feature, within `writing`."""
        self.execute("CREATE TEMP TABLE IF NOT EXISTS leaving (feature INTEGER, source TEXT)")
        self.execute("DELETE FROM leaving")
        self._database.executemany("INSERT INTO leaving VALUES (?, ?)", keys)
        leaving = f"SELECT id FROM leaving CROSS JOIN {table} USING (feature, source)"
        self.execute(
            f"INSERT INTO {table}_words ({table}_words, rowid, words) "
            f"SELECT 'delete', id, words(text) FROM {table} WHERE id IN ({leaving}) ORDER BY id"
        )
        self.execute(f"DELETE FROM {table} WHERE id IN ({leaving})")

    def matching(
        self, table: str, query: str, *, length: int | None = None, by_weight: bool = False
    ) -> Iterator[tuple[int, str]]:
        """Features and labels that answer an FTS5 query, the short labels first.

        Args:
            table: Where to look.
            query: In FTS5's language.
            length: Only labels whose words have so many letters, with a space between words.
            by_weight: Order by how many and how rare the words are (BM25), which costs all the rows found.
        """
        first, last = (0, 2**62) if length is None else numbers(length)
        return self.execute(
            f"SELECT feature, text FROM {table}_words CROSS JOIN {table} ON id = {table}_words.rowid "
            f"WHERE {table}_words MATCH ? AND {table}_words.rowid BETWEEN ? AND ? "
            f"ORDER BY {table}_words.{'rank' if by_weight else 'rowid'}",
            [query, first, last],
        )

    def containing(self, table: str, text: str, *, whole: bool = False) -> Iterator[tuple[int, str]]:
        """Features and labels that have the text in them, or are the text; the short labels first. Reads all labels."""
        condition = "text = ?" if whole else "instr(text, ?)"
        return self.execute(f"SELECT feature, text FROM {table} WHERE {condition} ORDER BY id", [text])

    def vocabulary(self) -> list[str]:
        """All words of all labels, sorted."""
        if self._vocabulary[0] != self.state:
            self._vocabulary = self.state, sorted(row[0] for row in self.execute(union("term", "_vocabulary")))
        return self._vocabulary[1]

    def _one(self, query: str) -> int:
        return self.execute(query).fetchone()[0]

    def _is_empty(self) -> bool:
        return not self._one("SELECT count(*) FROM sqlite_master")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DictionaryError(
                f"'{self.path}' cannot be used for labels: {error}. Give a new file, or one that steerkit made."
            ) from error


ARRIVAL = f"id & {(1 << _ARRIVAL_BITS) - 1}"


def numbers(length: int) -> tuple[int, int]:
    """First and last number of labels whose words have so many letters, with a space between words."""
    return length << _ARRIVAL_BITS, ((length + 1) << _ARRIVAL_BITS) - 1


def union(column: str, of: str = "") -> str:
    """A query for a column of both tables, each value once."""
    return " UNION ".join(f"SELECT {column} FROM {table}{of}" for table in TABLES)
