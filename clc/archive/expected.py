"""What an archive is expected to take, by its plan and by some photos that are coded alone to tell."""

from collections.abc import Sequence

from clc.archive.coding import PhotoCoder
from clc.archive.inputs import Inputs
from clc.archive.opened import open_photo
from clc.archive.plan import ArchivePlan

_SAMPLE = 4


def expected_bytes(inputs: Inputs, coder: PhotoCoder, plan: ArchivePlan, names: Sequence[str]) -> tuple[float, float]:
    """Bytes of the streams of the photos of these names: as planned, and with each alone.

    Where photos were compared, a photo's cost tells what it takes beside those of the sample, else its pixels do.
    Raises what the coder raises.
    """
    chosen = set(names[:: max(1, len(names) // _SAMPLE)][:_SAMPLE])
    wanted = set(names)
    weights: dict[str, float] = {}
    coded = weighed = 0.0
    coder.prepare()
    for photo in inputs:
        if photo.name not in wanted or (photo.name in plan.costs and photo.name not in chosen):
            continue
        opened = open_photo(photo, max_pixels=coder.max_pixels)
        if opened.pixels is None:
            continue
        weights[photo.name] = plan.costs.get(photo.name, float(opened.pixels[..., 0].size))
        if photo.name in chosen:
            coded += len(coder.code(opened.pixels, coder.settings.target).data)
            weighed += weights[photo.name]
    weights |= {name: plan.costs[name] for name in wanted if name in plan.costs}
    unit = coded / max(weighed, 1e-9)
    planned = sum(weight * plan[name].share for name, weight in weights.items())
    return unit * planned, unit * sum(weights.values())
