"""What steps of every kind share: leases, waits, holds, the outbox. Nothing here reads a row."""
