"""DINOCell on a GPU: tiles a second beside the floor, samples a second in training, large images.

python benchmarks/gpu.py [--seconds 240] [--device cuda] [--sides 2048 16384] [--models nano small base large]

Parts that would begin after the given seconds are left out, and named. Weights are random but for
`nano`'s; inputs are random bytes, three sets in turn. Floors as in benchmarks/floor.py, in bfloat16.
"""

import argparse
import copy
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from dinocell.inference.engines.torch_engine import TorchEngine
from dinocell.inference.pipeline import DINOCellPipeline
from dinocell.inference.settings import InferenceSettings
from dinocell.models.network.dinocell import DINOCell, normalise
from floor import Rates, count_work, measure_rates, timed, wait

BATCHES = (1, 8, 32, 64, 128, 256)
SIDE = 256
MOST = 4096  # side of the largest image whose cells are cut out: that is work of the CPU alone
SAMPLE = Path(__file__).parent.parent / "samples" / "fluorescence_1_img.png"


class Clock:
    """Clock that knows whether there is time for one more part."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def allows(self, part: str, seconds: float) -> bool:
        """Return whether a part that takes `seconds` can begin; print its name if it cannot."""
        left = self.end - time.monotonic()
        if left < seconds:
            print(f"left out, {left:.0f} s are left: {part}", flush=True)
        return left >= seconds


def build(name: str) -> DINOCell:
    """Build a model: trained if it is `nano`, else random."""
    return DINOCell.from_pretrained(name) if name == "nano" else DINOCell.from_variant(name).eval()


def arms(
    model: DINOCell, device: torch.device
) -> Iterator[tuple[str, Callable[[torch.Tensor], torch.Tensor]]]:
    """Yield ways to run a network: what DINOCell does, and what it could do instead."""
    engine = TorchEngine(model, InferenceSettings(device=str(device)))
    yield "engine", engine.run
    half = copy.deepcopy(model).to(device, torch.bfloat16, memory_format=torch.channels_last)

    @torch.inference_mode()
    def run_half(tiles: torch.Tensor) -> torch.Tensor:
        x = normalise(tiles).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        return torch.sigmoid(half(x).float())[:, 0]

    yield "weights in bfloat16", run_half
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)

    @torch.inference_mode()
    def run_plain(tiles: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return torch.sigmoid(plain(normalise(tiles)).float())[:, 0]

    yield "channels first", run_plain


def tiles_a_second(
    run: Callable[[torch.Tensor], torch.Tensor], batch: int, device: torch.device, *, repeats: int = 5
) -> float:
    """Return the tiles a second of a batch on the device, in inference mode as in the engine."""
    sets = itertools.cycle(
        [torch.randint(0, 256, (batch, SIDE, SIDE), dtype=torch.uint8, device=device) for _ in range(3)]
    )
    rounds = max(1, 64 // batch)

    def work() -> None:
        for _ in range(rounds):
            run(next(sets))

    with torch.inference_mode():
        return batch * rounds / timed(work, device, repeats=repeats)


def report_tiles(name: str, rates: Rates, device: torch.device, clock: Clock) -> None:
    """Print a row for every way and batch."""
    with torch.device("meta"):
        work = count_work(DINOCell.from_variant(name))
    print(f"\n### {name}: {work.operations / 1e9:.1f} Gop a tile", flush=True)
    print("| way | batch | tiles/s | of the floor |\n|---|--:|--:|--:|")
    model = build(name)
    for way, run in arms(model, device):
        for batch in BATCHES if way == "engine" else (8, 64, 256):
            if clock.allows(f"{name}, {way}, batch {batch}", 8):
                show(way, batch, tiles_a_second(run, batch, device), rates.floor(work, batch, 2))
    if clock.allows(f"{name}, compiled", 50):
        start = time.monotonic()
        engine = TorchEngine(model, InferenceSettings(device=str(device), compiled=True))
        rate = tiles_a_second(engine.run, 64, device)
        took = time.monotonic() - start
        show(f"compiled, {took:.0f} s", 64, rate, rates.floor(work, 64, 2))


def show(way: str, batch: int, rate: float, floor: float) -> None:
    """Print a row."""
    print(f"| {way} | {batch} | {rate:,.0f} | {1 / rate / floor:.2f}× |", flush=True)


def report_training(name: str, device: torch.device, *, batch: int = 64, side: int = 256) -> None:
    """Print the samples a second of forward, backward and AdamW, on crops that lie on the device."""
    model = build(name).to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=device.type == "cuda")
    gray = torch.randint(0, 256, (batch, side, side), dtype=torch.uint8, device=device)
    target = torch.rand(batch, side, side, device=device)

    def step() -> None:
        x = normalise(gray).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(x)[:, 0]
        loss = torch.nn.functional.mse_loss(torch.sigmoid(logits.float()), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def steps() -> None:
        for _ in range(5):
            step()

    rate = 5 * batch / timed(steps, device, repeats=3)
    print(f"training {name}, {batch} crops of {side}²: {rate:,.0f} crops/s", flush=True)


def report_image(side: int, device: torch.device) -> None:
    """Print the seconds of every step of one image."""
    sample = cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE)
    times = -(-side // min(sample.shape))
    image = np.tile(sample, (times, times))[:side, :side]
    pipeline = DINOCellPipeline("nano", device=str(device))
    pipeline.predict_on_full_img(image[:512, :512])
    start = time.perf_counter()
    gray = pipeline.prepare(image)
    prepared = time.perf_counter()
    for repeat in range(2):
        begun = time.perf_counter()
        prediction = pipeline.predict(image, gray=gray)
        predicted = time.perf_counter() - begun
        print(f"{side}², pass {repeat + 1}: predicted and blended in {predicted:.3f} s", flush=True)
    print(f"{side}²: prepared in {prepared - start:.3f} s", flush=True)
    if side <= MOST:
        begun = time.perf_counter()
        cells = pipeline.finish(image, prediction).count
        print(f"{side}²: {cells} cells cut out in {time.perf_counter() - begun:.3f} s", flush=True)


def report_transfers(device: torch.device) -> None:
    """Print how fast a map of 4096² comes back, through pinned memory and without."""
    on_device = torch.rand(4096, 4096, device=device)
    pinned = torch.empty(4096, 4096, pin_memory=True)
    plain = timed(lambda: on_device.cpu().numpy(), device)

    def through_pinned() -> None:
        pinned.copy_(on_device, non_blocking=True)
        wait(device)
        pinned.numpy().copy()

    through = timed(through_pinned, device)
    print(f"a map of 4096² back: {plain * 1e3:.1f} ms, through pinned memory {through * 1e3:.1f} ms")


def report_difference(device: torch.device) -> None:
    """Print how far the map of the GPU is from that of the CPU."""
    image = cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE)
    ours, exact = (DINOCellPipeline("nano", device=name).run(image) for name in (str(device), "cpu"))
    difference = np.abs(ours.distance_map - exact.distance_map)
    print(
        f"bfloat16 on {device} against float32 on the CPU: the map differs by {difference.mean():.2e} in the "
        f"mean, {difference.max():.2e} at most; {ours.count} cells, {exact.count}"
    )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=["nano", "small", "base", "large"])
    parser.add_argument("--sides", nargs="+", type=int, default=[2048, 16384])
    arguments = parser.parse_args()
    device, clock = torch.device(arguments.device), Clock(arguments.seconds)
    rates = measure_rates(device, torch.bfloat16)
    named = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    speeds = f"{rates.operations / 1e12:.1f} Top/s, {rates.moved / 1e9:.0f} GB/s"
    print(f"{named}, torch {torch.__version__}: {speeds}", flush=True)
    report_difference(device)
    if device.type == "cuda":
        report_transfers(device)
    for side in arguments.sides:
        if clock.allows(f"an image of {side}²", 60 if side > 4096 else 5):
            report_image(side, device)
    for name in arguments.models:
        if clock.allows(f"training {name}", 10):
            report_training(name, device)
    for name in arguments.models:
        if clock.allows(name, 15):
            report_tiles(name, rates, device, clock)


if __name__ == "__main__":
    main()
