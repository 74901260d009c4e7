"""Streams: a text handed out token by token."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest
import torch

import steerkit as sk
from steerkit.engines import passes


def ended(stream_or_thread) -> bool:
    thread = getattr(stream_or_thread, "_thread", stream_or_thread)
    thread.join(20)
    return not thread.is_alive()


def ids_of(steps) -> list[int]:
    return [step.steered.token_id for step in steps if step.steered is not None]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert all(ended(thread) for thread in threading.enumerate() if thread.name == "steerkit-stream")


def test_steps_are_the_tokens_of_generate(subject):
    edits = [subject.vector().add(0.7)]
    run = subject.model.generate(subject.prompt, edits, max_new_tokens=8)
    stream = subject.model.stream(subject.prompt, edits, max_new_tokens=8)
    steps = list(stream)
    assert ids_of(steps) == run.token_ids
    assert [step.index for step in steps] == list(range(len(steps)))
    assert [step.steered.text for step in steps] == run.tokens
    assert "".join(step.text for step in steps) == run.text
    torch.testing.assert_close(torch.tensor([step.steered.logprob for step in steps]), run.logprobs)
    assert steps[0].previous_coefficients is None
    before = torch.stack([step.previous_coefficients for step in steps[1:]])
    torch.testing.assert_close(before, run.coefficients[: len(steps) - 1])
    assert all(step.baseline is None for step in steps)
    result = stream.result()
    assert result.token_ids == run.token_ids
    torch.testing.assert_close(result.coefficients, run.coefficients)
    assert stream.baseline_result() is None
    assert list(stream) == []


def test_the_baseline_beside_it(subject):
    edits = [subject.vector().add(0.7)]
    both = subject.model.compare(subject.prompt, edits, max_new_tokens=8)
    stream = subject.model.stream(subject.prompt, edits, baseline=True, max_new_tokens=8)
    steps = list(stream)
    assert ids_of(steps) == both.steered.token_ids
    assert [step.baseline.token_id for step in steps if step.baseline] == both.baseline.token_ids
    assert stream.baseline_result().token_ids == both.baseline.token_ids
    assert stream.baseline_result().plan == sk.Plan()
    assert stream.baseline_result().columns == ()


def test_one_text_may_end_before_the_other(stories, monkeypatch):
    monkeypatch.setattr(stories.model._runner, "end", frozenset([stories.ids("one.")[-1]]))
    stream = stories.model.stream(stories.prompt, [stories.vector().add(1)], baseline=True, max_new_tokens=30)
    steps = list(stream)
    lengths = len(stream.result().token_ids), len(stream.baseline_result().token_ids)
    assert lengths[0] != lengths[1]
    assert sum(step.steered is not None for step in steps) == lengths[0]
    assert sum(step.baseline is not None for step in steps) == lengths[1]
    assert len(steps) == max(lengths)


def test_an_update_changes_only_later_tokens(subject):
    a, b = subject.vector(0), subject.vector(1, "0.resid_pre")
    whole = subject.model.generate(subject.prompt, [a.add(0.2)], max_new_tokens=10)
    stream = subject.model.stream(subject.prompt, [a.add(0.2)], max_new_tokens=10)
    steps = [next(stream) for _ in range(4)]
    stream.update([a.add(0.2), b.add(4)])
    steps += list(stream)
    run = stream.result()
    assert ids_of(steps) == run.token_ids
    assert run.token_ids[:4] == whole.token_ids[:4]
    assert run.token_ids != whole.token_ids
    assert run.plan == sk.Plan([a.add(0.2), b.add(4)])
    assert run.coefficients.shape == (len(run.token_ids), 2)
    assert run.coefficients[:3].isnan().all()
    assert run.coefficients[4:].isfinite().all()
    assert "nan" not in run._repr_html_().split("<p", 1)[0]


def test_coefficients_from_before_another_vector_joined_are_not_shown_as_its_own(subject):
    a, b = (
        sk.Vector({subject.site: subject.vector(0)[subject.site]}),
        sk.Vector({subject.site: subject.vector(1)[subject.site]}),
    )
    stream = subject.model.stream(subject.prompt, [a.add(0.2)], max_new_tokens=6)
    for _ in range(3):
        next(stream)
    stream.update([b.add(0.2)])
    run = stream.result()
    assert run.coefficients[:2].isnan().all()
    assert run.coefficients[3:].isfinite().all()


def test_a_condition_that_joins_knows_nothing_of_another_of_the_same_label(subject):
    a, b = (sk.Vector({subject.site: sign * subject.vector()[subject.site]}) for sign in (1, -1))
    push = subject.vector(1)
    always, never = (a > -1e6).so_far(), (b > 1e6).so_far()
    assert a.label == b.label
    stream = subject.model.stream(subject.prompt, [push.add(0, when=always)], max_new_tokens=6)
    next(stream)
    stream.update([push.add(50, when=(b > -1e6).so_far() & never)])
    plain = subject.model.generate(subject.prompt, max_new_tokens=6)
    list(stream)
    assert stream.result().token_ids == plain.token_ids


def test_a_changed_strength_keeps_the_coefficients(subject):
    a = subject.vector(0)
    stream = subject.model.stream(subject.prompt, [a.add(0.2)], max_new_tokens=6)
    for _ in range(3):
        next(stream)
    stream.update([a.add(0.5)])
    assert stream.result().coefficients.isfinite().all()


def test_updates_from_another_thread_while_the_text_is_written(gpt2):
    """A slider moves whenever it likes, also in the middle of a pass."""
    plans = [[], [gpt2.vector(0).add(1)], [gpt2.vector(1, "0.resid_pre").add(1), gpt2.vector(2).set(1)]]
    stop = threading.Event()
    stream = gpt2.model.stream(gpt2.prompt, max_new_tokens=80, baseline=True)

    def move():
        while not stop.is_set():
            for plan in plans:
                stream.update(plan)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        steps = list(stream)
    finally:
        stop.set()
        mover.join()
    assert ids_of(steps) == stream.result().token_ids


def test_a_refused_update_leaves_the_text_as_it_was(subject):
    stream = subject.model.stream(subject.prompt, max_new_tokens=6)
    next(stream)
    with pytest.raises(sk.errors.SiteError):
        stream.update([sk.Vector({"99.resid_post": torch.ones(3)}).add(1)])
    assert stream.result().token_ids == subject.model.generate(subject.prompt, max_new_tokens=6).token_ids


@pytest.mark.parametrize("read", [0, 1, 5])
def test_after_a_cancel_at_most_one_step_follows(subject, read):
    whole = subject.model.generate(subject.prompt, max_new_tokens=40)
    stream = subject.model.stream(subject.prompt, max_new_tokens=40)
    steps = [next(stream) for _ in range(read)]
    stream.cancel()
    after = list(stream)
    assert len(after) <= 1
    run = stream.result()
    assert run.stopped == "cancelled"
    assert ids_of(steps + after) == run.token_ids == whole.token_ids[: len(run.token_ids)]
    assert run.coefficients.shape == (len(run.token_ids), 0)


def test_after_a_cancel_at_most_one_step_follows_even_if_it_ran_ahead(subject):
    stream = subject.model.stream(subject.prompt, max_new_tokens=30)
    first = next(stream)
    subject.model.score(subject.prompt)  # wants the model, so the stream writes on to its end
    stream.cancel()
    after = list(stream)
    assert len(after) <= 1
    assert [step.index for step in after] == [first.index + 1][: len(after)]


def test_the_result_midway_writes_the_rest(subject):
    whole = subject.model.generate(subject.prompt, max_new_tokens=8)
    stream = subject.model.stream(subject.prompt, max_new_tokens=8)
    steps = [next(stream)]
    assert stream.result().token_ids == whole.token_ids
    assert ids_of(steps + list(stream)) == whole.token_ids


def test_only_what_is_asked_for_is_written(gpt2, monkeypatch):
    written = []
    choose = passes.choose
    monkeypatch.setattr(passes, "choose", lambda *args: written.append(args[2]) or choose(*args))
    stream = gpt2.model.stream(gpt2.prompt, max_new_tokens=30)
    for _ in range(3):
        next(stream)
    time.sleep(0.1)
    assert written == [0, 1, 2]
    stream.cancel()


def test_an_unread_stream_does_not_hold_the_model(subject):
    stream = subject.model.stream(subject.prompt, max_new_tokens=20)
    other = subject.model.stream("a", max_new_tokens=6)
    run = subject.model.generate("a", max_new_tokens=6)
    assert other.result().token_ids == run.token_ids
    assert stream.result().token_ids == subject.model.generate(subject.prompt, max_new_tokens=20).token_ids


def test_a_dropped_stream_ends(subject):
    stream = subject.model.stream(subject.prompt, max_new_tokens=60)
    next(stream)
    thread = stream._thread
    del stream
    gc.collect()
    assert ended(thread)


def test_a_stream_ends_with_its_block(subject):
    with subject.model.stream(subject.prompt, max_new_tokens=60) as stream:
        next(stream)
    assert ended(stream)
    assert stream.result().stopped == "cancelled"


def test_an_error_of_the_writer_comes_out_of_the_reader(gpt2, monkeypatch):
    class BrokenError(Exception):
        pass

    choose = passes.choose

    def fail(logits, sampling, position):
        if position == 2:
            raise BrokenError("at the third token")
        return choose(logits, sampling, position)

    with monkeypatch.context() as patch:
        patch.setattr(passes, "choose", fail)
        stream = gpt2.model.stream(gpt2.prompt, max_new_tokens=6)
        assert len([next(stream), next(stream)]) == 2
        with pytest.raises(BrokenError, match="at the third token"):
            next(stream)
        with pytest.raises(BrokenError, match="at the third token"):
            stream.result()
    assert gpt2.model.stream(gpt2.prompt, max_new_tokens=3).result().token_ids


def test_bad_arguments_are_refused_before_anything_runs(gpt2):
    before = set(threading.enumerate())
    for call in (
        lambda: gpt2.model.stream("", max_new_tokens=3),
        lambda: gpt2.model.stream("a", max_new_tokens=0),
        lambda: gpt2.model.stream("a", [sk.Vector({"0.resid_post": torch.ones(3)}).add(1)]),
    ):
        with pytest.raises(sk.errors.SteerkitError):
            call()
    assert set(threading.enumerate()) <= before


def test_several_streams_at_once(gpt2):
    expected = gpt2.model.generate(gpt2.prompt, max_new_tokens=12).token_ids
    streams = [gpt2.model.stream(gpt2.prompt, max_new_tokens=12) for _ in range(3)]
    found: list[list[int]] = [[] for _ in streams]

    def drain(i):
        found[i] = ids_of(streams[i])

    threads = [threading.Thread(target=drain, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        assert ended(thread)
    assert found == [expected] * 3


def test_a_process_ends_with_an_unfinished_stream(tinystories_folder):
    code = (
        "import steerkit as sk\n"
        f"model = sk.load({str(tinystories_folder)!r})\n"
        "stream = model.stream('Once', max_new_tokens=300)\n"
        "print(next(stream).index)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"
