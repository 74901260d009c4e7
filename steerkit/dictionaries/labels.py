"""Labels of features: what they are thought to stand for, and the search through them.

A feature may have several labels, from several sources. Those that a user writes are kept apart from imported ones,
come before them everywhere, and stay when a source is imported again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, cast

from steerkit.counts import at_most
from steerkit.dictionaries.label_files import Label, read_labels
from steerkit.dictionaries.label_store import ARRIVAL, TABLES, Store, union
from steerkit.dictionaries.meaning import Meanings
from steerkit.dictionaries.spelling import begins_any, meant, words
from steerkit.embeddings import Embed, sentence_embedder
from steerkit.errors import DictionaryError, FeatureError

if TYPE_CHECKING:
    import pandas as pd

USER = "user"
LONGEST = 2_000  # characters of a label; longer ones are cut on import
MOST_WORDS = 16  # of a search
MOST_INSIDE = 64  # words tried that hold what was typed somewhere inside

# Control characters, and halves of characters outside the basic plane, which cannot be stored.
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


class Rank(IntEnum):
    """How a label answers a search, the best first."""

    EXACT = 0
    WORDS = 1
    PREFIX = 2
    TYPO = 3
    PART = 4
    MEANING = 5


class Match(NamedTuple):
    """A label found by a search."""

    feature: int
    label: str
    rank: Rank


class Labels:
    """Labels of a dictionary's features.

    Args:
        path: File that keeps them; in memory without one. Several processes may use it at once.
        n_features: Number of features, where known: labels beyond are refused.
        embed: Function from texts to unit vectors, for search by meaning; sentence-transformers without one.

    Raises:
        DictionaryError: The file is no file of labels.

    Example:
        >>> labels = Labels()
        >>> labels.add({3: "rain and storms", 5: "music"}, source="mine")
        2
        >>> labels.search("stroms")
        [Match(feature=3, label='rain and storms', rank=<Rank.TYPO: 3>)]
        >>> labels.set(5, "jazz")
        >>> labels.best(5)
        Label(text='jazz', source='user', score=None)
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, n_features: int | None = None, embed: Embed | None = None
    ) -> None:
        self.n_features = n_features
        self._embed = embed
        self._store = Store(path)
        self._meanings = Meanings(self._store)

    def best(self, index: int) -> Label | None:
        """A feature's label: the user's, else the best scored, else the first imported; None if it has none."""
        found = self.get([index])[index]
        return found[0] if found else None

    def get(self, indices: Iterable[int]) -> dict[int, list[Label]]:
        """All labels of some features, the best first."""
        found: dict[int, list[Label]] = {int(index): [] for index in indices}
        every = " UNION ALL ".join(
            f"SELECT *, {place} AS place, {ARRIVAL} AS arrival FROM {table} "
            "WHERE feature IN (SELECT value FROM json_each(:features))"
            for place, table in enumerate(TABLES)
        )
        best_first = "ORDER BY place, score IS NULL, score DESC, arrival"
        with self._store.lock:
            for feature, text, source, score in self._store.execute(
                f"SELECT feature, text, source, score FROM ({every}) {best_first}",
                {"features": json.dumps(list(found))},
            ):
                found[feature].append(Label(text, source, score))
        return found

    def bests(self) -> dict[int, Label]:
        """The label of every feature that has one, as `best` gives it."""
        found: dict[int, Label] = {}
        with self._store.lock:
            for table in TABLES:
                rows = self._store.execute(
                    f"SELECT feature, text, source, score FROM {table} ORDER BY score IS NULL, score DESC, {ARRIVAL}"
                )
                for feature, *label in rows:
                    found.setdefault(feature, Label(*label))
        return found

    def set(self, index: int, text: str | None) -> None:
        """Write the user's label of a feature; None or an empty text takes it away again.

        Raises:
            FeatureError: There is no such feature.
            DictionaryError: The text is too long, or none.
        """
        index, text = self._checked(index), _plain(text or "")
        if len(text) > LONGEST:
            raise DictionaryError(
                f"The label of feature {index} has {len(text):,} characters; it may have {LONGEST:,}. Shorten it."
            )
        with self._store.writing():
            self._store.delete("edited", [(index, USER)])
            if text:
                self._store.insert("edited", [(index, Label(text, USER))])

    def edits(self) -> dict[int, str]:
        """The user's labels."""
        with self._store.lock:
            return dict(self._store.execute("SELECT feature, text FROM edited ORDER BY feature"))

    def add(self, labels: Mapping[int, str] | Iterable[tuple[int, Label]], *, source: str = "import") -> int:
        """Import labels. What a source said before about the same features is replaced; the user's labels stay.

        Args:
            labels: Texts by feature, or features with labels, several for a feature if there are several.
            source: Where texts by feature come from.

        Returns:
            How many labels were imported.

        Raises:
            FeatureError: A label is for a feature that the dictionary does not have. Nothing is imported then.
        """
        if isinstance(labels, Mapping):
            labels = [(index, Label(text, source)) for index, text in cast("Mapping[int, str]", labels).items()]
        rows: dict[tuple[int, Label], None] = {}
        for index, label in labels:
            if text := _plain(label.text[: LONGEST * 2]):
                text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
                rows[self._checked(index), Label(text, label.source, label.score)] = None
        with self._store.writing():
            self._store.delete("imported", {(index, label.source) for index, label in rows})
            self._store.insert("imported", rows)
        return len(rows)

    def load(self, path: str | os.PathLike[str], *, source: str | None = None, layer: str | None = None) -> int:
        """Import labels from a file, or a folder of Neuronpedia's batches.

        Args:
            path: CSV or TSV with the columns `index` and `label` (and `source`, `score`); AxBench's `metadata.jsonl`;
                Neuronpedia's `batch-*.jsonl.gz` of explanations, or its earlier JSON files.
            source: Where they come from, if the file does not say.
            layer: Neuronpedia's id of the dictionary, such as `"20-gemmascope-res-16k"`, if the file has several.

        Returns:
            How many labels were imported.

        Raises:
            DictionaryError: There is no such file, or it is damaged or of no known form.
            FeatureError: A label is for a feature that the dictionary does not have.
        """
        return self.add(read_labels(path, source=source, layer=layer))

    def named(self, text: str) -> list[int]:
        """Features whose label is exactly this text; if none is, up to case, accents and punctuation."""
        with self._store.lock:
            found = self.get(match.feature for match in self._search(text, limit=None, until=Rank.EXACT))
        best = {index: labels[0].text for index, labels in found.items()}
        exact = [index for index, label in best.items() if label == _plain(text)]
        return sorted(exact or [index for index, label in best.items() if words(label) == words(text)])

    def search(self, text: str, limit: int = 20, *, by_meaning: bool = False) -> list[Match]:
        """Find features by their labels.

        The label that is exactly the text comes first, then labels with all its words, with words that begin so, and
        with words that it may be a mistyping of; if there is none, labels with some of its words, or with the text
        anywhere. Within each, the user's labels come first, labels that the user has replaced last, short before long.

        Args:
            text: A few words, or the beginning of some. Nothing in it has a special meaning.
            limit: Most features returned.
            by_meaning: Compare sentence embeddings instead of words. The first time, all labels are embedded.

        Raises:
            DictionaryError: The text is none.
            SettingError: The limit is none.
            ModelError: Search by meaning has nothing to embed with.
        """
        limit = at_most(limit)
        with self._store.lock:
            if not by_meaning:
                return self._search(text, limit, until=Rank.PART)
            self._embed = self._embed or sentence_embedder()
            found = self._meanings.nearest(_plain(text), self._embed, limit)
            return [Match(feature, label, Rank.MEANING) for feature, label in found]

    def to_frame(self) -> pd.DataFrame:
        """All labels, the best of each feature first."""
        import pandas as pd

        with self._store.lock:
            features = [row[0] for row in self._store.execute(union("feature") + " ORDER BY 1")]
            found = self.get(features)
        rows = [(i, x.text, x.source, x.score) for i, labels in found.items() for x in labels]
        return pd.DataFrame(rows, columns=["feature", "label", "source", "score"])

    def __len__(self) -> int:
        with self._store.lock:
            return self._store.execute(f"SELECT count(*) FROM ({union('feature')})").fetchone()[0]

    def __repr__(self) -> str:
        return f"Labels({len(self):,} features{f', {str(self._store.path)!r}' if self._store.path else ''})"

    def close(self) -> None:
        """Close the file. Labels in memory are gone."""
        self._store.close()

    def _checked(self, index: int) -> int:
        index = int(index)
        if not 0 <= index < (self.n_features or 2**53):
            valid = f"0 to {self.n_features - 1}" if self.n_features else "0 and up"
            raise FeatureError(f"There is no feature {index} to label: features are {valid}.")
        return index

    def _search(self, text: str, limit: int | None, until: Rank) -> list[Match]:
        text = _plain(text)[:LONGEST]
        typed = words(text)
        edited = {row[0] for row in self._store.execute("SELECT feature FROM edited")}
        found: dict[int, Match] = {}
        for rank in Rank:
            if rank > until or (rank == Rank.PART and found):
                break
            replaced: dict[int, Match] = {}
            for table in TABLES:
                for feature, label in self._answers(rank, table, text, typed):
                    if limit is not None and len(found) >= limit:
                        return list(found.values())
                    into = replaced if table == "imported" and feature in edited else found
                    into.setdefault(feature, Match(feature, label, rank))
            found |= {feature: match for feature, match in replaced.items() if feature not in found}
        return list(found.values())[:limit]

    def _answers(self, rank: Rank, table: str, text: str, typed: list[str]) -> Iterable[tuple[int, str]]:
        if not typed:  # signs are no words, so the text itself is looked for
            looked_for = text and rank in (Rank.EXACT, Rank.PART)
            return self._store.containing(table, text, whole=rank == Rank.EXACT) if looked_for else ()
        matching, known = self._store.matching, self._store.vocabulary
        if rank == Rank.EXACT:  # what has the phrase and is no longer, is it
            whole = " ".join(typed)
            return matching(table, _any_of([whole]), length=len(whole))
        typed = typed[:MOST_WORDS]
        match rank:
            case Rank.WORDS:
                return matching(table, " AND ".join(_any_of([word]) for word in typed))
            case Rank.PREFIX:
                return matching(table, " AND ".join(_any_of([], word) for word in typed))
            case Rank.TYPO:  # among several words, those that labels have are taken to be meant
                doubtful = [word for word in typed if len(typed) == 1 or not begins_any(known(), word)]
                readings = {word: meant(known(), word) for word in doubtful}
                if not any(readings.values()):
                    return ()
                return matching(table, " AND ".join(_any_of(readings.get(word, []), word) for word in typed))
            case _:
                telling = [word for word in typed if len(word) > 2 or not word.isascii()]
                inside = [other for word in telling for other in known() if word in other][:MOST_INSIDE]
                return matching(table, _any_of([*typed, *inside]), by_weight=True)


def _plain(text: str) -> str:
    """One line of text, without runs of spaces."""
    if not isinstance(text, str):
        raise DictionaryError(f"{text!r} is no text, which labels and searches are. Put it into quotes.")
    return " ".join(_NO_TEXT.sub(" ", text).split())


def _any_of(phrases: Iterable[str], beginning: str = "") -> str:
    """A query for FTS5: one of these phrases, or a word that begins so. In quotes nothing has a special meaning."""
    terms = [f'"{phrase}"' for phrase in phrases] + [f'"{beginning}"*'] * bool(beginning)
    return f"({' OR '.join(terms)})"
