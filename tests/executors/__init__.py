"""One set of cases that every executor has to pass: ``python -m tests.executors`` prints the table."""
