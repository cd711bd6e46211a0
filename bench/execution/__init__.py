"""Running a plan: the runner, the worker process of a trial, its stages, and replay."""
