"""`python -m clc.training.blend`: makes the filter anew, in two steps. docs/training.md has the commands.

`examples FOLDER --data SOURCE …` writes what it learns from, some files of eight examples each. Several processes may
write files of one folder, each with a seed of its own.
`filter FOLDER --out FILE` trains on them and writes the weights. Those that ship are part of the stream format: others
need a scope of their own.
"""

import argparse
import logging
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from clc.api import DEFAULT, find_model
from clc.errors import ClcError, TrainingError
from clc.images import open_source, read_photos
from clc.model.network import CompressionModel
from clc.store.shipped import LayeredStore
from clc.training.blend.examples import Examples, examples
from clc.training.blend.learn import learn
from clc.training.start import config_of, weights_of

logger = logging.getLogger(__name__)

_EXAMPLES = 8  # of a file
_LOG_EVERY = 60.0  # seconds


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m clc.training.blend", description=__doc__)
    commands = parser.add_subparsers(required=True)
    written = commands.add_parser("examples")
    written.add_argument("folder", type=Path)
    written.add_argument("--data", nargs="+", required=True, help="sources of photos")
    written.add_argument("--files", type=int, default=400)
    written.add_argument("--seed", type=int, default=0)
    written.add_argument("--model", default=DEFAULT)
    written.set_defaults(run=_write_examples)
    trained = commands.add_parser("filter")
    trained.add_argument("folder", type=Path)
    trained.add_argument("--steps", type=int, default=12_000)
    trained.add_argument("--out", type=Path, required=True, help="file of weights")
    trained.set_defaults(run=_train)
    for command in (written, trained):
        command.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        options.run(options)
    except ClcError as error:
        sys.exit(f"error: {error}")


def _write_examples(options: argparse.Namespace) -> None:
    start = find_model(LayeredStore(None), options.model)
    model = CompressionModel(config_of(start))
    model.start_from(weights_of(start))
    model.use_channels_last()
    model.eval()
    photos = [photo.pixels for spec in options.data for photo in read_photos(open_source(spec), [])]
    options.folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(options.seed)
    said = time.monotonic()
    for number in range(options.files):
        found = examples(model, photos, _EXAMPLES, draw)
        save_file(vars(found), options.folder / f"{options.seed:03}-{number:05}.safetensors")
        if time.monotonic() - said > _LOG_EVERY:
            said = time.monotonic()
            logger.info("file %d of %d", number + 1, options.files)


def _train(options: argparse.Namespace) -> None:
    files = sorted(options.folder.glob("*.safetensors"))
    if not files:
        raise TrainingError(
            f"{options.folder} has no examples; write some with `python -m clc.training.blend examples`"
        )
    learned = learn([Examples(**load_file(file)) for file in files], options.steps)
    about = {"steps": str(options.steps), "examples": str(_EXAMPLES * len(files))}
    save_file({name: tensor.half() for name, tensor in learned.state_dict().items()}, options.out, about)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    main()
