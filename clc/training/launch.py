"""Training as a process of its own, or several: it may be killed, stopped or run out of memory without its caller."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from clc.errors import TrainingError, TrainingStoppedError
from clc.runtime.child import STOP_WITH_PARENT

_LAST_LINES = 5
_OWN_WORD = "clc: "
_STOP_SECONDS = 120.0  # to write a checkpoint


class TrainerConfig(BaseModel):
    """Where training runs: it does not count for what is trained, except through `training.devices`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processes: int = Field(default=1, ge=1, description="started by torchrun if more than one; one for each GPU")
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda)$", description="cpu or cuda")
    loaders: int = Field(
        default=0, ge=0, description="processes that draw crops for each of them; a GPU waits for them"
    )


def run_trainer(
    arguments: Sequence[str], config: TrainerConfig, *, on_line: Callable[[str], None], keep_open: Sequence[int] = ()
) -> None:
    """Run `clc train` with these arguments to its end, through torchrun if several processes are asked for.

    on_line: is given what it prints, line by line. keep_open: file descriptors that it inherits.
    If this process is stopped or dies, the trainer is told to stop, and writes a checkpoint.
    Raises TrainingError with the trainer's own last word, TrainingStoppedError if a signal made it stop.
    """
    launcher = [sys.executable, "-m"]
    if config.processes > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(config.processes), "-m"]
    with subprocess.Popen(
        [*launcher, "clc", "train", "--device", config.device, "--loaders", str(config.loaders), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        pass_fds=keep_open,
        preexec_fn=STOP_WITH_PARENT,  # a trainer left behind would fight with the next one
    ) as process:
        assert process.stdout is not None
        last: deque[str] = deque(maxlen=_LAST_LINES)
        said: str | None = None  # torchrun prints much after it
        try:
            for line in process.stdout:
                last.append(line.rstrip())
                if last[-1].startswith(_OWN_WORD):
                    said = last[-1].removeprefix(_OWN_WORD)
                on_line(last[-1])
        except BaseException:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    if process.returncode:
        raise _failure(process.returncode, said, list(last))


def _failure(code: int, said: str | None, last: list[str]) -> Exception:
    stopped = re.match(r"training stopped at step (\d+)", said or "")
    if stopped:
        return TrainingStoppedError(int(stopped[1]), code - 128 if code > 128 else signal.SIGTERM)
    if said is not None:
        return TrainingError(said)
    if code < 0:
        return TrainingError(
            f"the trainer was killed by {signal.Signals(-code).name}; run again: it continues from its last checkpoint"
        )
    return TrainingError(f"the trainer ended with {code}: {' | '.join(last) or 'it printed nothing'}")
