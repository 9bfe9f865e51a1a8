"""The web screen: pages, routes and safety, without a framework."""
