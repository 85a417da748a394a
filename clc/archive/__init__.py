"""Archives of photos, `.clca` files (docs/archive.md): written in one pass, read photo by photo.

`clc.archive.creation` makes them and adds to them, `clc.archive.album` (`clc.open`) reads them.
"""
