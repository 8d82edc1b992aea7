"""GDCM, loaded so that it harms nothing else in the process, and silent.

Its library brings a zlib of its own and shows it to whatever is loaded later: Pillow would then deflate a PNG with
half of one zlib and half of another, and the process aborts. So theirs are loaded first.
"""

from __future__ import annotations

import zlib

from PIL import Image

# isort: split
import gdcm

__all__ = ["gdcm"]

_FIRST = (zlib, Image)

# GDCM would write about the file, values included, to standard error.
gdcm.Trace.DebugOff()
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()
