"""Imported first by the process that others are forked from (multiprocessing's `forkserver`): it leaves its group.

What is sent to all processes of a group, as by Ctrl-C, then reaches only the one that uses them, which stops in its own
time. Elsewhere, importing this does nothing.
"""

import os
import sys

if "multiprocessing.forkserver" in " ".join(sys.orig_argv):
    os.setpgid(0, 0)
