"""Measuring codecs: real files, decoded again, compared with the photos, and a page that shows the result.

`evaluate` writes a `results` artifact; `summary` and `render_report` read one.
"""
