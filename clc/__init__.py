"""CLC: learned compression of photo collections with a versioned dictionary of reference patches."""

import warnings

__version__ = "0.1.0"

# compressai's dependencies still use torch.jit; nobody who reads our output can do anything about it.
warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
