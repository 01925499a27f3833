"""Builds: the job directory, the supervisor, the stand-alone builder, the log and the progress."""
