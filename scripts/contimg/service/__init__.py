"""The service: the results of a folder over HTTP, and runs of the workflow as jobs."""
