"""Search by meaning: labels whose sentence embeddings lie near a text's."""

from __future__ import annotations

import numpy as np

from steerkit.dictionaries.label_store import Store
from steerkit.embeddings import Embed

BATCH = 1024

# A feature that the user has labelled means what the user says.
_LABELS = """
    SELECT feature, text FROM edited
    UNION SELECT feature, text FROM imported WHERE feature NOT IN (SELECT feature FROM edited)
"""


class Meanings:
    """Embeddings of the labels in a database, made when first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._current: tuple[object, ...] = ()
        self._labels: list[tuple[int, str]] = []
        self._vectors = np.zeros((0, 0), dtype=np.float32)

    def nearest(self, text: str, embed: Embed, limit: int) -> list[tuple[int, str]]:
        """Features and the label of each nearest to a text, the nearest first."""
        if not text or limit <= 0:
            return []
        self._refresh(embed)
        if not self._labels:
            return []
        found: dict[int, str] = {}
        for place in np.argsort(self._vectors @ np.asarray(embed([text]), dtype=np.float32)[0])[::-1]:
            feature, label = self._labels[place]
            found.setdefault(feature, label)
            if len(found) == limit:
                break
        return list(found.items())

    def _refresh(self, embed: Embed) -> None:
        if self._current == (self._store.state, embed):
            return
        maker = getattr(embed, "__qualname__", type(embed).__qualname__)
        missing = f"SELECT text FROM ({_LABELS}) EXCEPT SELECT text FROM meanings WHERE maker = ?"
        texts = [row[0] for row in self._store.execute(missing, [maker])]
        for start in range(0, len(texts), BATCH):  # each batch is kept, so an interrupt loses one
            batch = texts[start : start + BATCH]
            vectors = np.asarray(embed(batch), dtype=np.float32)
            with self._store.writing():
                for text, vector in zip(batch, vectors, strict=True):
                    self._store.execute("REPLACE INTO meanings VALUES (?, ?, ?)", [maker, text, vector.tobytes()])
        joined = f"SELECT feature, text, vector FROM ({_LABELS}) JOIN meanings USING (text) WHERE maker = ?"
        rows = self._store.execute(joined, [maker]).fetchall()
        self._labels = [(feature, text) for feature, text, _ in rows]
        self._vectors = np.array([np.frombuffer(vector, dtype=np.float32) for *_, vector in rows])
        self._current = self._store.state, embed
