"""Parquet in and out, row group by row group, in memory that grows with neither the file nor its row groups.

Never: an import of these modules where pyarrow is not deployed (see `file_types.check_deployed`).
"""
