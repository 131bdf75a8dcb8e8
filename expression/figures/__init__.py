"""What the scripts draw, one room a script: values in, a figure out."""

from expression.running import pyplot as pyplot  # before any other module imports matplotlib
