import gzip
import json
import multiprocessing
import sqlite3

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steerkit.dictionaries.label_files import Label, read_labels
from steerkit.dictionaries.labels import LONGEST, Labels, Rank
from steerkit.dictionaries.spelling import meant, words
from steerkit.errors import DictionaryError, FeatureError, ModelError

WEATHER = {
    0: "rain",
    1: "heavy rain and flooding",
    2: "rainy days",
    3: "train stations",
    4: "Rain!",
    5: "weather forecasts in London",
    6: "music",
}


@pytest.fixture
def weather():
    labels = Labels()
    labels.add(WEATHER, source="mine")
    return labels


def found(labels, text, **options):
    return [match.feature for match in labels.search(text, **options)]


# One feature, several labels


def test_the_best_label_is_the_users_then_the_best_scored_then_the_first():
    labels = Labels()
    labels.add([(1, Label("a", "x")), (1, Label("longer", "y", 0.5)), (1, Label("b", "z", 0.9)), (2, Label("zz", "x"))])
    labels.add([(2, Label("y", "y"))])
    assert labels.best(1) == Label("b", "z", 0.9)
    assert labels.best(2) == Label("zz", "x")
    assert [label.text for label in labels.get([1])[1]] == ["b", "longer", "a"]
    labels.set(1, "mine")
    assert labels.best(1) == Label("mine", "user")
    assert labels.best(3) is None
    assert labels.get([3, 1]).keys() == {3, 1}
    assert len(labels) == 2


def test_edits_survive_importing_again():
    labels = Labels()
    labels.add({1: "old", 2: "kept"}, source="a")
    labels.add({1: "other"}, source="b")
    labels.set(1, "mine")
    labels.add({1: "new"}, source="a")
    assert [(label.text, label.source) for label in labels.get([1])[1]] == [
        ("mine", "user"),
        ("other", "b"),
        ("new", "a"),
    ]
    assert labels.edits() == {1: "mine"}
    assert found(labels, "old") == []
    assert found(labels, "kept") == [2]
    labels.set(1, None)
    assert labels.best(1).text == "other"
    assert found(labels, "mine") == []


def test_a_frame_of_all_labels(weather):
    weather.set(6, "jazz")
    frame = weather.to_frame()
    assert list(frame.columns) == ["feature", "label", "source", "score"]
    assert frame[frame.feature == 6].label.tolist() == ["jazz", "music"]


# Search


def test_exact_labels_come_first_then_words_then_beginnings_then_typos(weather):
    matches = weather.search("rain")
    assert [match.feature for match in matches] == [0, 4, 1, 2, 3]
    assert [match.rank for match in matches] == [Rank.EXACT, Rank.EXACT, Rank.WORDS, Rank.PREFIX, Rank.TYPO]


@pytest.mark.parametrize(
    "typed", ["w", "weat", "WEATHER fore", "london weather", "weathr", "wether", "wetaher", "weahterr"]
)
def test_beginnings_and_typos_find_the_label(weather, typed):
    assert found(weather, typed)[0] == 5


@pytest.mark.parametrize(
    ("typed", "rank"), [("oodi", Rank.PART), ("rain of frogs", Rank.PART), ("muzic", Rank.TYPO), ("qqqq", None)]
)
def test_how_a_label_was_found(weather, typed, rank):
    matches = weather.search(typed)
    assert {match.rank for match in matches} == ({rank} if rank is not None else set())


def test_a_users_label_wins_and_the_one_it_replaced_comes_last(weather):
    weather.set(6, "rain")
    weather.set(0, "drizzle")
    assert found(weather, "rain")[:3] == [6, 4, 0]
    assert found(weather, "drizzle") == [0]


def test_limits_count_features_not_labels():
    labels = Labels()
    labels.add([(i, Label(f"rain {j}", f"source {j}")) for i in range(10) for j in range(3)])
    assert len(found(labels, "rain", limit=4)) == len(set(found(labels, "rain", limit=4))) == 4
    assert len(found(labels, "rain", limit=100)) == 10
    assert found(labels, "rain", limit=0) == []


def test_accents_cases_signs_and_scripts():
    labels = Labels()
    labels.add(
        {
            0: "Café culture",
            1: "天気予報の言葉",
            2: "→",
            3: "C++ code",
            4: "हिन्दी पाठ",
            5: "Straße",
            6: "Ελλάδα",
            7: "Ёлка",
        }
    )
    assert found(labels, "CAFE") == [0]
    assert found(labels, "天気") == [1]
    assert found(labels, "予報") == [1]
    assert found(labels, "→") == [2]
    assert found(labels, "c++") == [3, 0]
    assert found(labels, "ΕΛΛΆΔΑ") == found(labels, "ελλαδ") == [6]
    assert found(labels, "ёлка") == [7]
    assert found(labels, "हिन्दी") == [4]
    assert found(labels, "straße") == [5]


