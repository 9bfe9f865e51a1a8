"""A Django project with the admin, whose tests run in a process of their own; see ``__main__``."""
