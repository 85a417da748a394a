"""What is installed with which extra of the package, so that a command that lacks something can say which to install.

Installed plainly, CLC codes and decodes. Building, training and measuring need `clc[build]`, flows `clc[pipelines]`.
"""

from traceback import walk_tb

_PACKAGES = {
    "faiss": ("faiss-cpu", "build"),
    "httpx": ("httpx", "build"),
    "jinja2": ("jinja2", "build"),
    "pytorch_msssim": ("pytorch-msssim", "build"),
    "scipy": ("scipy", "build"),
    "skimage": ("scikit-image", "build"),
    "sklearn": ("scikit-learn", "build"),
    "torchvision": ("torchvision", "build"),
    "fastapi": ("fastapi", "pipelines"),
    "prefect": ("prefect", "pipelines"),
    "sqlalchemy": ("sqlalchemy", "pipelines"),
    "distributed": ("distributed", "dask"),
    "imagecodecs": ("imagecodecs", "originals"),
    "s3fs": ("s3fs", "s3"),
    "tensorboard": ("tensorboard", "tensorboard"),
}
"""Module → what it is installed as, and the extra that brings it."""


def what_to_install(error: ModuleNotFoundError, what: str = "this") -> str | None:
    """What to do about a module that is not there; None if no extra brings it, which is a bug.

    what: what was asked for, such as the command.

    >>> what_to_install(ModuleNotFoundError(name="sklearn.cluster"), "clc dictionary build")
    "clc dictionary build needs scikit-learn: pip install 'clc[build]'"
    """
    found = _PACKAGES.get((error.name or "").partition(".")[0])
    if found is None:
        return None
    distribution, extra = found
    if any(frame.f_globals.get("__name__", "").startswith("pipelines.") for frame, _ in walk_tb(error.__traceback__)):
        extra = "pipelines"  # the flows need more than the one module that was missing first
    return f"{what} needs {distribution}: pip install 'clc[{extra}]'"
