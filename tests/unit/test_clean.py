"""Whatever ends a run, nothing is left on the model, and the user's own objects are as they were."""

from __future__ import annotations

import copy
import signal
import threading

import plain
import pytest
import tiny
import torch

import steerkit as sk
from steerkit.engines import passes
from steerkit.engines.live import Live


class PlannedError(Exception):
    """Raised on purpose."""


@pytest.fixture(params=["gpt2", "tinystories"])
def clean(request):
    """A model whose outputs are the unsteered ones before and after the test."""
    subject = request.getfixturevalue(request.param)
    ids = subject.ids()
    expected = plain.chosen(plain.logprobs(subject.plain, ids), ids)
    before = subject.model.score(ids)
    torch.testing.assert_close(before, expected, rtol=1e-4, atol=1e-4)
    hooks = hooked(subject.model)
    text = subject.model.generate(ids, max_new_tokens=5).token_ids
    yield subject
    assert torch.equal(subject.model.score(ids), before)
    assert subject.model.generate(ids, max_new_tokens=5).token_ids == text
    assert subject.model.nnsight._edits == []
    assert hooked(subject.model) == hooks
    with subject.model.nnsight.trace(ids):
        logits = subject.model.nnsight.output.logits.save()
    assert torch.equal(logits, subject.plain(input_ids=torch.tensor([ids])).logits)


