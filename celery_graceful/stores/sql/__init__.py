"""Records of runs in a SQL database, through SQLAlchemy Core."""
