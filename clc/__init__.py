"""CLC: learned compression of photo collections with a versioned dictionary of reference patches."""

import warnings
from importlib.metadata import version

__version__ = version("clc")

# compressai's dependencies still use torch.jit; nobody who reads our output can do anything about it.
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
