"""What may be deleted and why the rest stays: the rules, what a plan holds, and the look at what is there.

Nothing here deletes anything; `engine.actions.reap` does.
"""
