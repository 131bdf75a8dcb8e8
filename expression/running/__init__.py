"""Around an analysis: its options, how a script ends, the files it writes, the look of figures."""

from expression.running import pyplot as pyplot  # before any other module imports matplotlib
