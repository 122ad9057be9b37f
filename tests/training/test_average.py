"""The moving average by hand, and that what does not learn exists once."""

import io

import pytest
import torch

from dinocell.training.adaptation import adapt, merged
from dinocell.training.average import EpochMean, WeightAverage
from tests.training.test_adaptation import make_model, output_of, settings, take_steps

LATE = 10**6
"""A step at which the decay is as asked for."""


def set_all(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.fill_(value)


@pytest.mark.parametrize("mode", ["full", "frozen", "lora"])
def test_the_average_of_what_learns_by_hand(mode):
    model = make_model("vit")
    adapt(model, settings(mode=mode))
    set_all(model, 8.0)
    frozen = {key: p.clone() for key, p in model.named_parameters() if not p.requires_grad}
    average = WeightAverage(model, 0.75)
    for weight, expected in ((0.0, 6.0), (4.0, 5.5), (-2.5, 3.5)):
        set_all(model, weight)
        average.update(model, LATE)
        for key, parameter in average.model.named_parameters():
            want = frozen.get(key, torch.full_like(parameter, expected))
            torch.testing.assert_close(parameter, want, rtol=0, atol=1e-6)
        assert {p.flatten()[0].item() for p in model.parameters() if p.requires_grad} == {weight}


def test_the_first_steps_forget_the_start_sooner():
    model = make_model("residual")
    set_all(model, 1.0)
    average = WeightAverage(model, 0.5)
    set_all(model, 0.0)
    expected = 1.0
    for step, decay in enumerate((0.1, 2 / 11, 0.25)):  # (1 + n) / (10 + n)
        average.update(model, step)
        expected *= decay
        assert next(average.model.parameters()).flatten()[0].item() == pytest.approx(expected)
    average.update(model, 8)  # 9 / 18: from here on as asked for
    assert next(average.model.parameters()).flatten()[0].item() == pytest.approx(expected * 0.5)


@pytest.mark.parametrize("mode", ["full", "frozen", "lora"])
@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_what_does_not_learn_is_shared_in_memory_and_in_files(mode, decay):
    model = make_model("vit")
    adapt(model, settings(mode=mode))
    average = WeightAverage(model, decay)
    take_steps(model, 1)
    average.update(model, LATE)
    ours = dict(model.named_parameters())
    for key, parameter in average.model.named_parameters():
        same = parameter.data_ptr() == ours[key].data_ptr()
        assert same == (decay == 0 or not parameter.requires_grad), key

    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "average": average.model.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    for key, parameter in ours.items():
        same = saved["model"][key].data_ptr() == saved["average"][key].data_ptr()
        assert same == (decay == 0 or not parameter.requires_grad), key

    fresh = make_model("vit")
    adapt(fresh, settings(mode=mode))
    restored = WeightAverage(fresh, decay)
    fresh.load_state_dict(saved["model"])
    restored.model.load_state_dict(saved["average"])
    assert torch.equal(output_of(restored.model), output_of(average.model))
    assert torch.equal(output_of(fresh), output_of(model))


def test_without_decay_the_average_is_the_weights():
    model = make_model("residual")
    average = WeightAverage(model, 0.0)
    take_steps(model, 2)
    average.update(model, LATE)
    assert torch.equal(output_of(average.model), output_of(model))


def test_the_average_stays_in_eval_mode_and_learns_nothing_by_itself():
    model = make_model("convnext").train()
    average = WeightAverage(model, 0.9)
    assert not any(part.training for part in average.model.modules())
    before = output_of(average.model)
    take_steps(model, 2)
    assert model.training
    assert torch.equal(output_of(average.model), before)


def test_averaged_adapters_can_be_merged():
    model = make_model("vit")
    adapt(model, settings(mode="lora"))
    average = WeightAverage(model, 0.5)
    for _ in range(3):
        take_steps(model, 1)
        average.update(model, LATE)
    plain = merged(average.model)
    torch.testing.assert_close(output_of(plain), output_of(average.model), atol=1e-5, rtol=0)
    assert not torch.allclose(output_of(plain), output_of(merged(model)), atol=1e-4)


@pytest.mark.parametrize("mode", ["full", "frozen", "lora"])
def test_the_mean_of_epochs_by_hand(mode):
    model = make_model("vit")
    adapt(model, settings(mode=mode))
    frozen = {key: p for key, p in model.named_parameters() if not p.requires_grad}
    mean = EpochMean()
    for weight, expected in ((3.0, 3.0), (9.0, 6.0), (0.0, 4.0)):
        set_all(model, weight)
        mean.add(model)
        for key, parameter in mean.model.named_parameters():
            if key in frozen:
                assert parameter.data_ptr() == frozen[key].data_ptr()
            else:
                torch.testing.assert_close(parameter, torch.full_like(parameter, expected))
    assert not any(part.training for part in mean.model.modules())
    mean.clear()
    assert (mean.model, mean.count) == (None, 0)


def test_the_mean_of_epochs_has_their_statistics():
    models = [make_model("residual") for _ in range(2)]
    for value, model in enumerate(models):
        for buffer in model.buffers():
            buffer.fill_(4 * value)
    mean = EpochMean()
    for model in models:
        mean.add(model)
    for buffer in mean.model.buffers():
        assert (buffer == (2 if buffer.is_floating_point() else 4)).all()
