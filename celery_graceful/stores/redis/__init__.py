"""Records of runs in Redis or Valkey."""
