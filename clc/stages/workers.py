"""Dask workers for the stages that can be cut into shards: a cluster of this machine's processes, or one that is there.

Dask is optional (`pip install 'clc[dask]'`) and imported only when it is used.
"""

import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, Self

from clc.errors import ClcError, ClusterError, ProfileError
from clc.stages.shards import Done, Extent, Shard

if TYPE_CHECKING:
    from distributed import Client

_SHARDS_PER_WORKER = 4  # the last ones to finish leave the others idle for a quarter of their time at most
_CONNECT_SECONDS = 10
_WORKER_SECONDS = 60
# A shard that was on a worker when it died is tried this often again: the worker may have been killed for a neighbour,
# but a shard that kills one worker after the other must not go on for ever.
_DEATHS = 3
_DASKS_OWN = ("MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED", "__DASK_PARENT_PID")
_SETTINGS = {
    # Looks at the stack a hundred times a second, which slows the long import of PyTorch.
    "distributed.worker.profile.enabled": False,
    # Gives memory back at once, which a network asks for again at the next layer: an eighth of the time of a ResNet-50.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class DaskWorkers:
    """`count` processes of this machine, or the workers of the scheduler at `address`. Raises ProfileError for both."""

    count: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if (self.count is None) == (self.address is None):
            raise ProfileError("give --workers N for processes of this machine or --dask-address, not both")
        if self.count is not None and self.count < 1:
            raise ProfileError(f"workers is {self.count}; give 1 or more, or leave it out")

    @classmethod
    def asked_for(cls, count: int | None, address: str | None) -> Self | None:
        """None if neither is given: this process does all the work itself."""
        return None if count is None and address is None else cls(count, address)

    def require(self) -> None:
        """Raise ClusterError, with what to do, without Dask or if nobody answers at the address."""
        if self.address is None:
            _import_dask()
            return
        with self._client():
            pass

    def compute(self, make: Callable[[Shard], Done], extent: Extent) -> Generator[Done, None, None]:
        """Make every part once, those of dead workers again; yields them as they are done.

        Raises the first ClcError of a shard, ClusterError if the workers cannot be had or do not last.
        """
        with self._client() as client:
            from distributed import KilledWorker, as_completed
            from distributed.client import FutureCancelledError

            threads = sum(client.nthreads().values())
            world_size = _world_size(extent, threads)
            shards = [Shard(rank, world_size) for rank in range(world_size)]
            futures = client.map(_attempt, shards, make=pickle.dumps(make), pure=False, retries=0)
            for future in as_completed(futures, loop=client.loop):
                try:
                    outcome = future.result()
                except KilledWorker as error:
                    raise ClusterError(
                        f"a shard was given up after {_DEATHS + 1} workers died with it, mostly for lack of memory; "
                        "start fewer workers; finished shards are kept"
                    ) from error
                except ImportError as error:
                    raise ClusterError(
                        f"the Dask workers cannot import what a shard needs ({error}); install the same version of CLC "
                        "where they run"
                    ) from error
                except (OSError, FutureCancelledError) as error:
                    raise ClusterError(
                        f"the Dask cluster stopped answering ({error}); start it again, then run again: finished "
                        "shards are kept"
                    ) from error
                if isinstance(outcome, _Failure):
                    outcome.reraise()
                future.release()
                yield outcome

    @contextmanager
    def _client(self) -> Iterator["Client"]:
        _import_dask()
        from distributed import Client

        with ExitStack() as open_until_end:
            if self.address is None:
                assert self.count is not None, "checked on entry"
                address = open_until_end.enter_context(_local_cluster(self.count))
            else:
                address = self.address
            try:
                client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler` and give its "
                    "address as tcp://HOST:PORT, or use --workers N"
                ) from error
            open_until_end.enter_context(client)
            try:
                client.wait_for_workers(1, timeout=_WORKER_SECONDS)
            except TimeoutError as error:
                raise ClusterError(
                    f"the Dask scheduler at {address} has no workers; start some with "
                    f"`dask worker {address} --nthreads 1`"
                ) from error
            yield client


def _import_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ClusterError("workers need Dask, which is not installed; run: pip install 'clc[dask]'") from error
    # A dozen lines for every worker that comes or goes; what the user has to know becomes an error of ours.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


@contextmanager
def _local_cluster(count: int) -> Iterator[str]:
    """The address of a scheduler in this process, with `count` processes that compute on one thread each."""
    import dask
    from distributed import LocalCluster

    # Dask leaves the variables that it starts processes with in our environment, where a trainer would find them.
    before = {name: os.environ.get(name) for name in (*_THREADS, *_DASKS_OWN)}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        with (
            dask.config.set(_SETTINGS),
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,  # in the workers, too
                scheduler_kwargs={"allowed_failures": _DEATHS},
            ) as cluster,
        ):
            yield cluster.scheduler_address
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _world_size(extent: Extent, workers: int) -> int:
    """Enough shards to share out evenly, and none so large that a death would cost much."""
    wanted = max(_SHARDS_PER_WORKER * workers, -(-extent.blocks // extent.per_shard))
    return max(1, min(wanted, extent.blocks))


@dataclass(frozen=True)
class _Failure:
    """An error of a shard and its causes, as a value: Dask would log it as a crash, and lose what it was caused by."""

    chain: tuple[Exception, ...]

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """An error as a value, with those of its causes that tell whether the failure may pass."""
        chain: list[Exception] = []
        cause: BaseException | None = error
        while isinstance(cause, ClcError | OSError):
            chain.append(cause)
            cause = cause.__cause__
        return cls(tuple(chain))

    def reraise(self) -> NoReturn:
        for error, cause in pairwise(self.chain):
            error.__cause__ = cause
        raise self.chain[0]


def _attempt(shard: Shard, make: bytes) -> Done | _Failure:
    """On a worker: make a part."""
    try:
        # Unpickled here, not by Dask, so that what cannot be reopened on this worker is an error of ours. It adds no
        # trust: whoever reaches a Dask scheduler can run code on its workers.
        function: Callable[[Shard], Done] = pickle.loads(make)
        return function(shard)
    except ClcError as error:
        return _Failure.of(error)
