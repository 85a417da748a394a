"""Standard output and standard error that never end a program that has done its work."""

from typing import Any, TextIO


class LastingStream:
    """A text stream that takes everything: what cannot be written is remembered, not raised.

    Characters that the stream's encoding lacks become escapes. `failure` is what went wrong first; a stream that was
    closed before the program started fails when something is written.
    """

    # Whatever it is: click would go round this object for the sake of an encoding that has all characters.
    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.failure: OSError | ValueError | None = None
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        if self.failure is None and text:
            try:
                if self._stream is None:
                    raise OSError("it is closed")
                self._stream.write(_printable(text))
            except (OSError, ValueError) as failure:  # ValueError: it was closed meanwhile
                self.failure = failure
        return len(text)

    def flush(self) -> None:
        if self.failure is None and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as failure:
                self.failure = failure

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def writable(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _printable(text: str) -> str:
    """Without the surrogates that stand for bytes of file names: what is UTF-8 in truth as such, the rest escaped."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
