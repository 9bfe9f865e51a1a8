"""The doctor: what an app's configuration and the files that deploy its workers get wrong."""