@pytest.fixture
def interruptible():
    """An interrupt raises, as at a prompt; a process in the background may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def hooked(model: sk.Model) -> list[str]:
    return [name for name, module in model.nnsight._module.named_modules() if module._forward_hooks]


def interrupted_at(subject, error: BaseException, position: int, raising=None) -> None:
    """A run whose callback raises at one position of the new text."""
    runner, edits = subject.model._runner, [subject.vector().add(2)]
    live = runner.live(runner.compile([sk.Plan(edits)]))

    def emit(at: int) -> bool:
        if at == position:
            (raising or _raise)(error)
        return True

    live.emit = emit
    settings = subject.model.generate(subject.ids(), max_new_tokens=8).settings
    runner._generate(live, [subject.model.encode(subject.ids())], [settings], True)


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("position", [0, 3])
@pytest.mark.parametrize("error", [PlannedError, KeyboardInterrupt])
def test_after_an_error_between_two_tokens(clean, error, position):
    with pytest.raises(error):
        interrupted_at(clean, error(), position)


@pytest.mark.usefixtures("interruptible")
def test_after_a_real_interrupt(clean):
    with pytest.raises(KeyboardInterrupt):
        interrupted_at(clean, KeyboardInterrupt(), 2, lambda _: signal.raise_signal(signal.SIGINT))


@pytest.mark.parametrize("method", ["serve", "_edit", "take"])
def test_after_an_error_inside_a_pass(clean, monkeypatch, method):
    calls = []

    def fail(*_):
        calls.append(method)
        raise PlannedError

    monkeypatch.setattr(Live, method, fail)
    with pytest.raises(PlannedError):
        clean.model.generate(clean.ids(), [clean.vector().add(2)], max_new_tokens=4)
    assert calls == [method]
    monkeypatch.undo()


def test_after_an_error_of_the_model(clean, monkeypatch):
    def fail(*_):
        raise PlannedError

    with monkeypatch.context() as patch:
        patch.setattr(passes, "choose", fail)
        with pytest.raises(PlannedError):
            clean.model.compare(clean.ids(), [clean.vector().add(2)], max_new_tokens=4)
        with pytest.raises(PlannedError):
            list(clean.model.stream(clean.ids(), [clean.vector().add(2)], max_new_tokens=4))


def test_after_a_refused_edit(clean):
    for edits in (
        [sk.Vector({"0.resid_post": torch.ones(3)}).add(1)],
        [clean.vector().ablate(), clean.vector().set(1)],
    ):
        with pytest.raises(sk.errors.SteerkitError):
            clean.model.generate(clean.ids(), edits, max_new_tokens=4)
        with pytest.raises(sk.errors.SteerkitError), clean.model.steer(edits):
            pass


def test_after_a_cancelled_stream(clean):
    stream = clean.model.stream(clean.ids(), [clean.vector().add(2)], max_new_tokens=30)
    next(stream)
    stream.cancel()
    assert len(list(stream)) <= 1


def test_after_a_stream_that_nobody_reads(clean):
    thread = clean.model.stream(clean.ids(), [clean.vector().add(2)], max_new_tokens=40)._thread
    thread.join(20)
    assert not thread.is_alive()


def test_inside_a_block_every_trace_is_steered(clean):
    ids, vector = clean.ids(), clean.vector()
    where = sk.Where(special=True)
    layer = clean.plain.get_submodule(clean.model._runner.sites.locate(sk.Site.parse(clean.site)).module)
    with plain.output_changed(layer, lambda x: x + vector[clean.site]):
        expected = clean.plain(input_ids=torch.tensor([ids])).logits
        text = plain.greedy(clean.plain, ids, 4)
    with clean.model.steer([vector.add(1, where=where)]):
        with clean.model.nnsight.trace(ids):
            logits = clean.model.nnsight.output.logits.save()
        with clean.model.nnsight.generate(ids, max_new_tokens=4, do_sample=False) as tracer:
            written = tracer.result.save()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert written[0, len(ids) :].tolist() == text[: written.shape[1] - len(ids)]


def test_inside_a_block_a_condition_begins_anew_with_every_text(clean):
    vector = clean.vector()
    edits = [vector.add(3, when=(vector > -1e6).so_far(), where=sk.Where(special=True))]
    nnsight, ids = clean.model.nnsight, clean.ids()
    with clean.model.steer(edits):
        with nnsight.trace([ids[:2], ids[:2]]):
            pass
        with nnsight.trace(ids):
            after = nnsight.output.logits.save()
    with clean.model.steer(edits), nnsight.trace(ids):
        alone = nnsight.output.logits.save()
    torch.testing.assert_close(after, alone)


@pytest.mark.parametrize("where", [sk.Where(prompt=False), sk.Where(generated=False)], ids=str)
@pytest.mark.parametrize("use_cache", [True, False])
def test_inside_a_block_the_scope_holds_too(clean, where, use_cache):
    ids, edits = clean.ids(), [clean.vector().add(1, where=where)]
    expected = clean.model.generate(ids, edits, temperature=0, max_new_tokens=5).token_ids
    options = {"max_new_tokens": 5, "do_sample": False, "use_cache": use_cache}
    with clean.model.steer(edits), clean.model.nnsight.generate(ids, **options) as tracer:
        written = tracer.result.save()
    assert written[0, len(ids) :].tolist() == expected[: written.shape[1] - len(ids)]


def test_inside_a_block_padding_and_special_tokens_are_left_alone(clean):
    lm, vector = clean.model.nnsight, clean.vector()
    long, short = clean.ids(), clean.ids()[:4]
    with clean.model.steer([vector.add(1)]):
        with lm.trace(short):
            alone = lm.output.logits.save()
        with lm.trace() as tracer:
            with tracer.invoke(long):
                pass
            with tracer.invoke(short):
                pass
            with tracer.invoke():
                both = lm.output.logits.save()
    torch.testing.assert_close(both[1, -4:], alone[0], rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("interruptible")
def test_after_an_error_inside_a_block(clean):
    with pytest.raises(PlannedError), clean.model.steer([clean.vector().add(3)]):
        raise PlannedError
    with pytest.raises(KeyboardInterrupt), clean.model.steer([clean.vector().add(3)]):
        signal.raise_signal(signal.SIGINT)
    with (
        pytest.raises(PlannedError),
        clean.model.steer([clean.vector().add(3)]),
        clean.model.nnsight.trace(clean.ids()),
    ):
        raise PlannedError


def test_blocks_nest_and_the_users_own_edits_stay(clean):
    lm, ids, vector = clean.model.nnsight, clean.ids(), clean.vector()
    where = sk.Where(special=True)
    with clean.model.steer([vector.add(1, where=where)]):
        own = list(lm._edits)
        with clean.model.steer([vector.add(1, where=where)]), lm.trace(ids):
            twice = lm.output.logits.save()
        assert lm._edits == own
    with clean.model.steer([vector.add(2, where=where)]), lm.trace(ids):
        double = lm.output.logits.save()
    torch.testing.assert_close(twice, double, rtol=1e-4, atol=1e-4)


def test_the_users_model_and_tokenizer_are_as_they_were(gpt2):
    module, tokenizer = copy.deepcopy(gpt2.plain), tiny.tokenizer()
    said = (tokenizer.pad_token, tokenizer.padding_side, tokenizer.chat_template, len(tokenizer))
    settings, config = module.generation_config.to_dict(), module.config.to_dict()
    modules = {name: (type(part), vars(part).copy()) for name, part in module.named_modules()}
    weights = {name: (weight.data_ptr(), weight.clone()) for name, weight in module.named_parameters()}
    ids = [0, 40, 50, 60]
    before = module(input_ids=torch.tensor([ids])).logits

    module.train()
    model = sk.load(module, tokenizer=tokenizer)
    assert module.training
    module.eval()
    vector = sk.Vector({"1.resid_post": torch.ones(32), "0.mlp_out": torch.ones(32)})
    model.compare(ids, [vector.add(3)], max_new_tokens=4)
    next(model.stream(ids, [vector.add(3)], max_new_tokens=4))
    with model.steer([vector.add(3)]):
        assert torch.equal(module(input_ids=torch.tensor([ids])).logits, before)
    model.read(ids, vector)

    assert torch.equal(module(input_ids=torch.tensor([ids])).logits, before)
    assert (tokenizer.pad_token, tokenizer.padding_side, tokenizer.chat_template, len(tokenizer)) == said
    assert module.generation_config.to_dict() == settings
    assert module.config.to_dict() == config
    for name, part in module.named_modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        kind, state = modules[name]
        assert type(part) is kind
        assert vars(part).keys() == state.keys()
    for name, weight in module.named_parameters():
        place, value = weights[name]
        assert weight.data_ptr() == place
        assert torch.equal(weight, value)


def test_the_weights_are_shared_and_not_copied(gpt2):
    ours = {name: weight.data_ptr() for name, weight in gpt2.model.nnsight._module.named_parameters()}
    assert ours == {name: weight.data_ptr() for name, weight in gpt2.plain.named_parameters()}


def test_no_thread_is_left(clean):
    for _ in range(3):
        stream = clean.model.stream(clean.ids(), max_new_tokens=4)
        next(stream)
        stream.cancel()
        stream._thread.join(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "steerkit-stream"]
