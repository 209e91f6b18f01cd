"""Programs for maintainers, which no part of the product uses."""
