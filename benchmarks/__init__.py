"""How fast it is, against the naive way and against what reading the input alone costs: `make bench`."""