def test_features_by_their_very_label(weather):
    assert weather.named("rain") == [0]
    assert weather.named("RAIN") == [0, 4]
    assert weather.named("rainy") == []
    weather.set(0, "drizzle")
    assert weather.named("rain") == [4]
    labels = Labels()
    labels.add({3: "!!!", 4: "???"})
    assert labels.named("!!!") == [3]


HOSTILE = [
    '"', "'", "rain*", "AND", "rain OR", "NEAR(rain, 2)", "text:rain", "^rain", "-rain", "(rain", "rain)", "{text} : x",
    "rain\0forest", "\0", "'; DROP TABLE imported; --", "%", "_", "\\", "<script>alert(1)</script>", "\ud800", "", " ",
    "é" * 5000, "a " * 5000, "rain " * 100, "\u202e", "\N{CJK RADICAL REPEAT}", "1e999",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_searches_and_labels_are_text(weather, text):
    weather.search(text)
    weather.named(text)
    weather.add({9: text, 10: "still here"}, source="hostile")
    weather.search(text)
    assert found(weather, "still here")[0] == 10
    assert found(weather, "music") == [6]


def test_markup_stays_as_it_is(weather):
    weather.add({9: '<b onclick="x">bold</b> & co'})
    assert weather.best(9).text == '<b onclick="x">bold</b> & co'


def test_a_label_of_ten_megabytes_is_cut_on_import_and_refused_by_hand(weather):
    weather.add({9: "storm " * 2_000_000})
    assert len(weather.best(9).text) <= LONGEST
    assert found(weather, "storm") == [9]
    with pytest.raises(DictionaryError, match=r"feature 9 has 11,999,999 characters; it may have 2,000"):
        weather.set(9, "storm " * 2_000_000)


texts = st.text(max_size=30) | st.sampled_from(HOSTILE)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.integers(0, 20), texts, max_size=6),
    st.dictionaries(st.integers(0, 20), texts, max_size=3),
    texts,
)
@example({0: "a"}, {0: "b"}, "a")
def test_any_text_can_be_stored_and_searched(imported, edited, typed):
    labels = Labels()
    labels.add(imported)
    for index, text in edited.items():
        labels.set(index, text[:LONGEST])
    labels.add(imported)
    matches = labels.search(typed, limit=5)
    assert len({match.feature for match in matches}) == len(matches) <= 5
    assert [match.rank for match in matches] == sorted(match.rank for match in matches)
    for match in matches:
        assert match.label in [label.text for label in labels.get([match.feature])[match.feature]]
    for index in imported:
        best = labels.best(index)
        if best is not None:
            assert index in labels.named(best.text)
            everything = found(labels, best.text, limit=100)
            assert index in everything
            assert labels.search(best.text, limit=100)[0].rank in (Rank.EXACT, Rank.PART)


@settings(max_examples=200, deadline=None)
@given(st.sets(st.text("abcdeé天", min_size=1, max_size=9)), st.text("abcdeé天", min_size=4, max_size=7), st.data())
def test_one_typing_error_is_forgiven(vocabulary, word, data):
    place = data.draw(st.integers(0, len(word) - 2))
    wrong = data.draw(
        st.sampled_from(
            [
                word[:place] + word[place + 1 :],
                word[:place] + "x" + word[place:],
                word[:place] + "x" + word[place + 1 :],
                word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            ]
        )
    )
    if len(wrong) >= 4:
        assert word in meant(sorted({*vocabulary, word}), wrong, limit=10_000)


@given(st.text())
def test_words_of_words_are_the_same(text):
    assert words(" ".join(words(text))) == words(text)


# Indices


@pytest.mark.parametrize("index", [-1, 7, 10**30])
def test_features_that_are_not_there(index):
    labels = Labels(n_features=7)
    with pytest.raises(FeatureError, match=rf"no feature {index} to label: features are 0 to 6"):
        labels.set(index, "x")
    with pytest.raises(FeatureError, match="no feature"):
        labels.add({3: "three", index: "x"})
    assert len(labels) == 0


# Files


def label_from_elsewhere(path, start, count):
    labels = Labels(path)
    for index in range(start, start + count):
        labels.set(index, f"label {index}")
    labels.add({index: f"imported {index}" for index in range(start, start + count)}, source=f"from {start}")
    labels.close()


