"""`python -m clc.decode_all STORE STREAM…`: decode streams to PNG files beside them, knowing nothing but the store.

The gate before production runs it, so that a codec is judged by what another process makes of its streams.
"""

import sys
from pathlib import Path

from clc.decoder import StoreDecoder
from clc.exit import one_line_errors
from clc.shipped import LayeredStore


def main() -> None:
    """Decode every stream; the first that cannot be decoded ends the program, as it ends `clc decompress`."""
    store, *streams = sys.argv[1:]
    decoder = StoreDecoder(LayeredStore(store))
    for stream in map(Path, streams):
        decoder.decompress_file(stream, stream.with_suffix(".png"))


if __name__ == "__main__":
    with one_line_errors():
        main()
