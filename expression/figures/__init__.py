"""What the scripts draw, one room a script: values in, a figure out."""
