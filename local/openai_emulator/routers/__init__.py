"""One router for each resource: `files`, `batches`, `models`, `requests`, and `control` for `/_emulator`.

The other modules hold what the routers are made of: what comes before each call (`calls`), the kinds of replies
(`replies`), pages of lists (`lists`), lifetimes of files (`expiry`), and, of batches, how a request for a new one is
checked (`batch_requests`) and how one is shown (`batch_objects`).
"""
