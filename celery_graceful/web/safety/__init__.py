"""Who may ask, from where: hosts, cross-site requests, form tokens, cookies, headers."""
