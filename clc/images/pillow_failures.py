"""What Pillow raises of files and metadata that are damaged, or that a format does not hold."""

import struct

PILLOW_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
