"""`python -m benchmarks.training`: crops per second of a training step, and where its time goes.

Random crops, no references unless --references, which are random latents; optimiser and moving average as in a run.
Shares are of the time of the processor (or GPU) itself by operation, from torch.profiler.
"""

import argparse
import time

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.profiler import ProfilerActivity, profile

from clc.model.network import CompressionModel
from clc.model.presets import PRESETS
from clc.training.objective import Distortion, rate_distortion

_PRODUCTS = ("conv", "bmm", "addmm", "::mm", "matmul", "baddbmm", "attention")
_QUALITY = 50.0


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="benchmarks.training", description=__doc__)
    parser.add_argument("--preset", default="tiny", choices=list(PRESETS))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--references", action="store_true", help="with random reference latents")
    options = parser.parse_args()
    print("| precision | s a step | crops/s | in convolutions and products |\n|---|---|---|---|")
    for half in (False, True):
        step = _Step(options, half)
        for _ in range(3):
            step()
        seconds = _timed(step, options.steps, options.device)
        share = _share_of_products(step, options.device)
        precision = "bfloat16" if half else "float32"
        print(f"| {precision} | {seconds:.3f} | {options.batch / seconds:.1f} | {100 * share:.0f} % |")


class _Step:
    def __init__(self, options: argparse.Namespace, half: bool) -> None:
        torch.manual_seed(0)
        self.device = torch.device(options.device)
        self.half = half
        self.model = CompressionModel(PRESETS[options.preset]).train().to(self.device)
        self.model.use_channels_last()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        image = torch.rand(options.batch, 3, options.crop, options.crop, device=self.device)
        self.image = image.contiguous(memory_format=torch.channels_last)
        channels = self.model.config.transform.latent_channels
        shape = (options.batch, self.model.config.references, channels, 16, 16)
        self.references = torch.randn(shape, device=self.device) if options.references else None

    def __call__(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            result = self.model(self.image, self.references, _QUALITY)
        rate_distortion(result, self.image, _QUALITY, Distortion.MSE).total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
        self.optimiser.step()
        self.average.update_parameters(self.model)


def _timed(step: _Step, steps: int, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - start) / steps


def _share_of_products(step: _Step, device: str) -> float:
    gpu = device.startswith("cuda")
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with profile(activities=activities) as profiled:
        for _ in range(4):
            step()
        _wait(device)
    times = {
        event.key: event.self_device_time_total if gpu else event.self_cpu_time_total
        for event in profiled.key_averages()
    }
    products = sum(time for name, time in times.items() if any(part in name for part in _PRODUCTS))
    return products / sum(times.values())


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
