"""The words of the project: drops, jobs, batches, outcomes, problems. Plain Python that knows of no service."""
