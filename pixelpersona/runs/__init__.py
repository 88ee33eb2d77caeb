"""What a run folder is: records, finished markers, discovery, locks, digests."""
