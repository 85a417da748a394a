"""The codecs that are compared."""
