"""Drop a file into an S3 bucket and get every row answered by OpenAI's Batch API."""

__version__ = "0.2.0"
