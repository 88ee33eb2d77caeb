"""What a field's type does not say about its key: metadata that `cli` reads."""

import math

# Neither needs quotes on the command line.
PATH = {"path": True}  # a str that may be a file name; keys of type Path need no metadata
TEXT = {"text": True}  # any text; `${KEY}` is filled in. On a Path: a file name in which it is filled in

# Checked before the command runs and before the first job of a sweep: (lowest, highest).
SEED = {"range": (0, 2**32 - 1)}
NOT_NEGATIVE = {"range": (0, math.inf)}
SHARE = {"range": (0, 1)}
