"""Parquet in and out, row group by row group, in memory that grows with neither the file nor its row groups.

The modules import pyarrow, which is deployed only where it is asked for: see `kinds.check_deployed`.
"""
