"""Results as frames, pictures and HTML."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

import steerkit as sk
from steerkit import pages
from steerkit.runs import Run, Settings

EVIL = "<script>alert('x')</script>&\"'"


@pytest.fixture(scope="module")
def results(gpt2):
    model = gpt2.model
    a, b = gpt2.vector(0), gpt2.vector(1, "0.resid_pre")
    edits = [a.add(0.5), b.add(0.2)]
    return {
        "run": model.generate(gpt2.prompt, edits, max_new_tokens=8),
        "plain run": model.generate(gpt2.prompt, max_new_tokens=8),
        "comparison": model.compare(gpt2.prompt, edits, max_new_tokens=8),
        "sweep": model.sweep(gpt2.prompt, a.add(1), [2, -1, 0], max_new_tokens=8),
        "reading": model.read(gpt2.prompt, [a, b]),
    }


@pytest.fixture(params=["run", "plain run", "comparison", "sweep", "reading"])
def result(request, results):
    return results[request.param]


class Text(HTMLParser):
    """What a reader sees, and whether tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen, self.open, self.tags = "", [], set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.seen += data


def test_html_is_self_contained(result):
    html = result._repr_html_()
    text = Text(html)
    assert "script" not in text.tags
    for part in ("http", "//", "url(", "src=", "@import", "<link", "<img"):
        assert part not in html


def test_html_shows_the_text(results):
    assert results["run"].text in Text(results["run"]._repr_html_()).seen
    assert results["run"].prompt.text in Text(results["run"]._repr_html_()).seen
    both = Text(results["comparison"]._repr_html_()).seen
    assert results["comparison"].baseline.text in both
    assert results["comparison"].steered.text in both
    swept = Text(results["sweep"]._repr_html_()).seen
    assert all(run.text in swept for run in results["sweep"])
    assert re.findall(r"Strength \S\d", swept) == ["Strength +2", "Strength -1", "Strength +0"]


def test_html_escapes_what_people_and_models_write(gpt2):
    vector = sk.Vector({gpt2.site: gpt2.vector()[gpt2.site]}, EVIL)
    run = gpt2.model.generate(EVIL[:40], [vector.add(0.1)], max_new_tokens=3)
    evil = replace(run, tokens=[EVIL] * len(run.tokens))
    comparison = sk.Comparison(evil, evil, torch.zeros(len(run.tokens)))
    for result in (evil, comparison, sk.Sweep([1.0], [evil]), gpt2.model.read(EVIL, vector)):
        html = result._repr_html_()
        assert "<script" not in html
        assert "script" not in Text(html).tags
        assert EVIL in Text(html).seen


def test_a_page_is_a_whole_document():
    html = pages.page(EVIL, pages.heading(EVIL), pages.columns(pages.note(EVIL), pages.tokens([EVIL], [False])))
    assert Text(html).seen.count(EVIL) == 5
    assert html.startswith("<!doctype html>")
    assert "http" not in html


def test_tints_follow_the_values():
    html = pages.tokens(
        ["a", "b", "c", "d", "<s>"], [False] * 4 + [True], [[1.0, -2.0, 0.0, float("nan"), 99.0]], ["v"]
    )
    spans = re.findall(r"<span[^>]*>", html)
    alpha = [re.search(r"rgba\((.*),([\d.]+)\)", span) for span in spans]
    assert [bool(found) for found in alpha] == [True, True, False, False, False]
    assert float(alpha[1][2]) == pytest.approx(2 * float(alpha[0][2]))
    assert alpha[0][1] != alpha[1][1]
    assert 'title="v -2"' in spans[1]
    assert 'class="sk-special"' in spans[4]


def test_pictures_can_be_drawn(result):
    result.plot().savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("token", ["$x^2$", "a_b", "\n", "\t", "🦊", "日", "\\frac", "%", "\x00", ""])
def test_pictures_of_any_token(results, token):
    run = results["run"]
    replace(run, tokens=[token] * len(run.tokens)).plot().savefig(io.BytesIO(), format="png")


def test_pictures_keep_nothing_alive(results):
    import matplotlib.pyplot as plt

    results["run"].plot()
    assert plt.get_fignums() == []


def test_pictures_show_the_numbers(results):
    run, reading, sweep = results["run"], results["reading"], results["sweep"]
    lines = run.plot().axes[0].get_lines()
    assert [line.get_label() for line in lines[:2]] == [column.label for column in run.columns]
    assert lines[0].get_ydata().tolist() == pytest.approx(run.coefficients[:, 0].tolist())
    shown = [i for i, special in enumerate(reading.prompt.special) if not special]
    assert reading.plot().axes[0].get_lines()[0].get_ydata().tolist() == pytest.approx(
        reading.coefficients[shown, 0].tolist()
    )
    nats = {run_.nats: strength for strength, run_ in zip(sweep.strengths, sweep, strict=True)}
    line = sweep.plot().axes[0].get_lines()[0]
    assert line.get_xdata().tolist() == [-1, 0, 2]
    assert [nats[value] for value in line.get_ydata().tolist()] == [-1, 0, 2]


