"""Where things are kept in S3 and in the table, and under which names. Nothing here decides what happens next."""
