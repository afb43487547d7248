"""The rooms wired into a pipeline and a daemon."""
