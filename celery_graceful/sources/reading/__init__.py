"""Files and object stores: read from where the cursor says, compressed or not."""
