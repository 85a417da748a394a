"""A `.clca` archive as a read-only fsspec file system, in which every photo is a PNG file, decoded when it is read."""

import io
from typing import Any

from fsspec.archive import AbstractArchiveFileSystem

from clc.archive.album import Album, open_album
from clc.archive.names import file_names
from clc.codec.metadata_section import read_items
from clc.images.encode import PictureFormat, encode, suffix_of


class ArchiveFileSystem(AbstractArchiveFileSystem):
    """`fsspec.filesystem("clca", fo="album.clca")`: list, open, copy the photos of an archive.

    fo: a path, an fsspec URL, or a file object that can seek. store: where models are looked up. Files are called as
    `clc unpack` calls them. How large a PNG file is shows when it is made: until then, its size is None.
    Raises what `clc.open` raises, FileNotFoundError for a name that is not there.
    """

    root_marker = ""
    protocol = "clca"
    cachable = False

    def __init__(
        self,
        fo: Any = "",
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        *,
        store: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.fo = fo
        source = f"{target_protocol}://{fo}" if target_protocol and isinstance(fo, str) and "://" not in fo else fo
        self.album: Album = open_album(source, store=store, **(target_options or {}))
        names = file_names(self.album.archive.names, suffix_of(PictureFormat.PNG))
        self._members = {file: name for name, file in names.items()}
        self.dir_cache: dict[str, dict[str, Any]] | None = None

    def _get_dirs(self) -> None:
        if self.dir_cache is not None:
            return
        found: dict[str, dict[str, Any]] = {}
        for file, name in self._members.items():
            member, row = self.album.info(name)
            for folder in self._all_dirnames([file]):
                found[folder] = {"name": folder, "size": 0, "type": "directory"}
            found[file] = {
                "name": file,
                "size": None,
                "type": "file",
                "member": name,
                "mtime": member.modified / 1e9,
                "width": row.width,
                "height": row.height,
                "stream_bytes": row.extent.length,
            }
        self.dir_cache = found

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> io.BytesIO:
        """The photo as a PNG file in memory."""
        if mode != "rb":
            raise OSError(f"{path}: an archive is only read here; `clc add` adds to it")
        return io.BytesIO(self.cat_file(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """The bytes of the PNG file of a photo."""
        file = self._strip_protocol(path).strip("/")
        if file not in self._members:
            raise FileNotFoundError(path)
        name = self._members[file]
        metadata = read_items(self.album.info(name)[0].carried)
        return encode(self.album.pixels(name), PictureFormat.PNG, name=file, metadata=metadata)[start:end]

    def close(self) -> None:
        """Close the archive."""
        self.album.close()
