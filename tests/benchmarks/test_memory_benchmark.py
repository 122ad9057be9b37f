import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile

from dinocell.models.network.dinocell import DINOCell

FLOAT = 4
TILE = 128
"""A quarter of the real tile, which takes a quarter of the time."""
SCRATCH = 1.15
"""Bounds what convolutions rearrange their inputs in while they run, which the tracker does not see."""


@pytest.fixture(scope="module")
def memory():
    path = Path(__file__).parents[2] / "benchmarks" / "memory.py"
    spec = importlib.util.spec_from_file_location("memory_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    module.TILE = TILE
    module.fill_cache()
    yield module
    del sys.modules[spec.name]


def chain():
    """Build two layers on 10 rows: 4 features, 8, 2."""
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Linear(8, 2, bias=False))
    return model, torch.zeros(10, 4), torch.zeros(10, 2)


def with_allocator_peak(step):
    """Run a step; return its result, and the most bytes that the allocator had handed out at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        result = step()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        most = max(most, alive)
    return result, most


def saved_bytes(memory, model, x, target):
    """Count the bytes that autograd keeps for the backward pass, without weights and inputs."""
    existing = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers(), x, target]}
    saved = {}

    def keep(tensor):
        saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = memory.training_loss(model, x, target)  # alive below, so that no address is used twice
    assert loss.requires_grad
    return sum(size for address, size in saved.items() if address not in existing)


@pytest.mark.parametrize("fake", [False, True])
def test_inference_peak_of_a_chain_is_two_neighbouring_outputs(memory, fake):
    with FakeTensorMode() if fake else torch.no_grad():
        model, x, _ = chain()
        tracker = memory.track_inference(model, x)
    assert tracker.peak() == FLOAT * (10 * 8 + 10 * 2)


def test_training_peak_of_a_chain_is_what_paper_says(memory):
    # It comes when the second layer hands back the gradient of the hidden layer. Alive: the hidden layer and
    # its gradient, the gradient of the output, the loss and the 1 that backward began with. The sigmoid's
    # output and gradient have gone, and the gradient of the second layer's weights (8·2) counts on its own.
    with FakeTensorMode():
        model, x, target = chain()
        tracker = memory.track_training(model, x, target)
        without = tracker.peak(without=memory.gradients(model))
    assert without == FLOAT * (2 * 10 * 8 + 10 * 2 + 1 + 1)
    assert tracker.peak() == without + FLOAT * 8 * 2


def test_a_second_step_takes_as_much_as_the_first(memory):
    model, x, target = chain()
    peaks = {memory.track_training(model, x, target).peak() for _ in range(2)}
    assert len(peaks) == 1


def test_real_peak_of_a_chain_is_the_allocators(memory):
    model, x, target = chain()
    tracker, allocated = with_allocator_peak(lambda: memory.track_training(model, x, target))
    assert tracker.peak() == allocated


@pytest.fixture(scope="module", params=["nano", "small"])
def variant(request, memory):
    """Measurement on fake tensors, and the same model in real memory."""
    x, target = torch.randn(1, 3, TILE, TILE), torch.zeros(1, 1, TILE, TILE)
    return memory.measure(request.param), DINOCell.from_variant(request.param), x, target


def check_training(memory, measured, model, x, target):
    saved = saved_bytes(memory, model, x, target)
    assert saved < measured < 1.12 * saved
    tracker, allocated = with_allocator_peak(lambda: memory.track_training(model, x, target))
    assert tracker.peak(without=memory.gradients(model)) == pytest.approx(measured, abs=4096)
    assert tracker.peak() <= allocated < SCRATCH * tracker.peak()


@pytest.mark.slow
def test_fake_peaks_are_those_of_real_memory(memory, variant):
    measured, model, x, target = variant
    tracker, allocated = with_allocator_peak(lambda: memory.track_inference(model.eval(), x))
    assert tracker.peak() == pytest.approx(measured.inference, abs=4096)
    assert tracker.peak() <= allocated < SCRATCH * tracker.peak()
    check_training(memory, measured.tuned, model.train(), x, target)
    model.zero_grad()
    model.freeze_backbone()
    check_training(memory, measured.frozen, model, x, target)


def test_weights_and_what_adamw_adds_are_counted(memory, variant):
    measured, model, *_ = variant
    assert measured.weights == FLOAT * sum(p.numel() for p in model.parameters())
    decoder = FLOAT * sum(p.numel() for p in model.decoder.parameters())
    assert measured.frozen_batch == measured.weights + 3 * decoder + 8 * measured.frozen


def test_table_has_a_row_for_the_variant_asked_for(memory, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["memory.py", "--variants", "nano"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    memory.main()
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table] == ["variant", "---", "nano"]
    assert len({line.count("|") for line in table}) == 1
