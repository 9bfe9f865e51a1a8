"""The commands for a backfill in a deploy: start a run, and wait for one."""
