"""`python -m clc.production.decode_all STORE STREAM…`: decode streams to PNG files beside them.

It knows nothing but the store.

What is wrong with a stream that cannot be decoded is written beside it, too (`.error`).

The gate before production runs it, so that a codec is judged by what another process makes of its streams.
"""

import sys
from pathlib import Path

from clc.errors import ClcError
from clc.runtime.exit import one_line_errors, run_program
from clc.store.shipped import LayeredStore
from clc.store_decoder import StoreDecoder


def main() -> None:
    """Decode every stream that can be."""
    store, *streams = sys.argv[1:]
    with one_line_errors():
        decoder = StoreDecoder(LayeredStore(store))
        for stream in map(Path, streams):
            try:
                decoder.decompress_file(stream, stream.with_suffix(".png"))
            except ClcError as error:
                stream.with_suffix(".error").write_text(str(error))


if __name__ == "__main__":
    run_program(main)