def test_frames_of_runs(results):
    run, both = results["run"], results["comparison"]
    frame = run.to_frame()
    assert frame.columns.tolist() == ["token", "token_id", "logprob", "v1", "v0"]
    assert frame["token"].tolist() == run.tokens
    assert frame["token_id"].tolist() == run.token_ids
    assert frame["logprob"].tolist() == pytest.approx(run.logprobs.tolist())
    assert frame["v0"].tolist() == pytest.approx(run.coefficients[:, 1].tolist())
    frame = both.to_frame()
    assert frame["kl"].tolist() == pytest.approx(both.kl.tolist())
    assert frame["differs"].tolist() == both.differs
    assert frame["unsteered_logprob"].tolist() == pytest.approx(both.steered.unsteered_logprobs.tolist())


def test_frames_of_sweeps_and_readings(results):
    sweep, reading = results["sweep"], results["reading"]
    frame = sweep.to_frame()
    assert frame["strength"].tolist() == [2, -1, 0]
    assert frame["text"].tolist() == [run.text for run in sweep]
    assert frame["nats"].tolist() == pytest.approx([run.nats for run in sweep])
    frame = reading.to_frame()
    assert frame["token"].tolist() == reading.tokens
    assert frame["v0"].tolist() == pytest.approx(reading.coefficients[:, 1].tolist())


def test_the_top_of_a_reading_leaves_special_tokens_out(results):
    reading = results["reading"]
    plain = reading.coefficients[1:]
    top = reading.top()
    assert set(top["label"]) == {"v0", "v1"}
    assert top["max"].tolist() == sorted(plain.max(0).values.tolist(), reverse=True)
    row = top.set_index("label").loc["v0"]
    assert row["mean"] == pytest.approx(plain[:, 1].mean().item())
    assert row["token"] == reading.tokens[1 + int(plain[:, 1].argmax())]
    assert len(reading.top(1)) == 1


def test_columns_that_share_a_label_are_told_apart(gpt2):
    many = sk.Vector({"0.resid_post": torch.ones(32), "1.resid_post": torch.ones(32)}, "many")
    reading = gpt2.model.read(gpt2.prompt, many)
    assert reading.to_frame().columns.tolist()[2:] == ["many @ 0.resid_post", "many @ 1.resid_post"]
    assert torch.equal(reading.activations(many, "1.resid_post"), reading.coefficients[:, 1])
    with pytest.raises(sk.errors.SiteError, match=r"read at 2 such sites; this reading has: many at 0.resid_post"):
        reading.activations(many)
    with pytest.raises(sk.errors.SiteError, match="read at 0 such sites"):
        reading.activations(-many)


def test_columns_that_share_a_label_and_a_site_are_told_apart(gpt2):
    """Vectors have the label `vector` unless they are given one."""
    pair = [sk.Vector({gpt2.site: gpt2.vector(seed)[gpt2.site]}) for seed in (0, 1)]
    reading = gpt2.model.read(gpt2.prompt, pair)
    assert reading.to_frame().shape == (len(reading.tokens), 4)
    run = gpt2.model.generate(gpt2.prompt, [vector.add(0.1) for vector in pair], max_new_tokens=2)
    assert run.to_frame().shape == (2, 5)


def made_up(ids, **changes) -> Run:
    fields = {
        "prompt": sk.Prompt((1,), ("a",), (False,), (None,), (None,)),
        "plan": sk.Plan(),
        "settings": Settings(9, 1.0, 1.0, 0),
        "token_ids": ids,
        "tokens": [str(i) for i in ids],
        "special": [False] * len(ids),
        "logprobs": torch.zeros(len(ids)),
        "coefficients": torch.zeros(len(ids), 0),
        "columns": (),
        "stopped": "length",
    }
    return Run(**{**fields, **changes})


@pytest.mark.parametrize(
    ("ids", "share"),
    [
        ([1, 2, 3], 0),
        ([1, 2, 3, 4], 0),
        ([1] * 8, 0.8),
        ([1, 2, 3, 4, 1, 2, 3, 4], 0.2),
        ([], 0),
        ([1, 2, 1, 2, 1, 2], 1 / 3),
    ],
)
def test_repetition_is_the_share_of_4_grams_that_stood_before(ids, share):
    assert made_up(ids).repetition == pytest.approx(share)


def test_nats_are_the_mean_over_tokens():
    assert made_up([1, 2]).nats is None
    assert made_up([1, 2], unsteered_logprobs=torch.tensor([-1.0, -2.0])).nats == 1.5
    assert made_up([], unsteered_logprobs=torch.tensor([])).nats is None


def test_special_tokens_are_left_out_of_the_text():
    run = made_up([1, 2, 3], special=[False, True, False])
    assert run.text == "13"
    assert "2" in Text(run._repr_html_()).seen


def test_an_empty_run_shows_itself():
    run = made_up([], stopped="overflow")
    assert "smaller strength" in Text(run._repr_html_()).seen
    assert len(run.to_frame()) == 0
    run.plot().savefig(io.BytesIO(), format="png")


def test_results_say_what_they_are(results):
    assert repr(results["run"]).startswith("Run(")
    assert results["run"].describe().startswith("8 tokens · add v0 +0.5, add v1 +0.2 · ")
    assert "nats a token under the unsteered model" in results["comparison"].steered.describe()
    assert repr(results["sweep"]) == "Sweep(strengths=[2.0, -1.0, 0.0])"
    assert repr(results["reading"]) == "Reading(13 tokens, v1, v0)"
