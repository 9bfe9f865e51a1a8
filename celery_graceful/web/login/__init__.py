"""The screen's own login: password files, sessions, attempts."""
