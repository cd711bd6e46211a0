"""The four stages of a trial, each with the key of everything its result hangs on.

A stage is ``run(workspace, …results of earlier stages) -> result``. Where the cache has its key
the result is taken from there; otherwise the stage runs, and its result is kept when it ended well.
"""
