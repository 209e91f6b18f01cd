"""The fake stack's buckets."""

INBOX, RESULTS, WORK = "the-inbox", "the-results", "the-work"
