"""A shop's background work: an import, a mailing, a nightly aggregate."""