def test_a_file_keeps_labels(tmp_path):
    label_from_elsewhere(tmp_path / "labels.sqlite", 0, 3)
    labels = Labels(tmp_path / "labels.sqlite")
    assert labels.edits() == {0: "label 0", 1: "label 1", 2: "label 2"}
    assert found(labels, "imported 2") == [2]
    labels.close()


def test_two_processes_write_one_file(tmp_path):
    path = tmp_path / "labels.sqlite"
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=label_from_elsewhere, args=(path, start, 10)) for start in (0, 100)]
    for process in others:
        process.start()
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    labels = Labels(path)
    assert len(labels.edits()) == 20
    assert len(labels.to_frame()) == 40
    labels.close()


def test_typos_see_what_another_process_wrote(tmp_path):
    ours, theirs = Labels(tmp_path / "labels.sqlite"), Labels(tmp_path / "labels.sqlite")
    assert found(ours, "thudner") == []
    theirs.set(3, "thunder")
    assert found(ours, "thudner") == [3]
    ours.close()
    theirs.close()


def test_an_import_that_fails_changes_nothing(tmp_path):
    labels = Labels()
    labels.add({0: "zero"}, source="a")

    def half():
        yield 0, Label("changed", "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labels.add(half())
    assert labels.best(0).text == "zero"


def test_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "text").write_text("no database, but long enough to look like one" * 10)
    with pytest.raises(DictionaryError, match="cannot be used for labels: file is not a database"):
        Labels(tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(DictionaryError, match="a database of something else"):
        Labels(tmp_path / "other.sqlite")
    with pytest.raises(DictionaryError, match="cannot be used for labels"):
        Labels(tmp_path / "no" / "such" / "folder")


# Published files


def write_jsonl(path, rows):
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def explanation(index, text, model="gpt-4o-mini", layer="20-gemmascope-res-16k", **more):
    return {"modelId": "gemma-2-2b", "layer": layer, "index": str(index), "description": text,
            "explanationModelName": model, "typeName": "oai_token-act-pair", **more}  # fmt: skip


def test_neuronpedia_batches(tmp_path):
    # Filled in the order of indices as text: 0, 1, 10, 2.
    write_jsonl(tmp_path / "explanations" / "batch-0.jsonl.gz", [explanation(0, "zero"), explanation(1, "one")])
    write_jsonl(
        tmp_path / "explanations" / "batch-1.jsonl.gz",
        [explanation(10, "ten"), explanation(10, "tens of things", "claude", scoreV1=0.4), explanation(2, None)],
    )
    labels = Labels()
    assert labels.load(tmp_path) == labels.load(tmp_path / "explanations") == 4
    assert len(labels.to_frame()) == 4
    assert labels.get([10])[10] == [
        Label("tens of things", "neuronpedia claude", 0.4),
        Label("ten", "neuronpedia gpt-4o-mini"),
    ]
    assert labels.best(2) is None


def test_neuronpedia_flat_file(tmp_path):
    rows = [{"modelId": "gemma-2-2b", "layer": "20-res", "index": "7", "description": "seven"}]
    (tmp_path / "gemma-2-2b_20-res.json").write_text(json.dumps(rows))
    labels = Labels()
    labels.load(tmp_path / "gemma-2-2b_20-res.json")
    assert labels.best(7) == Label("seven", "neuronpedia")


def test_a_file_of_several_dictionaries_asks_which(tmp_path):
    write_jsonl(tmp_path / "batch-0.jsonl", [explanation(0, "a", layer="1-x"), explanation(0, "b", layer="2-x")])
    with pytest.raises(DictionaryError, match=r"several dictionaries: 1-x, 2-x. Choose one with layer="):
        Labels().load(tmp_path / "batch-0.jsonl")
    assert [label.text for _, label in read_labels(tmp_path, layer="2-x")] == ["b"]


def test_axbench_metadata_counts_rows(tmp_path):
    write_jsonl(tmp_path / "metadata.jsonl", [{"concept_id": 5, "concept": "first row", "ref": "…"},
                                              {"concept_id": 6, "concept": "second row", "ref": "…"}])  # fmt: skip
    labels = Labels()
    labels.load(tmp_path)
    assert labels.best(0) == Label("first row", "axbench")
    assert labels.best(1) == Label("second row", "axbench")


def test_tables(tmp_path):
    (tmp_path / "mine.csv").write_text(
        '\ufeffindex,label,score\n3,"rain, snow",0.5\n4,"two\nlines",\n', encoding="utf-8"
    )
    (tmp_path / "mine.tsv").write_text("Feature\tDescription\tSource\n5\ttabs\tme\n")
    (tmp_path / "mine.json").write_text('{"6": "six"}')
    labels = Labels()
    labels.load(tmp_path / "mine.csv")
    labels.load(tmp_path / "mine.tsv")
    labels.load(tmp_path / "mine.json", source="hand")
    assert labels.best(3) == Label("rain, snow", "mine.csv", 0.5)
    assert labels.best(4) == Label("two lines", "mine.csv")
    assert labels.best(5) == Label("tabs", "me")
    assert labels.best(6) == Label("six", "hand")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"a,b\n1,2\n", r"has the columns a, b. Its first line must name an index"),
        ("a.csv", b"", r"has the columns \(none\)"),
        ("a.csv", b"index,label\n1.5,x\n", "'1.5' is no index"),
        ("a.csv", b"index,label\n-1,x\n", "'-1' is no index"),
        ("a.csv", b"index,label\n1\n", "line 2 has 1 of 2 columns"),
        ("a.csv", b'index,label\n1,"' + b"x" * 200_000 + b'"\n', "field larger than field limit"),
        ("a.jsonl", b'{"index": 1, "label": "x"\n', "is damaged: "),
        ("a.jsonl", b"[1]\n", "row 0 is no object"),
        ("a.jsonl", b'{"label": "x"}\n', "row 0 names no feature"),
        ("a.jsonl", b"[" * 100_000, "is damaged: "),
        ("a.jsonl", b'{"index": true, "label": "x"}', "'True' is no index"),
        ("a.jsonl.gz", b"no gzip", "is damaged: "),
        ("a.jsonl.gz", gzip.compress(b'{"index": 1, "label": "x"}\n' * 1000)[:-20], "is damaged: "),
        ("a.jsonl.gz", gzip.compress(b" " * 2**25), "a line over 16,777,216 characters"),
        ("a.json", b"3", "is damaged: "),
        ("a.txt", b"hello", "is no file of labels"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    labels = Labels()
    with pytest.raises(DictionaryError, match=message):
        labels.load(tmp_path / name)
    assert len(labels) == 0


def test_missing_files(tmp_path):
    with pytest.raises(DictionaryError, match="There is no file"):
        Labels().load(tmp_path / "gone.csv")
    with pytest.raises(DictionaryError, match="has no labels"):
        Labels().load(tmp_path)


# Meaning


class Bags:
    """Embeds texts by the concepts in them, and counts how many it was given."""

    concepts = ({"rain", "drizzle", "wet"}, {"music", "jazz"}, {"train"})

    def __init__(self):
        self.seen = 0

    def __call__(self, texts):
        self.seen += len(texts)
        rows = np.array([[0.1 + len(c & set(words(text))) for c in self.concepts] for text in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_search_by_meaning(tmp_path):
    embed = Bags()
    labels = Labels(tmp_path / "labels.sqlite", embed=embed)
    labels.add(WEATHER)
    matches = labels.search("drizzle", limit=2, by_meaning=True)
    assert {match.feature for match in matches} < {0, 1, 4}
    assert matches[0].rank is Rank.MEANING
    assert embed.seen == len(WEATHER) + 1
    labels.set(3, "jazz on the radio")
    assert {match.feature for match in labels.search("music", limit=2, by_meaning=True)} == {3, 6}
    assert embed.seen == len(WEATHER) + 3, "only what is new is embedded"
    assert labels.search("train", limit=1, by_meaning=True)[0].index != 3, "the user's label replaces its meaning"
    labels.close()
    again = Labels(tmp_path / "labels.sqlite", embed=embed)
    again.search("music", by_meaning=True)
    assert embed.seen == len(WEATHER) + 5, "the file keeps embeddings"
    again.close()


def test_search_by_meaning_of_nothing():
    labels = Labels(embed=Bags())
    assert labels.search("rain", by_meaning=True) == []
    labels.add(WEATHER)
    assert labels.search("", by_meaning=True) == []
    assert len(labels.search("rain", limit=100, by_meaning=True)) == len(WEATHER)


def test_search_by_meaning_without_a_model(monkeypatch, weather):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match=r"sentence-transformers is not installed. Install steerkit-lab\[meaning\]"):
        weather.search("rain", by_meaning=True)


def test_the_label_of_every_feature_at_once() -> None:
    labels = Labels()
    labels.add([(3, Label("a", "x", 0.2)), (3, Label("b", "y", 0.9)), (5, Label("c", "x"))])
    labels.add({3: "later", 9: "d"}, source="z")
    labels.set(5, "mine")
    assert labels.bests() == {index: labels.best(index) for index in (3, 5, 9)}
