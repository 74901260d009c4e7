"""Alignment scores over a whole dictionary."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import steerkit as sk
from steerkit.align import distances, score
from steerkit.dictionaries.activations import Linear, ReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError, EditError, PromptError, SettingError, VectorError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
N = 48
REFERENCES = ["one day, mia saw rain", "the sun", "2 + 2 = 4", "mia", "rain and rain and rain", "THE END of it all"]
TARGETS = ["it rained", "so much rain!"]


def make(model: sk.Model, activation=None, n: int = N, site: str = "1.resid_post") -> Dictionary:
    noise = torch.Generator().manual_seed(0)
    d = model.d_model
    parts = Parts(
        format="random",
        W_dec=InMemory(torch.randn(n, d, generator=noise) / d**0.5),
        b_dec=torch.randn(d, generator=noise),
        activation=activation or TopK(3),
        W_enc=InMemory(torch.randn(d, n, generator=noise) / d**0.5),
        b_enc=torch.randn(n, generator=noise) / 10,
        normalisation="layer_norm",
        site_in=sk.Site.parse(site),
        site_out=sk.Site.parse(site),
        labels={0: "rain", 7: "<sun>"},
    )
    return Dictionary(parts, "random")


def letters(texts: list[str]) -> np.ndarray:
    """Embeddings by how often each letter occurs."""
    return np.array([[1.0 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])


def aligned(subject, **arguments) -> sk.Alignment:
    return sk.References(subject.model, make(subject.model), REFERENCES, embed=letters).align(TARGETS, **arguments)


def with_scores(dictionary: Dictionary, scores: dict[int, float], label: str = "rain") -> sk.Alignment:
    values = torch.zeros(dictionary.n_features)
    values[list(scores)] = torch.tensor(list(scores.values()))
    return sk.Alignment(dictionary, values, values > 0, label)


def test_scores_by_hand():
    """a = (½, ½, 0, 0) at distance 1 and (0, ¼, ¾, 0) at ½, so s = (1, ¾, ¼) and the last feature never fired."""
    summaries = [torch.tensor([2.0, 2.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 3.0, 0.0])]
    scores, fired = score(summaries, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(scores, torch.tensor([0, 1 / 3, 1, 0]).double())
    assert fired.tolist() == [True, True, True, False]


def test_ties_share_a_score():
    """Features 0 and 1 always fire alike; 2 and 3 in texts equally far."""
    summaries = [torch.tensor(row) for row in ([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 5.0])]
    scores, _ = score(summaries, torch.tensor([0.2, 0.9, 0.9]))
    assert scores[0] == scores[1] == 1
    assert scores[2] == scores[3] == 0


@pytest.mark.parametrize("summaries", [[[1.0, 0.3, 2.0]], [[0.1, 0.2, 0.3], [0.3, 0.3, 0.0], [0.7, 0.1, 0.0]]])
def test_equally_far_features_all_have_the_score_0(summaries):
    scores, fired = score([torch.tensor(row) for row in summaries], torch.full((len(summaries),), 0.7))
    assert scores.tolist() == [0, 0, 0]
    assert fired.all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), texts=st.integers(2, 12))
def test_scores_are_the_papers_formula(seed, texts):
    noise = np.random.default_rng(seed)
    activations = noise.random((texts, 9)) * (noise.random((texts, 9)) < 0.4)
    activations[:, 0], activations[:, 8] = 0.5, 0
    away = noise.random(texts)
    a = activations / activations.sum(1, keepdims=True)
    fires = a.sum(0) > 0
    s = (away**2 @ a)[fires] / a.sum(0)[fires]
    expected = np.zeros(9)
    expected[fires] = 1 - (s - s.min()) / (s.max() - s.min())
    scores, fired = score([torch.from_numpy(row).to_sparse() for row in activations], torch.from_numpy(away))
    if s.max() - s.min() > 1e-6:
        np.testing.assert_allclose(scores, expected, atol=1e-9)
    np.testing.assert_array_equal(fired, fires)


def test_distances_are_to_the_nearest_target_at_unit_length():
    references, targets = np.array([[2.0, 0], [0, 3], [1, 1]]), np.array([[5.0, 0], [-1, 0]])
    half = (2 - 2**0.5) ** 0.5
    torch.testing.assert_close(distances(references, targets), torch.tensor([0, 2**0.5, half]).double())


def test_the_whole_way_from_texts_to_scores(subject):
    """As in the source: activations of all tokens but the first, and scores of what comes of them."""
    alignment, dictionary = aligned(subject, label="rain"), make(subject.model)
    site, summaries, in_targets = dictionary.reads_at(), [], torch.zeros(N)
    for texts, keep in ((REFERENCES, summaries), (TARGETS, [])):
        for text in texts:
            ((_, activations),) = subject.model.activations([text], [site])
            keep.append(dictionary.encode(activations[site][1:]).to_dense().sum(0))
        in_targets = torch.stack(keep).sum(0) > 0
    scores, fired = score(summaries, distances(letters(REFERENCES), letters(TARGETS)))
    torch.testing.assert_close(alignment.scores, scores.float(), rtol=1e-3, atol=1e-4)
    assert alignment.fired.equal(fired)
    assert 0 < fired.sum() < N
    assert alignment.coverage == pytest.approx(fired.sum().item() / N)
    assert alignment.target_coverage == pytest.approx((fired & in_targets).sum().item() / in_targets.sum().item())
    assert alignment.source == "6 of 6 reference texts, 2 targets, embeddings by letters"


def test_empty_texts_and_single_tokens_say_nothing(gpt2):
    references = ["", *REFERENCES[:3], "", *REFERENCES[3:]]
    more = sk.References(gpt2.model, make(gpt2.model), references, embed=letters).align(TARGETS)
    torch.testing.assert_close(more.scores, aligned(gpt2).scores)
    assert more.source.startswith("6 of 8 reference texts")
    with pytest.raises(PromptError, match="No reference text makes a feature fire"):
        sk.References(gpt2.model, make(gpt2.model), ["", ""], embed=letters).align(TARGETS)


def test_reading_goes_on_after_an_interrupt_and_happens_once(gpt2, monkeypatch):
    references = sk.References(gpt2.model, make(gpt2.model), REFERENCES, embed=letters, batch_size=1)
    read, activations = [], gpt2.model.activations

    def interrupted(texts, *arguments, **named):
        for found in activations(texts, *arguments, **named):
            read.append(found[0].text)
            yield found
            if len(read) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(gpt2.model, "activations", interrupted)
    with pytest.raises(KeyboardInterrupt):
        references.align(TARGETS)
    torch.testing.assert_close(references.align(TARGETS).scores, aligned(gpt2).scores)
    references.align(["another target"])
    assert sorted(read[: len(REFERENCES)]) == sorted(REFERENCES)
    assert len(read) == len(REFERENCES) + len(TARGETS) + 1 + len(REFERENCES) + len(TARGETS)


def test_texts_longer_than_the_context_are_read_in_pieces(gpt2):
    assert gpt2.model.context == 96
    long = "rain, " * 40
    alignment = sk.References(gpt2.model, make(gpt2.model), [*REFERENCES, long], embed=letters).align([*TARGETS, long])
    assert alignment.fired.any()


def test_the_models_own_activations_where_no_embeddings_are_installed(gpt2, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    references = sk.References(gpt2.model, make(gpt2.model), REFERENCES)
    alignment = references.align(REFERENCES[:1])
    assert "at 1.resid_post, mean over tokens" in alignment.source
    embedded = references.embed([*REFERENCES[:2], "x" * 200])
    site = sk.Site.parse("1.resid_post")
    ((prompt, activations),) = gpt2.model.activations(REFERENCES[:1], [site])
    np.testing.assert_allclose(embedded[0], activations[site][1:].mean(0), rtol=1e-4, atol=1e-5)
    assert len(prompt) > 2
    assert embedded.shape == (3, gpt2.model.d_model)


def test_sentence_transformers_are_taken_where_installed(gpt2, monkeypatch):
    class SentenceTransformer:
        def __init__(self, name):
            self.name = name

        def encode(self, texts, normalize_embeddings, convert_to_numpy):
            assert (normalize_embeddings, convert_to_numpy) == (True, True)
            return letters(texts)

    module = type(sk)("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer
    module.__spec__ = __import__("importlib").machinery.ModuleSpec("sentence_transformers", None)
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", module)
    alignment = sk.References(gpt2.model, make(gpt2.model), REFERENCES).align(TARGETS)
    assert alignment.source.endswith("embeddings by sentence-transformers/all-MiniLM-L6-v2")
    torch.testing.assert_close(alignment.scores, aligned(gpt2).scores)


def test_what_means_nothing_is_refused(gpt2, unchecked):
    dictionary = make(gpt2.model)
    references = sk.References(gpt2.model, dictionary, REFERENCES, embed=letters)
    for texts in ([], "rain", [3]):
        with pytest.raises(PromptError, match="texts must be a list of at least one text"):
            sk.References(gpt2.model, dictionary, texts, embed=letters)
        with pytest.raises(PromptError, match="texts must be a list of at least one text"):
            references.align(texts)
    with pytest.raises(PromptError, match="One of the target texts is empty"):
        references.align(["rain", ""])
    for wrong in (lambda texts: letters(texts)[:1], lambda texts: letters(texts) * 0, lambda texts: [1.0] * len(texts)):
        with pytest.raises(VectorError, match="one row of finite numbers a text"):
            sk.References(gpt2.model, dictionary, REFERENCES, embed=wrong).align(TARGETS)
    with pytest.raises(DictionaryError, match="Activations of random may be negative"):
        sk.References(gpt2.model, make(gpt2.model, Linear()), REFERENCES, embed=letters).align(TARGETS)
    with pytest.raises(EditError, match="There are 3 scores for the 48 features of random"):
        sk.Alignment(dictionary, torch.zeros(3), torch.zeros(3).bool())
    with pytest.raises(EditError, match="must be numbers from 0 on"):
        with_scores(dictionary, {3: -1.0})


def test_scores_are_saved_and_loaded_as_the_publishers_do(gpt2, tmp_path):
    alignment = aligned(gpt2, label="rain, or so")
    alignment.save(tmp_path / "scores.csv")
    again = sk.Alignment.load(tmp_path / "scores.csv", alignment.dictionary)
    assert torch.equal(again.scores, alignment.scores)
    assert torch.equal(again.fired, alignment.fired)
    assert (again.label, again.coverage) == ("rain, or so", alignment.coverage)
    rows = list(csv.reader((tmp_path / "scores.csv").read_text().splitlines()))
    assert rows[0] == ["", "rain, or so"]
    never = int((~alignment.fired).nonzero()[0])
    assert rows[never + 1] == [str(never), ""]
    with pytest.raises(EditError, match="There are 48 scores for the 20 features"):
        sk.Alignment.load(tmp_path / "scores.csv", make(gpt2.model, n=20))


def test_scores_that_cannot_be_saved_and_limits_below_0(gpt2, tmp_path):
    alignment = aligned(gpt2)
    with pytest.raises(DictionaryError, match=r"cannot be saved as '.*/none/x\.csv': No such file"):
        alignment.save(tmp_path / "none" / "x.csv")
    for make in (alignment.best, lambda n: alignment.clamp(n=n)):
        with pytest.raises(SettingError, match="limit=-1 is no number of things"):
            make(-1)


@pytest.mark.parametrize("text", ["", "a,b\n", "x\n0,0.5\n", ",x\n0,high\n", ",x\n1,0.5\n0,0.5\n", ",x\n0,1,2\n"])
def test_other_files_are_refused(gpt2, tmp_path, text):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises((DictionaryError, EditError), match=r"has no scores|There are 0 scores"):
        sk.Alignment.load(tmp_path / "scores.csv", make(gpt2.model))


def test_the_published_scores(gpt2):
    path = DATA / "benchmarks" / "sae_steering" / "medical_scores.csv"
    if not path.is_file():
        pytest.skip("the published scores are not in shared/data/benchmarks")
    alignment = sk.Alignment.load(path, make(gpt2.model, TopK(32), n=32768))
    assert alignment.label == "med.train_20.csv"
    assert (~alignment.fired).sum() == 2021
    assert alignment.coverage == pytest.approx(1 - 2021 / 32768)
    assert [feature.index for feature in alignment.best()] == [27802, 27708, 6082, 407, 5780]
    edit, plain = alignment.swap(), gpt2.model.read("one day", alignment.dictionary)
    steered = gpt2.model.read("one day", alignment.dictionary, edits=[edit])
    assert not torch.equal(steered.codes[0][1].values, plain.codes[0][1].values)
    active = edit.target.reader(()).codes(torch.randn(5, gpt2.model.d_model))[1] != 0
    assert (active.sum(-1) <= 32).all()
    assert not active[:, ~alignment.fired].any()


def test_it_shows_itself(gpt2):
    alignment = aligned(gpt2, label="<rain>")
    frame = alignment.to_frame()
    assert list(frame.columns) == ["feature", "label", "score", "fired"]
    assert len(frame) == N
    assert frame["score"].is_monotonic_decreasing
    assert frame["feature"][:5].tolist() == [feature.index for feature in alignment.best()]
    assert frame.set_index("feature").loc[7, "label"] == "<sun>"
    html = alignment._repr_html_()
    assert "Alignment with &lt;rain&gt;" in html
    assert "<rain>" not in html
    assert f"coverage {alignment.coverage:.1%} of all features, {alignment.target_coverage:.1%} of those" in html
    figure = alignment.plot()
    assert figure.axes[0].get_xlabel() == "score for <rain>"
    assert sum(patch.get_height() for patch in figure.axes[0].patches) == alignment.fired.sum()
    assert "'<rain>', 'random', coverage" in repr(alignment)
    assert repr(sk.References(gpt2.model, alignment.dictionary, REFERENCES)) == "References(6 texts, 'random')"


def test_equals_are_ranked_by_their_index(gpt2):
    alignment = with_scores(make(gpt2.model, ReLU()), {9: 0.5, 4: 1.0, 2: 0.5, 30: 0.5})
    assert [feature.index for feature in alignment.best(3)] == [4, 2, 9]
