import numpy as np

from dinocell.training.annotated import Annotated
from dinocell.training.augmentation import NO_AUGMENTATION
from dinocell.training.samples import TrainingSamples
from tests.fakes.training import make_config


def items(level, count=3):
    """Return images of one gray level each, close to `level`."""
    nothing = np.zeros((80, 90), np.int32)
    return [Annotated(f"{level + n}", np.full((80, 90), level + n, np.uint8), nothing) for n in range(count)]


def samples_of(datasets, tmp_path, **changes):
    data = [{"path": tmp_path, "weight": 1 + number} for number in range(len(datasets))]
    config = make_config(tmp_path, tmp_path / "run", train=data)
    chosen = NO_AUGMENTATION.model_copy(update=changes)
    return TrainingSamples(datasets, config.model_copy(update={"augmentation": chosen}))


def test_a_style_is_that_of_another_dataset_never_of_the_same(tmp_path):
    datasets = [items(10), items(100), items(200)]
    samples = samples_of(datasets, tmp_path)
    seen = set()
    for chosen in range(3):
        draw = samples._style_of_others(chosen)
        for seed in range(30):
            pixels = draw(np.random.default_rng(seed))
            assert pixels.shape == (64, 64)
            level = int(pixels[0, 0])
            assert level not in range(*((10, 13), (100, 103), (200, 203))[chosen])
            seen.add(level)
    assert len(seen) == 9
    alone = samples_of([items(10)], tmp_path)
    assert alone._style_of_others(0)(np.random.default_rng(0))[0, 0] in range(10, 13)


def test_crops_of_a_number_are_the_same_whenever_they_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    noise = [[Annotated("", rng.integers(0, 256, (80, 90), np.uint8), np.eye(80, 90, dtype=np.int32))]] * 2
    changes = {"histogram": 0.5, "fourier": 0.5, "diameter": (5.0, 20.0), "empty": 0.2, "border": 0.5}
    first, second = (samples_of(noise, tmp_path, **changes) for _ in range(2))
    forwards = [first[number] for number in range(12)]
    backwards = [second[number] for number in reversed(range(12))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert all((a == b).all() for a, b in zip(one[:3], other[:3], strict=True))
    assert not (forwards[0][0] == forwards[1][0]).all()
